"""A connection of ours: uvicorn's, with bounds on heads, on the time that they take, on readers that stall, and a client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Counter
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from petitbleu_gateway.http.clients import Client, ClientBook
from petitbleu_gateway.http.long_connection import LONG_CONNECTION, Guest, keep_probing

_cut = Counter("petitbleu_http_connections_cut_total", "Connections that we ended", ["why"])

# RFC 6585 §4
_TOO_MANY: Final = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
# RFC 6585 §5
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection; seconds and octets."""

    head_octets: int
    head_fields: int
    head_seconds: float
    stall_seconds: float


class BoundedProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection.

    uvicorn bounds neither the size of a head nor the time it takes, and waits for ever for a peer that does not read:
    each of those would let one client hold memory or a place.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        clients: ClientBook,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._clients = clients
        self._client: Client | None = None
        self._in_head = True
        self._head_octets = 0
        self._in_body = False
        self._silent_octets = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._large = False
        self._refused = False
        self._on_lost: Callable[[], None] | None = None
        self._guest: Guest | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and allow the first head its time; a client that has too many connections gets no other."""
        super().connection_made(transport)
        self._client = self._clients.enter(self.client[0] if self.client else "")
        if self._client is None:
            self._refuse(_TOO_MANY, "too many of client")
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let no timer outlive the connection."""
        self._clients.leave(self._client)
        self._client = None
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()
        self._on_lost = self._guest = None
        if self.scope is not None:
            self.scope.get("extensions", {}).clear()  # else only the garbage collector would find the connection

    def hold(self, on_lost: Callable[[], None]) -> None:
        """Go on for long: say when the peer has gone, and find out when it went without a word."""
        self._on_lost = on_lost
        keep_probing(self.transport)

    def switch(self, guest: Guest, answer: bytes) -> None:
        """Write the answer of an upgrade (RFC 9110 §7.8) and give the connection to whoever speaks the other protocol."""
        if self.pipeline:  # another request came behind this one, and would be answered on it
            self._cut("request behind an upgrade")
            return
        # the cycle is over as far as uvicorn is concerned: it neither ends the answer nor reads what follows
        self.cycle.response_started = self.cycle.response_complete = True
        self._guest = guest
        self.transport.write(answer)

    def write(self, data: bytes) -> None:
        """Write on a connection that was switched."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has read enough of what was written, or has gone."""
        if self.flow.write_paused and not self.transport.is_closing():
            await self.flow.drain()

    def close(self) -> None:
        """Write what is to be written, then end."""
        self.transport.close()

    def cut(self, why: str) -> None:
        """End at once, unless it has ended."""
        if self.parser is not None:
            self._cut(why)

    @property
    def closing(self) -> bool:
        """Whether the connection is about to end."""
        return self.transport.is_closing()

    @property
    def write_paused(self) -> bool:
        """Whether the peer reads more slowly than we write."""
        return self.flow.write_paused

    def pause_reading(self, *, paused: bool) -> None:
        """Read no more from a connection that was switched, or go on."""
        if self.transport.is_closing():
            return
        if paused:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a request for a protocol that a door does not have is answered as any other."""

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._cut, "slow head")

    def _await_no_more(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self, why: str) -> None:
        _cut.labels(why=why).inc()
        self._head_timer = self._stall_timer = None
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser while the head is within its bounds."""
        if self._refused:
            return
        if self._guest is not None:
            self._guest.received(data)
            return
        before = self._in_head
        self._silent_octets += len(data)
        super().data_received(data)
        if self._in_body and self._silent_octets > self._limits.head_octets and not self._refused:
            # a trailer section or a chunk's extension (RFC 9112 §7.1), of which the parser keeps what is not yet whole
            self._refused = True
            self._cut("large trailer")
        if before and self._in_head and not self._refused:
            self._head_octets += len(data)
            if self._head_octets > self._limits.head_octets:
                self._refuse()

    def _refuse(self, answer: bytes = _TOO_LARGE, why: str = "large head") -> None:
        self._refused = True
        _cut.labels(why=why).inc()
        self.transport.write(answer)
        self.transport.close()

    def on_message_begin(self) -> None:
        """Count the octets of a new head."""
        super().on_message_begin()
        self._in_head = True
        self._head_octets = 0
        self._in_body = False
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field; too many make the parser stop."""
        super().on_header(name, value)
        if len(self.headers) > self._limits.head_fields:
            self._large = True
            raise ValueError("too many header fields")

    def on_headers_complete(self) -> None:
        """Start the request, unless its head came in one large piece."""
        self._in_head = False
        self._in_body = True
        self._silent_octets = 0
        self._await_no_more()
        octets = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if octets > self._limits.head_octets:
            self._large = True
            raise ValueError("head too large")
        super().on_headers_complete()
        self.scope["extensions"] = {LONG_CONNECTION: self}  # type: ignore[dict-item]

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body: what the parser holds is not without end."""
        self._silent_octets = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._await_no_more()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on; a request that was answered before it was whole has little time left to become it."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be read, and read no more of it."""
        if self._large:
            self._refuse()
            return
        self._refused = True
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The peer reads more slowly than we write: it must go on within the bound."""
        super().pause_writing()
        if self._guest is not None:
            self._guest.write_paused()
        self._watch_reader(-1)

    def resume_writing(self) -> None:
        """The peer caught up."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()
        if self._guest is not None:
            self._guest.write_resumed()

    def _watch_reader(self, waiting: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now == waiting:
            self._cut("stalled reader")
            return
        self._stall_timer = self.loop.call_later(self._limits.stall_seconds, self._watch_reader, now)


def protocol_factory(limits: ConnectionLimits, clients: ClientBook) -> Callable[..., BoundedProtocol]:
    """Return what uvicorn calls for each new connection."""

    def make(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> BoundedProtocol:
        return BoundedProtocol(limits, clients, config, server_state, app_state, _loop)

    return make
