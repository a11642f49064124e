"""clamd by its own protocol: `INSTREAM`, a length before each piece, an answer in one line."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from petitbleu_kit.scanners.scanning import Advice, Letter, ScanError, Scanned

_MAX_ANSWER = 4096


class Clamd:
    """A clamd at `host:port` or `unix:/path`."""

    name = "clamd"

    def __init__(self, place: str) -> None:
        self._place = place

    async def scan(self, _letter: Letter, _size: int | None, pieces: AsyncIterator[bytes], seconds: float) -> Scanned:
        """Send a message and read the answer; raises as `Scanner.scan` says."""
        async with asyncio.timeout(seconds):
            reader, writer = await connected(self._place)
        try:
            writer.write(b"zINSTREAM\0")
            async for piece in pieces:
                writer.write(struct.pack(">I", len(piece)) + piece)
                async with asyncio.timeout(seconds):
                    await writer.drain()
            writer.write(struct.pack(">I", 0))
            async with asyncio.timeout(seconds):
                await writer.drain()
                answer = await reader.readuntil(b"\0")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return answer_of(answer)


def answer_of(answer: bytes) -> Scanned:
    """Read the line that clamd says. Raises `ScanError`."""
    line = answer.rstrip(b"\0\r\n ")
    if line.endswith(b" FOUND"):
        return Scanned(Advice.VIRUS)
    if line.endswith(b" OK") or line == b"stream: OK":
        return Scanned(Advice.CLEAN)
    raise ScanError("clamd says neither OK nor FOUND")


async def connected(place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to `host:port` or `unix:/path`."""
    if place.startswith("unix:"):
        return await asyncio.open_unix_connection(place.removeprefix("unix:"), limit=_MAX_ANSWER)
    host, _, port = place.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), limit=_MAX_ANSWER)
