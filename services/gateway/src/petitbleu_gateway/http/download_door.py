"""Downloads of messages and parts (RFC 8620 §6.2), streamed, never shown as a page of ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qsl, quote

import grpc

from petitbleu_gateway.domain.stream_decoding import decoder_for
from petitbleu_gateway.errors import Fault, Problem, fault_of
from petitbleu_gateway.http.account import in_account
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Exchange, Header, OctetBudget
from petitbleu_gateway.http.jmap_doors import Places
from petitbleu_gateway.jmap.session import DOWNLOAD_PATH
from petitbleu_gateway.methods.blobs import Blob, find_blob, read_blob
from petitbleu_gateway.ports import Identity, MailStore
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.shared_accounts import SharedAccounts

# RFC 9110 §8.3.1, with what no header may hold left out
_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}"
    r"(?:[ \t]*+;[ \t]*+[A-Za-z0-9!#$&^_.+*-]{1,64}+=(?:[A-Za-z0-9!#$%&'*+.^_`|~:-]{1,200}+|\"[A-Za-z0-9 !#-\[\]-~]{0,200}+\")){0,8}"
)
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]")
_FIXED: Final[tuple[Header, ...]] = (
    # a document opened from here has no origin, no script, and may load nothing
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    # RFC 8620 §6.2: what a blob id names never changes
    (b"cache-control", b"private, immutable, max-age=31536000"),
    (b"vary", b"authorization, cookie"),
)


def _busy() -> Problem:
    return Problem(429, headers=((b"retry-after", b"2"),))


class DownloadDoor:
    """The download endpoint.

    Args:
        authentication: Who checks credentials.
        store: The person's mail.
        at_once: Downloads of an account at once.
        budget: Octets that the process may hold, for parts of messages that must be read whole to find them.
        shared: What others share with people.
    """

    def __init__(
        self,
        authentication: Authentication,
        store: MailStore,
        at_once: int,
        budget: OctetBudget,
        shared: SharedAccounts,
    ) -> None:
        self._authentication = authentication
        self._store = store
        self._budget = budget
        self._shared = shared
        self._places = Places(at_once)

    async def download(self, exchange: Exchange) -> None:
        """Answer with a blob, or with a range of it where its octets are stored as they are (RFC 9110 §14)."""
        who = await identify(exchange, self._authentication)
        pieces = exchange.path.removeprefix(DOWNLOAD_PATH).split("/", 2)
        if len(pieces) != 3:
            raise Problem(404)
        account, blob_id, name = pieces
        who = await in_account(who, account, self._shared)
        # what others share is theirs to take back
        fixed = (
            _FIXED
            if not who.own_account_id
            else (*(field for field in _FIXED if field[0] != b"cache-control"), NO_STORE)
        )
        headers = [*fixed, (b"content-type", _content_type(exchange)), _disposition(name)]
        with self._places.take(who.person_id, _busy):
            held: list[int] = []
            share = self._budget.of(who.person_id)

            def take(octets: int) -> None:
                # the octets, and the part that is cut out of them
                share.take(2 * octets)
                held.append(2 * octets)

            try:
                blob = await find_blob(self._store, who, blob_id, take)
                if blob is None:
                    raise Problem(404)
                await self._answer(exchange, who, blob, blob_id, headers)
            except grpc.aio.AioRpcError as error:
                raise _problem(error, exchange) from None
            finally:
                share.give_back(sum(held))

    async def _answer(self, exchange: Exchange, who: Identity, blob: Blob, blob_id: str, headers: list[Header]) -> None:
        etag = f'"{blob_id}"'.encode()
        headers.append((b"etag", etag))
        known = [tag.strip().removeprefix(b"W/") for tag in exchange.headers.get(b"if-none-match", b"").split(b",")]
        if etag in known or known == [b"*"]:
            await exchange.empty(304, headers)
            return
        decode = decoder_for(blob.encoding)
        start, end, status = 0, blob.length, 200
        if decode is None:
            headers.append((b"accept-ranges", b"bytes"))
            span = _span(exchange, blob.length, etag)
            if span is not None:
                start, end = span
                status = 206
                headers.append((b"content-range", f"bytes {start}-{end - 1}/{blob.length}".encode()))
            headers.append((b"content-length", str(end - start).encode()))
        else:
            headers.append((b"content-length", str(blob.size).encode()))
        if exchange.method == "HEAD" or end == start:
            await exchange.start(status, headers)
            await exchange.piece(b"", more=False)
            return
        source = read_blob(self._store, who, blob, start, end - start)
        left = end - start if decode is None else blob.size
        await _stream(exchange, source if decode is None else decode(source), left, status, headers)


async def _stream(
    exchange: Exchange, source: AsyncIterator[bytes], left: int, status: int, headers: list[Header]
) -> None:
    """Send what a source gives. The head waits for the first piece, so that an error can still be one."""
    async for piece in source:
        data = piece[:left]
        left -= len(data)
        if not data:
            continue
        if exchange.status == 0:
            await exchange.start(status, headers)
        await exchange.piece(data, more=left > 0)
        if left == 0:
            break
    if left:
        if exchange.status == 0:
            raise Problem(503, detail="The blob cannot be read now.", headers=((b"retry-after", b"2"),))
        raise ConnectionError("the blob ended too early")


def _problem(error: grpc.aio.AioRpcError, exchange: Exchange) -> Exception:
    if exchange.status:
        return ConnectionError("store ended the stream")
    if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED}:
        return Problem(404)
    if fault_of(error) is Fault.SERVER_UNAVAILABLE:
        return Problem(503, headers=((b"retry-after", b"2"),))
    return Problem(500)


def _content_type(exchange: Exchange) -> bytes:
    """Return the `type` that the client wants (RFC 8620 §6.2)."""
    # a template's variables have their blanks as %20 (RFC 6570 §3.2.2), so a plus is one, as in image/svg+xml
    query = exchange.query.decode("latin-1").replace("+", "%2B")
    try:
        given = dict(parse_qsl(query, max_num_fields=20)).get("type", "")
    except ValueError:  # more fields than the template has by far
        given = ""
    return given.encode() if _TYPE.fullmatch(given) else b"application/octet-stream"


def _disposition(name: str) -> Header:
    """Return a Content-Disposition that saves under a name, in ASCII for old clients and in UTF-8 (RFC 6266 §4.3)."""
    safe = _UNSAFE.sub("_", name)[:255] or "download"
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in safe)
    encoded = quote(safe.encode("utf-8", "replace"), safe="")
    return b"content-disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}".encode()


def _span(exchange: Exchange, size: int, etag: bytes) -> tuple[int, int] | None:
    """Return the range that is wanted, or None for the whole.

    Raises:
        Problem: 416 when there is no such range (RFC 9110 §15.5.17).
    """
    found = _RANGE.fullmatch(exchange.header(b"range").replace(" ", ""))
    if found is None or exchange.method != "GET":
        return None  # several ranges and other units may be ignored (RFC 9110 §14.2)
    condition = exchange.headers.get(b"if-range")
    if condition is not None and condition != etag:
        return None
    first, last = found.groups()
    if first == "":
        if last == "":
            return None
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise Problem(416, headers=((b"content-range", f"bytes */{size}".encode()),))
    return start, end
