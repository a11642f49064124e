"""Sending mail through the platform's own SMTP door, several connections at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from petitbleu_cli.demo.corpus import Letter
from petitbleu_cli.failure import Failure

_CONNECTIONS: Final = 4
_SECONDS: Final = 30.0
_TRIES: Final = 4
_LINE_START_DOT: Final = re.compile(rb"^\.", re.MULTILINE)


class _TryAgain(Exception):  # noqa: N818 — an answer of the server, not a mistake
    """The server says: later."""


class Door:
    """One session with the SMTP door (RFC 5321)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Door:
        """Connect and say EHLO."""
        reader, writer = await asyncio.open_connection(host, port)
        door = cls(reader, writer)
        await door._expect(220)
        writer.write(b"EHLO demo.localhost\r\n")
        await door._expect(250)
        return door

    async def _expect(self, code: int) -> None:
        async with asyncio.timeout(_SECONDS):
            while (line := await self._reader.readline())[3:4] == b"-":
                pass
        if not line or line[:1] == b"4":
            raise _TryAgain
        if not line.startswith(b"%d" % code):
            raise Failure(f"the SMTP door refuses the demo mail: {line[:120].decode('ascii', 'replace').strip()}")

    async def send(self, letter: Letter, recipient: str) -> None:
        """Send one message; it is durable on return."""
        # RFC 2920 §3.1: the envelope in one go; 8BITMIME of RFC 6152 §3
        self._writer.write(f"MAIL FROM:<{letter.sender}> BODY=8BITMIME\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        for code in (250, 250, 354):
            await self._expect(code)
        self._writer.write(_LINE_START_DOT.sub(b"..", letter.octets) + b".\r\n")  # RFC 5321 §4.5.2
        await self._writer.drain()
        await self._expect(250)

    async def close(self) -> None:
        """Say goodbye."""
        self._writer.write(b"QUIT\r\n")
        self._writer.close()


async def send_all(address: str, letters: Iterable[Letter], recipient: str) -> None:
    """Send all of these; return when each is durable.

    Raises:
        Failure: when the door is closed, or refuses one.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise Failure("the SMTP door is written HOST:PORT")
    waiting = iter(list(letters))

    async def work() -> None:
        lane = _Lane(host.strip("[]"), int(port), recipient)
        for letter in waiting:
            await lane.send(letter)
        await lane.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(work())


class _Lane:
    """One connection at a time, opened anew when it breaks or the server says later."""

    def __init__(self, host: str, port: int, recipient: str) -> None:
        self._host = host
        self._port = port
        self._recipient = recipient
        self._door: Door | None = None

    async def send(self, letter: Letter) -> None:
        """Send one message, trying a few times."""
        for attempt in range(1, _TRIES + 1):
            try:
                if self._door is None:
                    self._door = await Door.open(self._host, self._port)
                await self._door.send(letter, self._recipient)
            except (OSError, TimeoutError, _TryAgain) as error:
                await self.close()
                if attempt == _TRIES:
                    raise Failure(f"the SMTP door at {self._host}:{self._port} does not take the demo mail") from error
                await asyncio.sleep(0.3 * 2**attempt)
            else:
                return

    async def close(self) -> None:
        """End the connection."""
        if self._door is not None:
            await self._door.close()
            self._door = None
