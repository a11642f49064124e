"""Network namespaces on one bridge, each with an address, a resolver and programs of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

NETWORK: Final = "10.77.0"
RESOLVER: Final = f"{NETWORK}.53"
_TOOLS: Final = ("ip", "unshare", "nsenter", "mount")


def missing() -> str:
    """Return why no namespace can be made here, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces on one bridge need root"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this machine makes no network namespaces"


class Namespace:
    """One host: a network namespace, held open by a process that sleeps, with its own `/etc/resolv.conf`.

    Args:
        name: For its interface and its files.
        addresses: IPv4 addresses in the network, the first its own.
        directory: For its files.
    """

    def __init__(self, name: str, addresses: Sequence[str], directory: Path) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        self.directory = directory / name
        self.directory.mkdir()
        resolver = self.directory / "resolv.conf"
        resolver.write_text(f"nameserver {RESOLVER}\noptions edns0 trust-ad\n")
        held = f"mount --bind {resolver} /etc/resolv.conf && echo held && exec sleep infinity"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", held], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n"
        self._programs: list[subprocess.Popen[bytes]] = []
        self.run("ip", "link", "set", "lo", "up")

    @property
    def address(self) -> str:
        """Its own address."""
        return self.addresses[0]

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    def enter(self, *command: str) -> list[str]:
        """Return a command line that runs `command` here."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *command]

    def run(self, *command: str, seconds: float = 60, check: bool = True) -> str:
        """Run a command to its end; its output."""
        done = subprocess.run(
            self.enter(*command), capture_output=True, text=True, check=False, timeout=seconds, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program that lives until the world ends."""
        with (self.directory / f"{Path(command[0]).name}.out").open("ab") as output:
            program = subprocess.Popen(
                self.enter(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        self._programs.append(program)
        return program

    def wait_for_port(self, port: int, seconds: float = 30) -> None:
        """Wait until somebody listens on a TCP port here."""
        deadline = time.monotonic() + seconds
        while f":{port} " not in self.run("ss", "-Hltn"):
            assert time.monotonic() < deadline, f"nobody listens on {port} of {self.name}"
            time.sleep(0.1)

    def close(self) -> None:
        """End what runs here."""
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()


class Network:
    """Namespaces joined by a bridge, which stands in a namespace of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hosts: list[Namespace] = []
        self.hub = self._make("hub", ())
        self.hub.run("ip", "link", "add", "bridge", "type", "bridge")
        self.hub.run("ip", "link", "set", "bridge", "up")

    def _make(self, name: str, addresses: Sequence[str]) -> Namespace:
        made = Namespace(name, addresses, self.directory)
        self.hosts.append(made)
        return made

    def host(self, name: str, *last: int) -> Namespace:
        """Add a host by the last octets of its addresses."""
        made = self._make(name, [f"{NETWORK}.{octet}" for octet in last])
        self.hub.run(
            "ip", "link", "add", "name", f"to-{name}", "type", "veth", "peer", "name", "out", "netns", str(made.pid)
        )  # fmt: skip
        self.hub.run("ip", "link", "set", f"to-{name}", "master", "bridge", "up")
        for address in made.addresses:
            made.run("ip", "address", "add", f"{address}/24", "dev", "out")
        made.run("ip", "link", "set", "out", "up")
        return made

    def close(self) -> None:
        """End all."""
        for host in reversed(self.hosts):
            host.close()
