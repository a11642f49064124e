"""A stack in a subprocess, for the tests of other packages: start, wait, kill, stop, look.

with Stack(data, port_offset=300) as stack:
    stack.wait_ready()
    stack.kill("store", signal.SIGKILL)
    stack.wait_ready(name="store")
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from petitbleu_dev.backends.nats import ADMINISTRATOR
from petitbleu_dev.control import ask
from petitbleu_dev.layout import Layout, Ports

START_SECONDS = 120.0
STOP_SECONDS = 60.0
SETTLE_SECONDS = 0.05


class StackNotReadyError(Exception):
    """The stack ended or did not become ready in time; the text holds what it printed."""


class Stack:
    """One embedded stack on a data directory of its own.

    Args:
        data: Data directory, made when absent.
        port_offset: Added to every port.
        only: Programs, or `backends` and `services`.
        environment: Variables over those of this process, for the supervisor and so for every service.
        demo: Whether the demo tenant is loaded.
    """

    def __init__(
        self,
        data: Path,
        port_offset: int,
        *,
        only: str = "backends,services",
        environment: Mapping[str, str] | None = None,
        demo: bool = False,
    ) -> None:
        self.layout = Layout(data.absolute())
        self.ports = Ports(port_offset)
        self._only = only
        self._demo = demo
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start without waiting."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def output(self) -> Path:
        """What the supervisor printed."""
        return self.layout.data / "supervisor.out"

    def command(self) -> list[str]:
        """Command line of the supervisor."""
        arguments = ["--data", str(self.layout.data), "--port-offset", str(self.ports.offset), "--only", self._only]
        if not self._demo:
            arguments.append("--no-demo")
        return [sys.executable, "-m", "petitbleu_dev", "up", *arguments]

    def start(self) -> None:
        """Start the supervisor; returns at once."""
        self.layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        """Stop the stack as Ctrl-C does, or by another signal to the supervisor; the supervisor's exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signum)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise StackNotReadyError("the stack was not started")
        return self._process.pid

    def wait_ready(self, seconds: float = START_SECONDS, *, name: str | None = None) -> None:
        """Wait until the stack, or one of its processes, is ready.

        Raises:
            StackNotReadyError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._ask("wait_ready", seconds=max(1.0, deadline - time.monotonic()), name=name)
            except OSError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise StackNotReadyError(self.output.read_text(encoding="utf-8", errors="replace")) from None
                time.sleep(SETTLE_SECONDS)
            else:
                return

    def status(self) -> dict[str, Any]:
        """`processes` (state, pid, restarts), `ready`, `run`, `ports`."""
        return self._ask("status")

    def pid(self, name: str) -> int | None:
        """Process id of a program, None while it does not run."""
        row: dict[str, int | None] = self.status()["processes"][name]
        return row["pid"]

    def environment(self, name: str) -> dict[str, str]:
        """Environment of a program, with the credentials that it was given."""
        environment: dict[str, str] = self._ask("environment", name=name)["environment"]
        return environment

    def kill(self, name: str, signum: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program, which is then started again; the process id that got it."""
        pid: int = self._ask("kill", name=name, signal=int(signum))["pid"]
        return pid

    def stop_process(self, name: str) -> None:
        """Stop a program and keep it stopped."""
        self._ask("stop", name=name)

    def start_process(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a stopped program, with more variables if given, and wait until it is ready."""
        self._ask("start", name=name, environment=dict(environment or {}))

    def restart(self, name: str) -> None:
        """Stop and start a program."""
        self._ask("restart", name=name)

    def port(self, door: str) -> int:
        """Port of a door, such as `smtp`, `http` or `seaweedfs s3`."""
        return self.ports.of(door)

    @property
    def nats_administrator(self) -> tuple[str, str]:
        """User and password with every right on the bus."""
        return ADMINISTRATOR, (self.layout.secrets / f"nats-{ADMINISTRATOR}").read_text(encoding="ascii")

    def _ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return ask(self.layout.control_socket, verb, timeout=START_SECONDS + 10, **arguments)
