"""Brings the stack up, keeps it up, and takes it down."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from petitbleu_dev import credentials, demo, logfile, preflight, services
from petitbleu_dev.authority import Certificates
from petitbleu_dev.backends import nats, postgres, redis, seaweedfs
from petitbleu_dev.backends.context import Context
from petitbleu_dev.commands import Commands
from petitbleu_dev.console import Console
from petitbleu_dev.control import ControlServer
from petitbleu_dev.http_probe import get
from petitbleu_dev.layout import HEALTH_PORTS, Layout, Ports
from petitbleu_dev.offspring import Offspring
from petitbleu_dev.process import Process, Program, State

BACKENDS = ("postgres", "nats", "redis", "seaweedfs")
HOUSEKEEPING_SECONDS = 15.0
CERTIFICATE_CHECK_SECONDS = 6 * 3600.0
TICK_SECONDS = 0.25
IMPATIENT_AFTER_SECONDS = 1.0
"""One Ctrl-C can arrive twice within moments: from the terminal and from `make`."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `up` was asked for; `only` holds names of programs, or `backends` and `services`."""

    layout: Layout
    ports: Ports
    only: frozenset[str] = frozenset({"backends", "services"})
    load_demo: bool = True

    def wants(self, name: str) -> bool:
        """Whether a program belongs to this stack."""
        return name in self.only or ("backends" if name in BACKENDS else "services") in self.only


class Supervisor:
    """One stack on one data directory."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._offspring = Offspring(options.layout.data)
        self._context = Context(options.layout, options.ports, self._offspring, console.line)
        self._processes: dict[str, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._asked_at = 0.0
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Live from start to stop.

        Raises:
            StackError: it could not start; nothing was left running.
        """
        layout = self._options.layout
        descriptor = preflight.take_lock(layout)
        try:
            preflight.check_names(self._options.only, ("backends", "services", *BACKENDS, *HEALTH_PORTS))
            self._check_data()
            doors = self._options.ports.backends() if self._options.wants("nats") else {}
            if self._options.wants("ingest") or self._options.wants("gateway"):
                doors = {**self._options.ports.services(), **doors}
            preflight.check_ports(doors)
            self._make_data()
            await self._live()
        finally:
            os.close(descriptor)

    def _check_data(self) -> None:
        with preflight.usable(self._options.layout):
            preflight.check_layout_version(self._options.layout)
            postgres.check_version(self._context)

    def _make_data(self) -> None:
        with preflight.usable(self._options.layout):
            self._options.layout.create()
            self._make_secrets()

    def _make_secrets(self) -> None:
        layout = self._options.layout
        credentials.operator_token(layout.operator_token)
        credentials.key_encryption_keys(layout.keys / "kek.json")
        for name in services.KEY_FILES.values():
            credentials.random_key(layout.keys / name)
        for service in HEALTH_PORTS:
            credentials.identity(layout.identity, service)
        Certificates(layout.tls).ensure(dt.datetime.now(dt.UTC))

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._asked_to_stop)
        await self._offspring.open()
        layout = self._options.layout
        commands = Commands(self._processes, self._ready, self._stop, layout, self._options.ports)
        control = ControlServer(layout.control_socket, commands.verbs())
        try:
            for program in await self._programs():
                self._processes[program.name] = Process(program, self._offspring, self._console.line)
            await control.open()
            for process in self._processes.values():
                await process.start()
                self._keep(process.run(self._needs_met(process.program)))
            self._keep(self._announce())
            self._keep(self._keep_house())
            await self._stop.wait()
        finally:
            await control.close()
            await self._take_down()
        if self._failure is not None:
            raise self._failure

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Stop everything when a part of the supervisor itself fails: half a supervisor is worse than none."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            self._stop.set()

    def _asked_to_stop(self) -> None:
        now = asyncio.get_running_loop().time()
        self._asked_at = self._asked_at or now
        if now - self._asked_at > IMPATIENT_AFTER_SECONDS:  # asked again: no more patience
            for process in self._processes.values():
                process.kill_family()
        self._stop.set()

    async def _programs(self) -> list[Program]:
        context = self._context
        wants = self._options.wants
        programs = []
        if wants("postgres"):
            programs.append(await postgres.program(context))
        makers = {"nats": nats.program, "redis": redis.program, "seaweedfs": seaweedfs.program}
        programs += [make(context) for name, make in makers.items() if wants(name)]
        absent = [name for name in HEALTH_PORTS if wants(name) and not services.installed(name)]
        if absent:
            self._console.line(f"not installed here, left out: {', '.join(absent)}")
        programs += [services.program(context, name) for name in HEALTH_PORTS if wants(name) and name not in absent]
        return programs

    async def _needs_met(self, program: Program) -> None:
        for process in [self._processes[name] for name in program.needs if name in self._processes]:
            await process.until_ready()

    async def _announce(self) -> None:
        """Say what start-up waits for, then the addresses."""
        while waiting := await self._waiting_for():
            if self._stop.is_set():
                return
            self._console.waiting(waiting)
            await asyncio.sleep(TICK_SECONDS)
        if self._options.load_demo and "accounts" in self._processes:
            if not self._options.layout.demo_marker.exists():
                self._console.waiting(["the demo tenant"])
            for line in await demo.load(self._context):
                self._console.line(line)
        self._console.waiting([])
        for line in self._welcome():
            self._console.line(line)
        self._ready.set()

    async def _waiting_for(self) -> list[str]:
        waiting = [name for name, process in self._processes.items() if process.state is not State.READY]
        if waiting or "gateway" not in self._processes:
            return waiting
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                status, body = await get("127.0.0.1", self._options.ports.of("http"), "/readyz")
            return [] if status == 200 else _not_ready(body)
        return ["gateway"]

    def _welcome(self) -> list[str]:
        of = self._options.ports.of
        layout = self._options.layout
        lines = ["", "Petit Bleu runs. Ctrl-C stops it."]
        if "gateway" in self._processes:
            lines.append(f"  JMAP               http://localhost:{of('http')}  https://localhost:{of('https')}")
        if "ingest" in self._processes:
            lines.append(f"  SMTP               127.0.0.1:{of('smtp')}")
            lines.append(
                f"  submission         127.0.0.1:{of('submission')} (STARTTLS)  127.0.0.1:{of('submissions')} (TLS)"
            )
        if "seaweedfs" in self._processes and "store" not in self._processes:
            lines.append(f"  NATS, S3           {nats.url(self._context)}  http://{seaweedfs.endpoint(self._context)}")
        if layout.demo_marker.exists():
            lines += [f"  {line}" for line in demo.accounts()]
        lines.append(f"  local authority    {Certificates(layout.tls).authority}")
        lines.append(f"  logs               {layout.logs}")
        return lines

    async def _keep_house(self) -> None:
        """Rotate logs; renew certificates of a stack that runs for long. What a full disk does not let be done waits for room."""
        checked = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for name in self._processes:
                with suppress(OSError):
                    logfile.rotate(self._options.layout.log(name))
            if asyncio.get_running_loop().time() - checked >= CERTIFICATE_CHECK_SECONDS:
                with suppress(OSError):
                    Certificates(self._options.layout.tls).ensure(dt.datetime.now(dt.UTC))
                    checked = asyncio.get_running_loop().time()

    async def _take_down(self) -> None:
        self._console.waiting(["a clean stop"])
        for tier in (2, 1, 0):
            names = [process for process in self._processes.values() if process.program.tier == tier]
            await asyncio.gather(*(process.stop() for process in names))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._offspring.close()
        self._console.waiting([])
        self._console.line("stopped")


def _not_ready(body: bytes) -> list[str]:
    """Names that the gateway's answer to `GET /readyz` says are not ready."""
    with suppress(ValueError, AttributeError):
        names = json.loads(body).get("failing")
        if isinstance(names, list) and names:
            return [str(name) for name in names]
    return ["gateway"]
