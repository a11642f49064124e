"""Between the socket and the session: reads of 64 KiB into one buffer that all sessions of a worker share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger


class Wire(asyncio.BufferedProtocol):
    """Hands what is read to the exchanger.

    asyncio calls `buffer_updated` right after the read that `get_buffer` served, and each read is copied out there, so one
    buffer serves every session.
    """

    __slots__ = ("_buffer", "_smtp", "_view")

    def __init__(self, smtp: MailExchanger, buffer: bytearray) -> None:
        self._smtp = smtp
        self._buffer = buffer
        self._view = memoryview(buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._smtp.wire = self
        self._smtp.connection_made(transport)

    def get_buffer(self, _sizehint: int) -> bytearray:
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Octets are there."""
        self._smtp.data_received(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool | None:
        """The client says no more."""
        return self._smtp.eof_received()

    def pause_writing(self) -> None:
        """The client does not read our replies."""
        self._smtp.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._smtp.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._smtp.connection_lost(exc)
