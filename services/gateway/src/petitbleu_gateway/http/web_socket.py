"""A WebSocket (RFC 6455) on a connection of ours, with bounds: on messages, on their pieces and time, on readers that stall.

No extension is offered: a compressor's window for each of thousands of idle connections would be most of their memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections import deque
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.utils import accept_key

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Exchange, Octets
from petitbleu_gateway.http.long_connection import LongConnection

_VERSION: Final = "13"
_MAX_PIECES: Final = 1024
"""Frames of one message: a piece costs more memory than its octets."""
_MAX_CONTROLS: Final = 50
"""Control frames between two ticks: each ping is answered."""
_PING_SECONDS: Final = 55.0
"""Silence after which we ask whether the peer is there; many proxies end what is silent for a minute."""
_SILENT_SECONDS: Final = 3 * _PING_SECONDS + 5
_CLOSE_SECONDS: Final = 5.0
# one logger for all, whose level is looked at for each frame
_quiet: Final = logging.getLogger("petitbleu.websocket")
_quiet.setLevel(logging.ERROR)

GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
INVALID: Final = 1007
POLICY: Final = 1008
TRY_AGAIN: Final = 1013


def handshake(exchange: Exchange, subprotocol: str, origin: str) -> bytes:
    """Return the answer that opens a WebSocket (RFC 6455 §4.2.2).

    Args:
        exchange: The request.
        subprotocol: The one that the client must offer.
        origin: Ours; a page of another may not use what its reader's browser remembers (RFC 6455 §10.2).

    Raises:
        Problem: 426 when it is no handshake of version 13, 400 when it is broken, 403 for a foreign page.
    """
    tokens = {token.strip().lower() for token in exchange.header(b"connection").split(",")}
    if "upgrade" not in tokens or exchange.header(b"upgrade").lower() != "websocket":
        raise Problem(
            426, detail="This door is a WebSocket's.", headers=((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
        )
    if exchange.header(b"sec-websocket-version") != _VERSION:
        raise Problem(426, headers=((b"sec-websocket-version", _VERSION.encode()),))  # RFC 6455 §4.4
    key = exchange.header(b"sec-websocket-key")
    try:
        right = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        right = False
    if not right:
        raise Problem(400, detail="Sec-WebSocket-Key is not 16 octets in base64.")
    if exchange.header(b"origin") and exchange.header(b"origin").lower() != origin.lower():
        raise Problem(403, detail="Pages of other origins may not open a WebSocket.")
    offered = [name.strip() for name in exchange.header(b"sec-websocket-protocol").split(",")]
    if subprotocol not in offered:
        raise Problem(400, detail=f"The subprotocol {subprotocol} must be offered.")
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    ).encode("ascii")


class WebSocket:
    """The frames of one connection; text messages come out whole, and nothing is read on while one waits.

    Args:
        connection: The connection.
        wake: Set whenever a message waits.
        max_octets: Of a message.
        message_seconds: Time for a message from its first octet to its last.
        budget: Octets in flight.
    """

    def __init__(
        self, connection: LongConnection, wake: asyncio.Event, max_octets: int, message_seconds: float,
        budget: Octets,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._wake = wake
        self._seconds = message_seconds
        self._budget = budget
        self._frames = Protocol(SERVER, state=OPEN, max_size=max_octets, logger=_quiet)
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._binary = False
        self._controls = 0
        self._octets = 0  # received, and not yet of a message that is whole
        self._held = 0
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._write_paused = False
        self._closing = False
        self._heard_at = self._asked_at = self._now()
        self._began_at = 0.0

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    @property
    def waiting(self) -> bool:
        """Whether a message waits."""
        return bool(self._waiting)

    def take(self) -> tuple[bytes, int]:
        """Return the message that waits, and the octets to `settle` once it is answered."""
        found = self._waiting.popleft()
        self._pace()
        return found

    def settle(self, octets: int) -> None:
        """Give back what a message held."""
        self._held -= octets
        self._budget.give_back(octets)

    def release(self) -> None:
        """Give back everything: the connection has ended."""
        self._closing = True
        self._waiting.clear()
        self.settle(self._held)

    def received(self, data: bytes) -> None:
        """Take octets from the connection."""
        self._heard_at = self._now()
        if self._closing:
            self._finish(data)
            return
        try:
            self._budget.take(len(data))
        except Problem:
            self.close(TRY_AGAIN)
            return
        self._octets += len(data)
        self._held += len(data)
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            if isinstance(frame, Frame) and not self._closing:
                self._take_frame(frame)
        self._flush()
        if self._has_ended():
            return
        if self._frames.current_size is None and not self._frames.reader.buffer:
            self.settle(self._octets)
            self._octets = 0
        if not self._octets:
            self._began_at = 0.0
        elif not self._began_at:
            self._began_at = self._heard_at
        self._pace()

    def _has_ended(self) -> bool:
        return self._closing

    def _finish(self, data: bytes) -> None:
        """Look for the peer's Close only; what else it still sends is dropped (RFC 6455 §1.4)."""
        if self._is_over():
            return
        self._frames.receive_data(data)
        self._frames.events_received()
        self._frames.data_to_send()
        if self._is_over():
            self._connection.close()

    def _is_over(self) -> bool:
        return self._frames.eof_sent

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.PING, Opcode.PONG, Opcode.CLOSE}:
            self._controls += 1
            if self._controls > _MAX_CONTROLS:
                self.close(POLICY)
            return
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            self._pieces = []
        self._pieces.append(frame.data)
        if self._binary:
            self.close(UNSUPPORTED)  # RFC 8887 §4.3.1: JMAP is text
        elif len(self._pieces) > _MAX_PIECES:
            self.close(POLICY)
        elif frame.fin:
            self._finish_message(b"".join(self._pieces))

    def _finish_message(self, text: bytes) -> None:
        self._pieces = []
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:  # RFC 6455 §8.1
            self.close(INVALID)
            return
        self._waiting.append((text, self._octets))
        self._octets = 0
        self._wake.set()

    def _flush(self) -> None:
        """Write what the protocol has to say; its end is the connection's (RFC 6455 §7.1.1)."""
        for octets in self._frames.data_to_send():
            if octets:
                self._connection.write(octets)
            elif self._frames.close_rcvd is not None:
                self._closing = True
                self._connection.close()
            else:
                self._refuse()

    def _refuse(self) -> None:
        """Read on for a while after a Close that answers none: what a peer has not got of it is lost if it is reset (RFC 6455 §7.1.1)."""
        self._closing = True
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._connection.cut, "no end")
        self._connection.pause_reading(paused=False)

    def _pace(self) -> None:
        self._connection.pause_reading(paused=bool(self._waiting) or self._write_paused)

    def write_paused(self) -> None:
        """Read nothing that would have to be answered until the peer has read."""
        self._write_paused = True
        self._pace()

    def write_resumed(self) -> None:
        """Go on."""
        self._write_paused = False
        self._pace()

    async def send(self, text: bytes) -> None:
        """Send a text message, and wait until the peer has read enough of it."""
        if self._closing or self._connection.closing or self._frames.state is not OPEN:
            return
        self._frames.send_text(text)
        self._flush()
        self._asked_at = self._now()
        await self._connection.drain()

    def close(self, code: int) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2); the connection ends soon, whatever the peer does."""
        if self._closing or self._connection.closing:
            return
        self._closing = True
        if self._frames.state is OPEN:  # what came after may have ended it already: then its own Close says why
            self._frames.send_close(code)
        self._flush()
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._connection.cut, "no end")
        self._connection.pause_reading(paused=False)

    def tick(self, now: float) -> None:
        """Look at the time: a message that comes too slowly, a peer that is silent."""
        self._controls = 0
        if self._closing:
            return
        if self._began_at and now - self._began_at > self._seconds:
            self.close(POLICY)
        elif now - self._heard_at > _SILENT_SECONDS and not self._waiting and not self._write_paused:
            self._connection.cut("silent peer")
        elif now - max(self._heard_at, self._asked_at) > _PING_SECONDS and not self._write_paused:
            self._asked_at = now
            self._frames.send_ping(b"")
            self._flush()
