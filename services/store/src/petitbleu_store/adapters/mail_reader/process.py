"""The reading process from outside: started when it is needed, replaced when it ends or takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import Final

import msgspec

from petitbleu_store.adapters.mail_reader.requests import LENGTH, MAX_OCTETS, Answer, Failed, Outcome, Request

_MODULE: Final = "petitbleu_store.adapters.mail_reader.worker"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Outcome]] = msgspec.msgpack.Decoder(Outcome)


class ReaderError(Exception):
    """A request was not answered: a message in it ended the reader, took too long, or cannot be read."""


class MailReader:
    """One process that reads mail, one request at a time.

    Args:
        nice: Its niceness (nice(2)): 19 goes after everything else.
        seconds: Longest time for one request.
    """

    def __init__(self, nice: int, seconds: float = 60.0) -> None:
        self._nice = nice
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._closed = False
        self._used = 0.0

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return None if self._process is None else self._process.pid

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request.

        Raises:
            ReaderError: there is none; another request may have one.
        """
        octets = _ENCODER.encode(request)
        if len(octets) > MAX_OCTETS:
            raise ReaderError("too large")
        async with self._turn:
            if self._closed:
                raise ReaderError("closed")
            self._used = time.monotonic()
            try:
                async with asyncio.timeout(self._seconds):
                    outcome = await self._asked(octets)
            except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError, ValueError) as error:
                await self._end()
                raise ReaderError(type(error).__qualname__) from None
            except BaseException:  # cancelled: nobody knows what is in the pipes
                await self._end()
                raise
        if isinstance(outcome, Failed):
            raise ReaderError(outcome.error_type)
        return outcome.answer

    async def rest(self, seconds: float = 60.0) -> None:
        """End the process if nobody asked it for so long: it holds some 50 MiB."""
        if self._process is not None and not self._turn.locked() and time.monotonic() - self._used > seconds:
            async with self._turn:
                await self._end()

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        async with self._turn:
            await self._end()

    async def _asked(self, octets: bytes) -> Outcome:
        process = self._process
        if process is None or process.returncode is not None:
            # Nothing of ours goes with it: no environment, no folder.
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", _MODULE, str(self._nice), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={}, cwd="/", start_new_session=True,
            )  # fmt: skip
        writer, reader = process.stdin, process.stdout
        if writer is None or reader is None:
            raise ValueError("no pipes")
        writer.write(LENGTH.pack(len(octets)))
        writer.write(octets)
        await writer.drain()
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > MAX_OCTETS:
            raise ValueError("more than was asked for")
        return _DECODER.decode(await reader.readexactly(size))

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.transport.abort()
        await asyncio.shield(process.wait())
