"""One HTTP request and its answer: reading within bounds, and answers whose headers are safe."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec

from petitbleu_gateway.errors import LIMIT_TYPE, Problem
from petitbleu_gateway.http.clients import Network
from petitbleu_gateway.http.long_connection import LONG_CONNECTION, LongConnection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

encode_json: Final = msgspec.json.Encoder().encode

_SAFE: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HSTS: Final[Header] = (b"strict-transport-security", b"max-age=31536000")
_AT_ONCE: Final = 64 << 10
_PIECE: Final = 256 << 10
_ANSWER_SECONDS: Final = 600.0
"""Time to read a large answer, which is held meanwhile: 64 MiB at 112 kB/s, what is usual in a blink at any."""
NO_STORE: Final[Header] = (b"cache-control", b"no-cache, no-store, must-revalidate")
# RFC 3986 §3.2.2: a name, an IPv4 address or a bracketed IPv6 address, and a port
_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*+\.?"
    r"|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)


class Disconnected(Exception):  # noqa: N818 — it is an end, not a mistake
    """The client left before its request was whole."""


class Octets(Protocol):
    """Octets that may be held for requests."""

    def take(self, octets: int) -> None:
        """Take octets, or raise the problem that there is no room for them."""

    def has_taken(self, octets: int) -> bool:
        """Take octets, or return False."""

    def give_back(self, octets: int) -> None:
        """Give octets back."""


class OctetBudget:
    """Octets that the whole process may hold for requests and answers; beyond, new ones are told to come back.

    Args:
        limit: Of the process.
        share: Of that, most for one account, so that one cannot take what all need; no less than all when it is None.
    """

    def __init__(self, limit: int, share: int | None = None) -> None:
        self._limit = limit
        self._share = limit if share is None else min(share, limit)
        self._of: Counter[int] = Counter()
        self.held = 0

    def of(self, account_id: int) -> Octets:
        """Return an account's share."""
        return _Share(self, account_id)

    def take(self, octets: int) -> None:
        """Take octets, or raise a 503."""
        if not self.has_taken(octets):
            raise Problem(503, detail="The server is busy.", headers=((b"retry-after", b"2"),))

    def has_taken(self, octets: int) -> bool:
        """Take octets, or return False."""
        room = self.held + octets <= self._limit
        self.held += octets if room else 0
        return room

    def give_back(self, octets: int) -> None:
        """Give octets back."""
        self.held -= octets

    def has_taken_of(self, account_id: int, octets: int) -> bool:
        """Take octets of an account's share, or return False."""
        if self._of[account_id] + octets > self._share or not self.has_taken(octets):
            return False
        self._of[account_id] += octets
        return True

    def give_back_of(self, account_id: int, octets: int) -> None:
        """Give octets of an account's share back."""
        self.give_back(octets)
        self._of[account_id] -= octets
        if not self._of[account_id]:
            del self._of[account_id]


@dataclass(frozen=True, slots=True)
class _Share:
    """One account's share of a budget."""

    budget: OctetBudget
    account_id: int

    def take(self, octets: int) -> None:
        """Take octets, or raise a 503: the process, or the account itself, has too much in flight."""
        if not self.has_taken(octets):
            raise Problem(503, detail="Too much is in flight.", headers=((b"retry-after", b"2"),))

    def has_taken(self, octets: int) -> bool:
        """Take octets, or return False."""
        return self.budget.has_taken_of(self.account_id, octets)

    def give_back(self, octets: int) -> None:
        """Give octets back."""
        self.budget.give_back_of(self.account_id, octets)


class Exchange:
    """A request being answered.

    Args:
        scope: ASGI scope.
        receive: ASGI receive.
        send: ASGI send.
        proxies: Networks whose forwarding headers are believed.
    """

    __slots__ = (
        "_connection",
        "_receive",
        "_send",
        "client_ip",
        "headers",
        "method",
        "path",
        "query",
        "secure",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, proxies: Sequence[Network] = ()) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            # a second Authorization, Host or Content-Length would mean two things to two readers (RFC 9110 §5.3)
            self.headers[name] = self.headers[name] + b", " + value if name in self.headers else value
        self._receive = receive
        self._send = send
        self._connection: LongConnection | None = scope.get("extensions", {}).get(LONG_CONNECTION)
        self.status = 0
        peer = scope["client"][0] if scope.get("client") else ""
        self.client_ip, self.secure = _origin(peer, scope["scheme"] == "https", self.headers, proxies)

    def header(self, name: bytes) -> str:
        """Return a header field's value (name in lower case), empty when it is absent."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def loopback(self) -> bool:
        """Whether the client is on this machine."""
        return _is_loopback(self.client_ip)

    def origin(self, public_url: str) -> str:
        """Return the origin under which the client reaches us, without a slash at its end.

        Raises:
            Problem: 400 when the Host header is no host (RFC 9112 §3.2).
        """
        if public_url:
            return public_url.rstrip("/")
        host = self.header(b"host")
        if not _HOST.fullmatch(host):
            raise Problem(400, detail="The Host header is missing or no host.")
        return f"{'https' if self.secure else 'http'}://{host}"

    @property
    def connection(self) -> LongConnection:
        """What is below the request, for an exchange that goes on for long.

        Raises:
            Problem: 501 on a server whose connections cannot be held.
        """
        if self._connection is None:
            raise Problem(501)
        return self._connection

    async def body(self, limit: int, seconds: float, budget: Octets) -> bytearray:
        """Read the whole body; the caller gives its octets back to the budget.

        Raises:
            Problem: `maxSizeRequest` when it is larger than `limit`, before it is read where its length was said; 408.
            Disconnected: when the client leaves.
        """
        length = self.header(b"content-length")
        if length.isdigit() and int(length[:20]) > limit:
            raise _too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                await self._fill(body, limit, budget)
        except TimeoutError:
            budget.give_back(len(body))
            raise Problem(408, detail="The body came too slowly.", headers=((b"connection", b"close"),)) from None
        except BaseException:
            budget.give_back(len(body))
            raise
        return body

    async def pieces(self, limit: int, seconds: float, stall_seconds: float) -> AsyncIterator[bytes]:
        """Give the body as it comes, in pieces; the transport waits while nobody takes one.

        Raises:
            Problem: `maxSizeUpload` when it is larger than `limit`; 408.
            Disconnected: when the client leaves.
        """
        octets = 0
        ends = asyncio.get_running_loop().time() + seconds
        more = True
        while more:
            left = ends - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(stall_seconds, max(left, 0))):
                    message = await self._receive()
            except TimeoutError:
                raise Problem(408, detail="The body came too slowly.", headers=((b"connection", b"close"),)) from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            piece: bytes = message.get("body", b"")
            octets += len(piece)
            if octets > limit:
                raise upload_too_large(limit)
            more = message.get("more_body", False)
            if piece:
                yield piece

    async def _fill(self, body: bytearray, limit: int, budget: Octets) -> None:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            piece: bytes = message.get("body", b"")
            if len(body) + len(piece) > limit:
                raise _too_large()
            budget.take(len(piece))
            body += piece
            more = message.get("more_body", False)

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send the head of the answer. Fields given here replace the safe defaults of the same name."""
        given = list(headers)
        names = {name for name, _ in given}
        given.extend(field for field in _SAFE if field[0] not in names)
        if self.secure:
            given.append(_HSTS)
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": given})

    async def piece(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(
        self, status: int, data: bytes, kind: bytes = b"application/json", headers: Iterable[Header] = ()
    ) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(data)).encode())
        await self.start(status, ((b"content-type", kind), length, *headers))
        if len(data) > _AT_ONCE and self.method != "HEAD":
            await self._large(data)
            data = b""
        await self.piece(b"" if self.method == "HEAD" else data, more=False)

    async def _large(self, data: bytes) -> None:
        """Send what is large piece by piece, each once the one before has been read: who reads slowly holds it once, and not for ever."""
        view = memoryview(data)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                for at in range(0, len(data), _PIECE):
                    await self.piece(bytes(view[at : at + _PIECE]), more=True)
        except TimeoutError:
            if self._connection is not None:
                self._connection.cut("slow reader")
            raise Disconnected from None

    async def empty(self, status: int, headers: Iterable[Header] = ()) -> None:
        """Send an answer without a body."""
        await self.start(status, ((b"content-length", b"0"), *headers) if status not in {204, 304} else headers)
        await self.piece(b"", more=False)

    async def problem(self, problem: Problem) -> None:
        """Send problem details (RFC 7807)."""
        body: dict[str, Any] = {"type": problem.type, "status": problem.status, **problem.members}
        if problem.type == "about:blank":
            body["title"] = HTTPStatus(problem.status).phrase
        if problem.detail:
            body["detail"] = problem.detail
        await self.answer(problem.status, encode_json(body), b"application/problem+json", (NO_STORE, *problem.headers))


@functools.lru_cache(1024)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _too_large() -> Problem:
    # RFC 8620 §3.6.1; the rest of the body is not waited for
    return Problem(
        400, LIMIT_TYPE, "The request is larger than the server is willing to process.",
        headers=((b"connection", b"close"),), limit="maxSizeRequest",
    )  # fmt: skip


def upload_too_large(limit: int) -> Problem:
    """Return the problem that an upload of more than `limit` octets is (RFC 8620 §6.1); its rest is not waited for."""
    return Problem(
        413, LIMIT_TYPE, "The upload is larger than the server is willing to keep.",
        headers=((b"connection", b"close"),), limit="maxSizeUpload", maxSize=limit,
    )  # fmt: skip


def _origin(peer: str, secure: bool, headers: dict[bytes, bytes], proxies: Sequence[Network]) -> tuple[str, bool]:
    """Return the client's address and whether it speaks TLS, as far as trusted proxies say so."""
    if not proxies or not _trusted(peer, proxies):
        return peer, secure
    secure = headers.get(b"x-forwarded-proto", b"").split(b",")[-1].strip() == b"https"
    hops = [hop.strip() for hop in headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",") if hop.strip()]
    for hop in reversed(hops):  # the right-most hop that is none of our proxies
        try:
            ipaddress.ip_address(hop)
        except ValueError:
            break
        peer = hop
        if not _trusted(hop, proxies):
            break
    return peer, secure


def _trusted(address: str, proxies: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in proxies)
