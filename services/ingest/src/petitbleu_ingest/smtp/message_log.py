"""One JSON line a message, written for many messages at once: the log is part of the cost of a message."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

import msgspec

from petitbleu_kit.logs import LogStream


class MessageLine(msgspec.Struct, omit_defaults=True):
    """A line of the log, with the keys that every log line has, and opaque ids only."""

    timestamp: str
    session: str
    queue_id: str
    verdict: str
    octets: int
    recipients: int
    milliseconds: float
    accepted_id: str = ""
    trace_id: str = ""
    tls: bool = False
    staged: bool = False
    event: str = "message"
    level: str = "info"
    service: str = "ingest"


_encode = msgspec.json.Encoder().encode_into
# `omit_defaults` saves empty fields; these three are always said
_HEAD = b'{"event":"message","level":"info","service":"ingest",'


class MessageLog:
    """Gathers lines during one turn of the loop and writes them with one call."""

    def __init__(self, out: BinaryIO | None = None, *, enabled: bool = True) -> None:
        self._out = LogStream(out)
        self._enabled = enabled
        self._lines = bytearray()
        self._scheduled = False
        self._scratch = bytearray()

    def write(self, line: MessageLine) -> None:
        """Add a line."""
        if not self._enabled:
            return
        _encode(line, self._scratch)
        self._lines += _HEAD
        self._lines += memoryview(self._scratch)[1:]
        self._lines += b"\n"
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is gathered."""
        self._scheduled = False
        if self._lines:
            self._out.write(self._lines)
            self._out.flush()
            self._lines.clear()
