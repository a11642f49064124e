"""Replies of a server: read within bounds, whatever it sends (RFC 5321 §4.2)."""

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol

import msgspec

# RFC 5321 §4.5.3.1.5 allows 512 octets; servers send more.
MAX_LINE: Final = 4096
MAX_LINES: Final = 128
_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: |$)")
_TEXT: Final = 400


class NotAReplyError(Exception):
    """What came is no reply of SMTP."""


class ServerReply(msgspec.Struct, frozen=True):
    """A whole reply: its code, its enhanced status code (RFC 2034) or empty, and its lines without either."""

    code: int
    enhanced: str
    lines: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """Its lines as one, printable characters only."""
        joined = b" ".join(self.lines).decode("utf-8", "replace")[:_TEXT]
        return "".join(char if char.isprintable() else "?" for char in joined)

    @property
    def status(self) -> str:
        """Its enhanced status code, or the one that its first digit stands for (RFC 3463)."""
        return self.enhanced or f"{self.code // 100 if self.code // 100 in {2, 4, 5} else 4}.0.0"


class Lines(Protocol):
    """Gives lines, each with its line end."""

    async def readuntil(self, separator: bytes = ...) -> bytes:
        """Return all until and with the separator."""
        ...


async def read_reply(reader: Lines) -> ServerReply:
    """Read one reply, of one line or several.

    Raises:
        NotAReplyError: it is none, or too long.
        asyncio.IncompleteReadError: the connection ended.
    """
    lines: list[bytes] = []
    code = enhanced = b""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise NotAReplyError from error
        if len(line) > MAX_LINE or len(lines) >= MAX_LINES:
            raise NotAReplyError
        found = _LINE.fullmatch(line.rstrip(b"\r\n"))
        if found is None or (code and found.group(1) != code):
            raise NotAReplyError
        code = found.group(1)
        text = found.group(3) or b""
        status = _ENHANCED.match(text)
        # RFC 2034 §4: its first digit is the code's
        if status is not None and status.group(1) == code[:1]:
            enhanced = enhanced or status.group(0).rstrip()
            text = text[status.end() :]
        lines.append(text)
        if found.group(2) != b"-":
            return ServerReply(int(code), enhanced.decode("ascii"), tuple(lines))
