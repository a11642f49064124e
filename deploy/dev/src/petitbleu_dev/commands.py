"""What the control socket can ask of a running supervisor."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from petitbleu_dev.control import Answer, ControlError, Verb
from petitbleu_dev.layout import Layout, Ports
from petitbleu_dev.process import Process

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Commands:
    """The verbs, over the processes of one stack."""

    processes: Mapping[str, Process]
    ready: asyncio.Event
    stopping: asyncio.Event
    layout: Layout
    ports: Ports

    def verbs(self) -> dict[str, Verb]:
        """Name of each verb in a request."""
        return {
            "status": self.status,
            "environment": self.environment,
            "kill": self.kill,
            "stop": self.stop,
            "start": self.start,
            "restart": self.restart,
            "wait_ready": self.wait_ready,
            "shutdown": self.shutdown,
        }

    async def status(self, _: Mapping[str, Any]) -> Answer:
        """State, process id and restarts of each process; ports and the run directory."""
        rows = {
            name: {"state": str(process.state), "pid": process.pid, "restarts": process.restarts}
            for name, process in self.processes.items()
        }
        doors = {**self.ports.backends(), **self.ports.services()}
        return {"processes": rows, "ready": self.ready.is_set(), "run": str(self.layout.run), "ports": doors}

    async def environment(self, request: Mapping[str, Any]) -> Answer:
        """Environment of `name`, secrets included: the socket is the operator's alone."""
        return {"environment": dict(self._named(request).program.environment)}

    async def kill(self, request: Mapping[str, Any]) -> Answer:
        """Send `signal` to `name`; after SIGKILL, return once it is dead. It will be started again."""
        process = self._named(request)
        if process.pid is None:
            raise ControlError(f"{process.program.name} does not run")
        pid = process.pid
        signum = signal.Signals(int(request["signal"]))
        process.send_asked(signum)
        if signum is signal.SIGKILL:
            await process.until(lambda: process.pid != pid)
        return {"pid": pid}

    async def stop(self, request: Mapping[str, Any]) -> Answer:
        """Stop `name` and keep it stopped."""
        await self._named(request).stop()
        return {}

    async def start(self, request: Mapping[str, Any]) -> Answer:
        """Start `name`, with `environment` over its own, and wait until it is ready, `seconds` at most."""
        process = self._named(request)
        process.extra_environment.clear()
        process.extra_environment.update(request.get("environment") or {})
        await process.start()
        await _within(request, process.until_ready())
        return {"pid": process.pid}

    async def restart(self, request: Mapping[str, Any]) -> Answer:
        """Stop and start `name`."""
        await self.stop(request)
        return await self.start(request)

    async def wait_ready(self, request: Mapping[str, Any]) -> Answer:
        """Wait until `name`, or the whole stack, is ready, `seconds` at most; a process that died since is waited for."""
        waiting = self._all_ready() if request.get("name") is None else self._named(request).until_ready()
        await _within(request, waiting)
        return {}

    async def _all_ready(self) -> None:
        await self.ready.wait()
        for process in self.processes.values():
            await process.until_ready()

    async def shutdown(self, _: Mapping[str, Any]) -> Answer:
        """Stop the stack."""
        self.stopping.set()
        return {}

    def _named(self, request: Mapping[str, Any]) -> Process:
        process = self.processes.get(str(request.get("name")))
        if process is None:
            raise ControlError(f"no process {request.get('name')}")
        return process


async def _within(request: Mapping[str, Any], waiting: Awaitable[Any]) -> None:
    seconds = float(request.get("seconds") or READY_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        raise ControlError(f"not ready within {seconds:.0f} s") from None
