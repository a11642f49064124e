"""Processes that render messages, as many at once as allowed; one that ends is replaced when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import Final

import msgspec
from prometheus_client import Counter

from petitbleu_gateway.adapters.rendering_worker import ANSWER, NO_MESSAGE, RENDERED, REQUEST
from petitbleu_gateway.domain.rendering import Rendering, RenderingJob
from petitbleu_gateway.errors import BusyError, UnreadableError

_MODULE: Final = "petitbleu_gateway.adapters.rendering_worker"
_outcomes = Counter("petitbleu_gateway_renderings_total", "Messages rendered", ["outcome"])


@dataclass(frozen=True, slots=True)
class RenderingLimits:
    """Bounds on the rendering of one message.

    Attributes:
        memory_octets: Address space of its process (RLIMIT_AS); the interpreter takes some 60 MiB of it.
        cpu_seconds: Processor time (RLIMIT_CPU).
        wall_seconds: From asking to the answer's end, the start of a process included.
        answer_octets: Of the answer as JSON.
        waiting: Messages that wait for a process; beyond, `BusyError`.
        idle_seconds: How long a process is kept that has nothing to do.
    """

    memory_octets: int = 512 << 20
    cpu_seconds: int = 5
    wall_seconds: float = 30.0
    answer_octets: int = 32 << 20
    waiting: int = 64
    idle_seconds: float = 300.0


class RenderingPool:
    """Renders messages, one a process at a time.

    Args:
        limits: Bounds on each message.
        workers: Processes at once. None is started before it is needed.
    """

    def __init__(self, limits: RenderingLimits | None = None, workers: int = 2) -> None:
        self.limits = limits or RenderingLimits()
        self._free = asyncio.Semaphore(workers)
        self._most = self.limits.waiting + workers
        self._asked = 0
        self._idle: list[tuple[asyncio.subprocess.Process, asyncio.TimerHandle]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.replaced = 0
        """Processes that ended without answering."""

    async def render(self, job: RenderingJob) -> Rendering | None:
        """Return the rendering of a message, None when it is no message.

        Raises:
            UnreadableError: it needs more time or memory than allowed, or ends the reader.
            BusyError: too many wait already.
        """
        if self._asked >= self._most or self._closed:
            _outcomes.labels(outcome="busy").inc()
            raise BusyError
        self._asked += 1
        try:
            async with self._free:
                return await self._render(msgspec.msgpack.encode(job))
        finally:
            self._asked -= 1

    async def _render(self, data: bytes) -> Rendering | None:
        while True:
            known = bool(self._idle)
            worker = self._wake() if known else await _start()
            try:
                outcome, body = await self._try(worker, data)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                # A process that had time to end by itself proves nothing against the message: a new one is asked.
                if known:
                    continue
                _outcomes.labels(outcome="ended").inc()
                raise UnreadableError from None
            if outcome == RENDERED:
                _outcomes.labels(outcome="rendered").inc()
                return msgspec.json.decode(body, type=Rendering)
            _outcomes.labels(outcome="no message" if outcome == NO_MESSAGE else "failed").inc()
            if outcome != NO_MESSAGE:
                raise UnreadableError
            return None

    async def _try(self, worker: asyncio.subprocess.Process, data: bytes) -> tuple[int, bytes]:
        answered = False
        try:
            async with asyncio.timeout(self.limits.wall_seconds):
                answer = await self._ask(worker, data)
                answered = True
                return answer
        except TimeoutError:
            _outcomes.labels(outcome="timed out").inc()
            raise UnreadableError from None
        finally:
            if answered and not self._closed:
                self._keep(worker)
            else:  # also when the caller was cancelled
                self.replaced += not answered
                self._end_soon(worker)

    async def _ask(self, worker: asyncio.subprocess.Process, data: bytes) -> tuple[int, bytes]:
        writer, reader = worker.stdin, worker.stdout
        if writer is None or reader is None:
            raise ValueError("no pipes")
        limits = self.limits
        writer.write(REQUEST.pack(len(data), limits.memory_octets, limits.cpu_seconds, limits.answer_octets))
        writer.write(data)
        await writer.drain()
        outcome, octets = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        if octets > limits.answer_octets:
            raise ValueError("more than was asked for")
        return outcome, await reader.readexactly(octets)

    def _keep(self, worker: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        self._idle.append((worker, loop.call_later(self.limits.idle_seconds, self._expire, worker)))

    def _wake(self) -> asyncio.subprocess.Process:
        worker, timer = self._idle.pop()
        timer.cancel()
        return worker

    def _expire(self, worker: asyncio.subprocess.Process) -> None:
        self._idle = [one for one in self._idle if one[0] is not worker]
        self._end_soon(worker)

    def _end_soon(self, worker: asyncio.subprocess.Process) -> None:
        task = asyncio.create_task(_end(worker))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._idle:
            self._end_soon(self._wake())
        if self._ending:
            await asyncio.wait(self._ending)


async def _start() -> asyncio.subprocess.Process:
    # Nothing of ours goes with it but whose process it is: no folder, no place to write to.
    environment = {name: os.environ[name] for name in ("PETITBLEU_DATA",) if name in os.environ}
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", _MODULE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=environment, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError:  # the machine has no room for another
        raise BusyError from None


async def _end(worker: asyncio.subprocess.Process) -> None:
    """End a process, and the child that reads, if there is one."""
    with contextlib.suppress(ProcessLookupError):
        worker.terminate()
    if worker.stdin is not None and not worker.stdin.transport.is_closing():
        worker.stdin.transport.abort()  # asyncio waits for the pipes too, and what was not read never will be
    try:
        async with asyncio.timeout(1):
            await worker.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        await worker.wait()
