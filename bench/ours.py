"""Our own side of the benchmark: the embedded stack with its shipped defaults, on a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from petitbleu_dev import credentials
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack

PASSWORD = "petit-bleu-bench"
# Much longer than it takes: a machine that others use may be slow, and how long a start takes is not measured here.
_START_SECONDS = 300.0


class Ours:
    """The whole embedded stack.

    Args:
        root: Its data directory.
        offset: Added to every port.
        environment: Settings of the operator's.
    """

    def __init__(self, root: Path, offset: int, environment: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._stack = Stack(root, port_offset=offset, environment=environment)
        self.layout = self._stack.layout
        self.smtp_port = 2525 + offset
        self.http_port = 8080 + offset
        self.https_port = 8443 + offset

    def start(self) -> None:
        """Start it, with a tenant and the domain demo.test."""
        self._stack.start()
        self._stack.wait_ready(_START_SECONDS)
        self.cli("tenant", "create", "bench")
        self.cli("domain", "create", "demo.test", "--tenant", "bench")

    def cli(self, *arguments: str) -> str:
        """Run the operator's command line; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "petitbleu_cli", *arguments], env={**os.environ, "PETITBLEU_DATA": str(self._root)}, capture_output=True,
            text=True, check=False, timeout=3600,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"petitbleu {' '.join(arguments)}: {done.stdout} {done.stderr}")
        return done.stdout

    def create(self, user: str) -> None:
        """Make an account that can log in."""
        self.cli("account", "create", f"{user}@demo.test", "--password", PASSWORD)

    def create_many(self, pattern: str, count: int) -> None:
        """Make accounts that only receive."""
        self.cli("account", "create", f"{pattern}@demo.test", "--count", str(count), "--no-password")

    def pack(self, seconds: float = 120) -> None:
        """Move hot bodies to S3 now. The packer of its own accord may be at it: then again until it is done."""
        self._again(seconds, "store", "pack")

    def status(self) -> dict[str, int]:
        """Return store's counts."""
        return {key: int(value) for key, value in json.loads(self._again(30, "store", "status", "--json")).items()}

    def _again(self, seconds: float, *arguments: str) -> str:
        """Run what may be repeated until it succeeds; after so many seconds its error counts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(RuntimeError):
                return self.cli(*arguments)
            time.sleep(1)
        return self.cli(*arguments)

    def superuser_dsn(self) -> str:
        """Return how to reach its PostgreSQL as the superuser, to make what would take hours to send."""
        context = Context(self._stack.layout, self._stack.ports, None, print)  # type: ignore[arg-type]  # nothing is started with it
        return postgres.dsn(context, postgres.SUPERUSER)

    def identity(self, service: str) -> Path:
        """Return the file of a service's identity, to call others as it does."""
        return credentials.identity(self.layout.identity, service)

    def roots(self) -> dict[str, int]:
        """Return the process id of each part: services and backends."""
        rows: dict[str, dict[str, int | None]] = self._stack.status()["processes"]
        return {name: row["pid"] for name, row in rows.items() if row["pid"] is not None}

    def pids(self) -> list[int]:
        """Return the root of all its processes."""
        return list(self.roots().values())

    def metric(self, service: str, name: str) -> float:
        """Return the sum of a metric's samples on a service's health port."""
        port = int(self._stack.environment(service)["PETITBLEU_HEALTH_PORT"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        samples = [float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name]
        if not samples:
            raise RuntimeError(f"{service} has no metric {name}")
        return sum(samples)

    def restart(self, name: str, environment: dict[str, str]) -> None:
        """Start one of its services anew with other settings."""
        self._stack.stop_process(name)
        self._stack.start_process(name, environment=environment)

    def stop(self) -> None:
        """Stop it."""
        self._stack.stop()
