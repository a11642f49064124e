"""The supervisor's children: how they are born, and that none outlives it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from petitbleu_dev import proctable, shim
from petitbleu_dev.logfile import open_log

PR_SET_CHILD_SUBREAPER = 36


class Offspring:
    """Starts processes, tells the reaper of each, and ends the families of the dead.

    As a subreaper (prctl(2)) this process inherits the children of those that die, PostgreSQL's backends for one, which
    have sessions of their own: a child that nobody here started is such an orphan.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._marker = f"PETITBLEU_STACK={secrets.token_hex(8)}"
        self._own: set[int] = set()
        self._leaders: dict[int, signal.Signals] = {}
        self._birth = asyncio.Lock()
        self._reaper: asyncio.subprocess.Process | None = None
        self._guard: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Become a subreaper and start the reaper."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        await self._start_reaper()
        self._guard = asyncio.create_task(self._keep_reaper())

    async def close(self) -> None:
        """Dismiss the reaper, once everything else is stopped; whatever is still left is killed."""
        if self._guard is not None:
            self._guard.cancel()
        await self._sweep()
        reaper, self._reaper = self._reaper, None
        if reaper is not None and reaper.stdin is not None:
            reaper.stdin.write(b"bye\n")
            reaper.stdin.close()
            await reaper.wait()

    async def spawn(
        self,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        log: Path,
        *,
        options: tuple[str, ...] = (),
        crash_signal: signal.Signals = signal.SIGKILL,
    ) -> asyncio.subprocess.Process:
        """Start a program in a session of its own, its output appended to `log`."""
        async with self._birth:
            with open_log(log) as output:
                child = await asyncio.create_subprocess_exec(
                    *_through_shim(argv, options, crash_signal),
                    env={**environment, **self._mark()},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._register(child.pid, crash_signal)
        return child

    async def run(
        self,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        *,
        options: tuple[str, ...] = (),
        text: str = "",
    ) -> tuple[int, str]:
        """Run a program to its end with `text` on its standard input; its exit status and all that it said."""
        async with self._birth:
            child = await asyncio.create_subprocess_exec(
                *_through_shim(argv, options, signal.SIGKILL),
                env={**environment, **self._mark()},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            self._register(child.pid, signal.SIGKILL)
        try:
            output, _ = await child.communicate(text.encode())
        finally:
            proctable.send(proctable.family([child.pid], proctable.entries()), signal.SIGKILL)
            code = await child.wait()
            await self.bury(child.pid)
        return code, output.decode("utf-8", "replace")

    async def bury(self, pid: int) -> None:
        """After the death of `pid`: kill what is left of its family and the orphans that it left."""
        proctable.send(proctable.family([pid], proctable.entries()), signal.SIGKILL)
        await self._sweep()
        self._leaders.pop(pid, None)
        self._own.discard(pid)
        await self._tell(f"del {pid}")

    def _mark(self) -> dict[str, str]:
        name, _, value = self._marker.partition("=")
        return {name: value, "PETITBLEU_DATA": str(self._data)}

    def _register(self, pid: int, crash_signal: signal.Signals) -> None:
        self._own.add(pid)
        self._leaders[pid] = crash_signal
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.write(f"add {pid} {int(crash_signal)}\n".encode())

    async def _tell(self, line: str) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            with suppress(ConnectionError):
                self._reaper.stdin.write(f"{line}\n".encode())
                await self._reaper.stdin.drain()

    async def _sweep(self) -> None:
        """Kill and reap the orphans that became our children."""
        async with self._birth:
            reaper = {self._reaper.pid} if self._reaper is not None else set()
            orphans = proctable.children(os.getpid()) - self._own - reaper
            proctable.send(orphans, signal.SIGKILL)
        for pid in orphans:
            with suppress(ChildProcessError):
                await asyncio.to_thread(os.waitpid, pid, 0)

    async def _start_reaper(self) -> None:
        async with self._birth:
            self._reaper = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "petitbleu_dev.reaper",
                self._marker,
                env={"PATH": os.defpath, "PETITBLEU_DATA": str(self._data)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        for pid, signum in self._leaders.items():
            await self._tell(f"add {pid} {int(signum)}")

    async def _keep_reaper(self) -> None:
        while self._reaper is not None:
            await self._reaper.wait()
            await asyncio.sleep(0.1)
            await self._start_reaper()


def _through_shim(argv: tuple[str, ...], options: tuple[str, ...], death_signal: signal.Signals) -> tuple[str, ...]:
    head = (sys.executable, "-I", "-S", str(shim.__file__), "--parent", str(os.getpid()))
    return (*head, "--death-signal", str(int(death_signal)), *options, "--", *argv)
