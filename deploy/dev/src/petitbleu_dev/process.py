"""One supervised program: started, watched, restarted with back-off, stopped."""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from petitbleu_dev import proctable
from petitbleu_dev.errors import NotYetError, StackError
from petitbleu_dev.logfile import last_line
from petitbleu_dev.offspring import Offspring

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
STEADY_SECONDS = 20.0
"""A process that lived this long starts its next back-off from the beginning."""

PROBE_SECONDS = 0.1
PROBE_TIMEOUT_SECONDS = 3.0
WATCH_SECONDS = 5.0
"""Between two looks at a program that may live and yet be of no use until it is started anew."""


class State(enum.StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPED = "stopped"


IDLE = frozenset({State.WAITING, State.BACKOFF, State.STOPPED})
"""States without a process, and with none about to be."""


async def _nothing() -> None:
    """Do nothing: the default of the optional steps."""


async def _no_fault() -> str:
    """Find nothing: the default of `fault`."""
    return ""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to know that it runs.

    `prepare` comes before each start and `settle` once it first answers `probe`; either raises StackError with a line, or NotYetError.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    probe: Callable[[], Awaitable[bool]]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], Awaitable[None]] = _nothing
    settle: Callable[[], Awaitable[None]] = _nothing
    fault: Callable[[], Awaitable[str]] = _no_fault
    """What is wrong with a living program that only a new start mends, in a few words; empty when nothing is."""
    cleanup: Callable[[], None] = lambda: None
    shim: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    crash_signal: signal.Signals = signal.SIGKILL
    """What the process gets when the supervisor is no more."""
    tier: int = 1
    """Stopped from the highest tier down: services 2, what uses PostgreSQL 1, PostgreSQL 0."""


@dataclass(slots=True)
class Process:
    """A program under supervision; `run` lives as long as the stack."""

    program: Program
    offspring: Offspring
    say: Callable[[str], None]
    state: State = State.WAITING
    pid: int | None = None
    restarts: int = 0
    extra_environment: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _wanted: bool = False
    _settled: bool = False
    _failures: int = 0
    _killed_by_us: bool = False
    _said_reason: str = ""
    _preparing: asyncio.Task[None] | None = None

    async def run(self, needs_met: Awaitable[None]) -> None:
        """Keep the program alive until cancelled; `needs_met` is over when it may start for the first time."""
        await needs_met
        while True:
            await self.until(lambda: self._wanted)
            if await self._live_once():
                self.restarts += 1
                await self._become(State.BACKOFF)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff()):
                        await self.until(lambda: not self._wanted)
            else:
                await self._become(State.STOPPED)

    async def start(self) -> None:
        """Let it run."""
        await self._want(wanted=True)

    async def stop(self) -> None:
        """Stop it and keep it stopped; the program's own signal first, SIGKILL once its time is over."""
        await self._want(wanted=False)
        if self._preparing is not None:
            self._preparing.cancel()
        await self.until(lambda: self.pid is not None or self.state in IDLE)
        self.send(self.program.stop_signal)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.program.stop_seconds):
                await self.until(lambda: self.pid is None)
        self.kill_family()
        await self.until(lambda: self.state in IDLE)
        await self._become(State.STOPPED)

    def send(self, signum: signal.Signals) -> None:
        """Signal the program itself, not its children."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def send_asked(self, signum: signal.Signals) -> None:
        """Signal the program because somebody asked for it: if it dies of that, its next start comes as soon as after a first death."""
        self._killed_by_us = True
        self.send(signum)

    def kill_family(self) -> None:
        """SIGKILL to the program and all that descends from it."""
        if self.pid is not None:
            proctable.send(proctable.family([self.pid], proctable.entries()), signal.SIGKILL)

    async def until_ready(self) -> None:
        """Wait until it answers."""
        await self.until(lambda: self.state is State.READY)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something about this process."""
        async with self.changed:
            await self.changed.wait_for(condition)

    async def _become(self, state: State) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()

    async def _want(self, *, wanted: bool) -> None:
        async with self.changed:
            self._wanted = wanted
            self.changed.notify_all()

    def _backoff(self) -> float:
        """Seconds before the next start: doubled at each death in a row."""
        return min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** max(0, self._failures - 1))

    async def _live_once(self) -> bool:
        """One life from start to death; True when it died unasked."""
        await self._become(State.STARTING)
        try:
            if not await self._prepared():
                return False
            started = time.monotonic()
            self._killed_by_us = False
            child = await self._spawn()
        except (StackError, OSError) as error:
            self._failures += 1
            if str(error) != self._said_reason:
                self.say(f"{self.program.name}: {error}; trying on")
            self._said_reason = str(error)
            return True
        probing = asyncio.create_task(self._look_after())
        try:
            code = await child.wait()
        finally:
            probing.cancel()
            await asyncio.wait([probing])
        asked = not self._wanted
        await self.offspring.bury(child.pid)
        self.program.cleanup()
        async with self.changed:
            self.pid = None
            self.state = State.STOPPED if asked else State.BACKOFF
            self.changed.notify_all()
        if asked:
            return False
        steady = time.monotonic() - started >= STEADY_SECONDS
        self._failures = 1 if steady or self._killed_by_us else self._failures + 1
        self._tell_death(code)
        return True

    async def _prepared(self) -> bool:
        """Run the step before a start; False when a stop came in between."""
        self._preparing = asyncio.ensure_future(self.program.prepare())
        try:
            await asyncio.wait([self._preparing])
            if self._preparing.cancelled() or not self._wanted:
                return False
            self._preparing.result()
        finally:
            self._preparing = None
        return True

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self.program
        child = await self.offspring.spawn(
            program.argv,
            {**program.environment, **self.extra_environment},
            program.log,
            options=program.shim,
            crash_signal=program.crash_signal,
        )
        async with self.changed:
            self.pid = child.pid
            self.changed.notify_all()
        return child

    async def _look_after(self) -> None:
        """Probe a new process until it answers, then end it when it has a fault that a new start mends."""
        await self._probe_until_ready()
        if self.program.fault is _no_fault:
            return
        fault = ""
        while not fault:
            await asyncio.sleep(WATCH_SECONDS)
            fault = await self._found_fault()
        self.say(f"{self.program.name}: {fault}; starting it again")
        self.send(self.program.stop_signal)
        await asyncio.sleep(self.program.stop_seconds)
        self.kill_family()

    async def _found_fault(self) -> str:
        """Return what is wrong; a question that fails is asked again, for a slow or strange answer is no such fault."""
        with suppress(Exception):
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                return await self.program.fault()
        return ""

    async def _probe_until_ready(self) -> None:
        said = ""
        while True:
            trouble = ""
            try:
                if await self._answers():
                    break
            except (OSError, TimeoutError, NotYetError):
                pass  # what start-up waits for is on the progress line
            except StackError as error:
                trouble = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a probe meets, it is tried again, and said
                trouble = f"{type(error).__name__}: {error}"
            if trouble and trouble != said:
                said = trouble
                self.say(f"{self.program.name}: {trouble}")
            await asyncio.sleep(PROBE_SECONDS)
        await self._become(State.READY)
        if self.restarts:
            self.say(f"{self.program.name} answers again")

    async def _answers(self) -> bool:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            alive = await self.program.probe()
        if alive and not self._settled:
            await self.program.settle()
            self._settled = True
        return alive

    def _tell_death(self, code: int) -> None:
        """Say the first death, and further ones in a row only when their reason is another."""
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        reason = f" (its log ends: {last_line(self.program.log)})" if code > 0 or self._failures > 1 else ""
        if self._failures == 1:
            self.say(f"{self.program.name} {how}; starting it again{reason}")
        elif reason != self._said_reason:
            self.say(f"{self.program.name} {how} again; trying on, at most {LAST_BACKOFF_SECONDS:.0f} s apart{reason}")
        self._said_reason = reason
