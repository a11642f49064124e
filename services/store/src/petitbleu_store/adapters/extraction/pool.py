"""Workers that read attachments, as many at once as allowed; one that ends is replaced when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import Final

from petitbleu_store.adapters.extraction.outcomes import (
    ANSWER,
    EXIT_TIMED_OUT,
    EXIT_TOO_BIG,
    REQUEST,
    Extracted,
    Kind,
    Limits,
    Outcome,
)

_MODULE: Final = "petitbleu_store.adapters.extraction.worker"
_ENDS: Final[dict[int | None, Outcome]] = {EXIT_TIMED_OUT: Outcome.TIMED_OUT, EXIT_TOO_BIG: Outcome.TOO_BIG}


class ExtractionPool:
    """Reads attachments, one a worker at a time; who comes when all are busy waits.

    Args:
        limits: Bounds on each attachment.
        workers: Processes at once. None is started before it is needed.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        self.limits = limits or Limits()
        self._free = asyncio.Semaphore(workers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._closed = False
        self._used = 0.0
        self.replaced = 0
        """Workers that ended without answering."""

    async def extract(self, kind: Kind | None, data: bytes, charset: str | None = None) -> Extracted:
        """Return the text of an attachment. Nothing about the file makes this raise.

        Args:
            kind: Its format (`outcomes.kind_of`).
            data: Its octets, decoded from their transfer encoding.
            charset: As its Content-Type names it; for text and HTML.

        Raises:
            OSError: no worker can be started.
            RuntimeError: the pool is closed.
        """
        if kind is None:
            return Extracted(Outcome.UNSUPPORTED)
        if not data:
            return Extracted(Outcome.EMPTY)
        if len(data) > self.limits.input_octets:
            return Extracted(Outcome.TOO_BIG)
        self._used = time.monotonic()
        async with self._free:
            while True:
                if self._closed:
                    raise RuntimeError("the pool is closed")
                known = bool(self._idle)
                worker = self._idle.pop() if known else await _start()
                answer = await self._try(worker, kind, data, charset or "")
                # A worker that had time to end by itself proves nothing against the file: a new one is asked.
                if answer is not None or not known:
                    return answer or Extracted(Outcome.BROKEN)

    async def _try(self, worker: asyncio.subprocess.Process, kind: Kind, data: bytes, charset: str) -> Extracted | None:
        """Ask a worker and keep it if it answers; None when it ended and does not say why."""
        try:
            async with asyncio.timeout(self.limits.wall_seconds):
                answer = await self._ask(worker, kind, data, charset)
        except TimeoutError:
            return Extracted(Outcome.TIMED_OUT)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            outcome = _ENDS.get(await _status(worker))
            return None if outcome is None else Extracted(outcome)
        else:
            self._idle.append(worker)
            return answer
        finally:
            if worker not in self._idle:  # also when the caller was cancelled
                self.replaced += 1
                await _end(worker)

    async def _ask(self, worker: asyncio.subprocess.Process, kind: Kind, data: bytes, charset: str) -> Extracted:
        writer, reader = worker.stdin, worker.stdout
        if writer is None or reader is None:
            raise ValueError("no pipes")
        limits = self.limits
        name = charset.encode("ascii", "replace")[:64]
        head = (kind, len(data), limits.output_octets, limits.memory_octets, limits.cpu_seconds, name)
        writer.write(REQUEST.pack(*head))
        writer.write(data)
        await writer.drain()
        outcome, cut, octets = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        if octets > limits.output_octets:
            raise ValueError("more than was asked for")
        return Extracted(Outcome(outcome), (await reader.readexactly(octets)).decode(), bool(cut))

    async def rest(self, seconds: float = 60.0) -> None:
        """End the idle workers if nobody asked for so long."""
        while self._idle and time.monotonic() - self._used > seconds:
            await _end(self._idle.pop())

    async def close(self) -> None:
        """End the idle workers; those that are reading end with their file."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())


async def _start() -> asyncio.subprocess.Process:
    # Nothing of ours goes with it: no environment, no folder, no place to write to.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", _MODULE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={}, cwd="/", start_new_session=True,
    )  # fmt: skip


async def _status(worker: asyncio.subprocess.Process) -> int | None:
    """Return how a worker ended that has closed its pipe; None if it has not within a second."""
    if worker.stdin is not None and not worker.stdin.transport.is_closing():
        worker.stdin.transport.abort()  # asyncio waits for the pipes too, and what was not read of the file never will be
    try:
        async with asyncio.timeout(1):
            return await worker.wait()
    except TimeoutError:
        return None


async def _end(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.terminate()
    if await asyncio.shield(_status(worker)) is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)  # with the child that reads, if there is one
        await asyncio.shield(worker.wait())
