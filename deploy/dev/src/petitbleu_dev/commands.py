"""What the control socket can ask of a running supervisor."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Any

from petitbleu_dev.control import Answer, ControlError, Verb
from petitbleu_dev.layout import Layout, Ports
from petitbleu_dev.process import Process

READY_SECONDS = 120.0


def verbs(
    processes: Mapping[str, Process], ready: asyncio.Event, stop: asyncio.Event, layout: Layout, ports: Ports
) -> dict[str, Verb]:
    """Table of verbs over the stack's processes."""

    def named(request: Mapping[str, Any]) -> Process:
        process = processes.get(str(request.get("name")))
        if process is None:
            raise ControlError(f"no process {request.get('name')}")
        return process

    async def status(_: Mapping[str, Any]) -> Answer:
        rows = {
            name: {"state": str(process.state), "pid": process.pid, "restarts": process.restarts}
            for name, process in processes.items()
        }
        doors = {**ports.backends(), **ports.services()}
        return {"processes": rows, "ready": ready.is_set(), "run": str(layout.run), "ports": doors}

    async def environment(request: Mapping[str, Any]) -> Answer:
        return {"environment": dict(named(request).program.environment)}

    async def kill(request: Mapping[str, Any]) -> Answer:
        process = named(request)
        pid = process.pid
        if pid is None:
            raise ControlError(f"{process.program.name} does not run")
        process.send(signal.Signals(int(request["signal"])))
        return {"pid": pid}

    async def stop_process(request: Mapping[str, Any]) -> Answer:
        await named(request).stop()
        return {}

    async def start_process(request: Mapping[str, Any]) -> Answer:
        process = named(request)
        process.extra_environment.clear()
        process.extra_environment.update(request.get("environment") or {})
        process.start()
        await _within(request, process.until_ready())
        return {"pid": process.pid}

    async def restart(request: Mapping[str, Any]) -> Answer:
        await named(request).stop()
        return await start_process(request)

    async def wait_ready(request: Mapping[str, Any]) -> Answer:
        name = request.get("name")
        await _within(request, ready.wait() if name is None else named(request).until_ready())
        return {}

    async def shutdown(_: Mapping[str, Any]) -> Answer:
        stop.set()
        return {}

    return {
        "status": status,
        "environment": environment,
        "kill": kill,
        "stop": stop_process,
        "start": start_process,
        "restart": restart,
        "wait_ready": wait_ready,
        "shutdown": shutdown,
    }


async def _within(request: Mapping[str, Any], waiting: Any) -> None:
    seconds = float(request.get("seconds", READY_SECONDS))
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        raise ControlError(f"not ready within {seconds:.0f} s") from None
