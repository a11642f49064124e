"""Safe renderings of messages (docs/rest.md): what a page may show, beside the HTML as it came."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from html import escape
from typing import Final
from urllib.parse import parse_qsl

import grpc
import msgspec

from petitbleu_gateway.domain.image_urls import IMAGE_PATH, ImageKeys
from petitbleu_gateway.domain.rendering import Rendering, RenderingJob
from petitbleu_gateway.errors import BusyError, Fault, Problem, UnreadableError, fault_of
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, OctetBudget, encode_json
from petitbleu_gateway.http.jmap_doors import Places
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.session import DOWNLOAD_PATH
from petitbleu_gateway.methods.rendering import rendering_job
from petitbleu_gateway.ports import Identity, MailStore
from petitbleu_gateway.service.authentication import Authentication

MESSAGES_PATH: Final = "/api/messages/"
# Of the web app; what follows the hash stays in the browser.
LEAVE_PAGE: Final = "/#/leave/"
SANDBOX: Final = "allow-popups allow-popups-to-escape-sandbox"
_CHOICES: Final = {"images": ("ask", "proxy"), "inline": ("data", "none"), "as": ("json", "document")}
_STYLE: Final = "body{margin:8px;overflow-wrap:anywhere}img{max-width:100%}blockquote{margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex}"

Render = Callable[[RenderingJob], Awaitable[Rendering | None]]


class Images(msgspec.Struct, rename="camel"):
    """Images from elsewhere: how many, and whether they are held back, come through the proxy, or never come."""

    mode: str
    count: int
    expires_at: int | None = None


def content_security_policy(origin: str, *, images: bool) -> str:
    """Return the policy under which a rendering may be shown: no script, no frame, no form, nothing from elsewhere (CSP 3 §6)."""
    sources = f"data: {origin}{IMAGE_PATH}" if images else "data:"
    return f"default-src 'none'; img-src {sources}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(found: Rendering, policy: str) -> bytes:
    """Return a rendering as a page of its own, which says the policy itself for whoever shows it as a frame's `srcdoc`."""
    head = (
        '<!DOCTYPE html><html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        f'<meta name="referrer" content="no-referrer"><style>{_STYLE}</style><style>{found.css}</style></head><body>'
    )
    return f"{head}{found.html}</body></html>".encode("utf-8", "replace")


def may_see_remote(who: Identity) -> bool:
    """Whether images from elsewhere may be fetched for somebody: never for a child, nor for who is not known to be an adult."""
    return who.is_adult


class RenderingDoor:
    """Renderings.

    Args:
        authentication: Who checks credentials.
        store: The person's mail.
        render: Renders where a message can do no harm; raises UnreadableError or BusyError.
        keys: Signs addresses of images.
        budget: Octets that the process may hold.
        most_octets: Of a message that must be read whole.
        at_once: Renderings of an account at once.
        image_seconds: How long a signed address holds.
        public_url: Origin that clients use; their Host header when empty.
        clock: Unix seconds.
    """

    def __init__(
        self, authentication: Authentication, store: MailStore, render: Render, keys: ImageKeys, budget: OctetBudget, *,
        most_octets: int, at_once: int, image_seconds: int, public_url: str, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._authentication = authentication
        self._store = store
        self._render = render
        self._keys = keys
        self._budget = budget
        self._most = most_octets
        self._places = Places(at_once)
        self._image_seconds = image_seconds
        self._public_url = public_url
        self._clock = clock

    async def rendering(self, exchange: Exchange) -> None:
        """Answer with the rendering of a message: of an Email id, or of the blob id of any message."""
        who = await identify(exchange, self._authentication)
        pieces = exchange.path.removeprefix(MESSAGES_PATH).split("/")
        if len(pieces) != 3 or pieces[2] != "rendering" or ids.account_number(pieces[0]) != who.account_id:
            raise Problem(404)
        account, named, _ = pieces
        number = ids.message_number(named)
        blob_id = named if number is None else ids.blob_id(number)
        choices = _choices(exchange)
        origin = exchange.origin(self._public_url)
        mode, expires_at = "held", None
        if choices["images"] == "proxy":
            mode = "proxied" if may_see_remote(who) else "never"
        if mode == "proxied":
            # whole hours, so that a page that is shown again finds the images that it has
            expires_at = (int(self._clock()) // self._image_seconds + 2) * self._image_seconds
        signer = None if expires_at is None else self._keys.signer(origin, account, expires_at)
        with self._places.take(who.account_id, _busy):
            found = await self._rendered(
                who, RenderingJob(
                    blob_id, blob_id, f"{origin}{DOWNLOAD_PATH}{account}/", 0, b"", [], choices["inline"] == "data", signer,
                    "" if who.is_adult else f"{origin}{LEAVE_PAGE}",
                ),
            )  # fmt: skip
        policy = content_security_policy(origin, images=signer is not None)
        kind, headers = b"application/json", [NO_STORE, (b"vary", b"authorization, cookie")]
        if choices["as"] == "document":
            kind, data = b"text/html; charset=utf-8", document(found, policy)
            header = f"{policy}; frame-ancestors 'self'; sandbox {SANDBOX}".encode()
            headers.append((b"content-security-policy", header))
        else:
            body = {
                "accountId": account,
                **msgspec.to_builtins(found),
                "images": msgspec.to_builtins(Images(mode, found.remote_images, expires_at)),
                "contentSecurityPolicy": policy,
                "sandbox": SANDBOX,
            }
            del body["remoteImages"]
            data = encode_json(body)
        # who reads slowly holds it for long
        share = self._budget.of(who.account_id)
        share.take(len(data))
        try:
            await exchange.answer(200, data, kind, headers)
        finally:
            share.give_back(len(data))

    async def _rendered(self, who: Identity, job: RenderingJob) -> Rendering:
        held = 0
        share = self._budget.of(who.account_id)

        def take(octets: int) -> None:
            nonlocal held
            # the octets, and the copy that goes to the process
            if held + 2 * octets > 2 * self._most:
                raise Problem(422, detail="The message is too large to be rendered.")
            share.take(2 * octets)
            held += 2 * octets

        try:
            if not await rendering_job(self._store, who, job, take):
                raise Problem(404)
            found = await self._render(job)
        except grpc.aio.AioRpcError as error:
            raise _problem(error) from None
        except BusyError:
            raise Problem(503, detail="The server is busy.", headers=((b"retry-after", b"2"),)) from None
        except UnreadableError:
            raise Problem(422, detail="The message cannot be rendered within bounds.") from None
        finally:
            share.give_back(held)
        if found is None:
            raise Problem(422, detail="The blob is no message.")
        return found


def _choices(exchange: Exchange) -> dict[str, str]:
    """Return what the query chooses; the first of each choice where it says nothing."""
    try:
        given = dict(parse_qsl(exchange.query.decode("latin-1"), max_num_fields=20, keep_blank_values=True))
    except ValueError:
        raise Problem(400, detail="Too many fields in the query.") from None
    for name, value in given.items():
        if value not in _CHOICES.get(name, ()):
            raise Problem(400, detail="The query is not as documented.")
    return {name: given.get(name, values[0]) for name, values in _CHOICES.items()}


def _busy() -> Problem:
    return Problem(429, headers=((b"retry-after", b"2"),))


def _problem(error: grpc.aio.AioRpcError) -> Problem:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        return Problem(404)
    if fault_of(error) is Fault.SERVER_UNAVAILABLE:
        return Problem(503, headers=((b"retry-after", b"2"),))
    return Problem(500)
