"""Where everything lies under the data directory, and which ports the stack takes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from petitbleu_dev.errors import StackError

SUN_PATH_LIMIT = 80
"""Longest run directory, in bytes: `sun_path` holds 107, and the longest socket name below it takes 25."""

GRPC_SERVICES = ("store", "delivery", "junior-guard", "accounts")
"""Services with a gRPC door; each is a schema and a role in PostgreSQL too."""

HEALTH_PORTS = {
    "ingest": 2801,
    "store": 2802,
    "delivery": 2803,
    "junior-guard": 2804,
    "accounts": 2805,
    "gateway": 2806,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Every TCP port of the stack, all on 127.0.0.1; `offset` is added to each default."""

    offset: int = 0

    def __post_init__(self) -> None:
        """Refuse an offset that leads out of the port range."""
        if not 0 <= self.offset <= 65535 - max(self._defaults().values()):
            raise StackError(f"PETITBLEU_PORT_OFFSET={self.offset} leads out of the range of ports")

    @staticmethod
    def _defaults() -> dict[str, int]:
        return {
            "http": 8080,
            "https": 8443,
            "smtp": 2525,
            "submission": 2587,
            "submissions": 2465,
            "managesieve": 2190,
            "nats": 24222,
            "seaweedfs s3": 28333,
            "seaweedfs s3 grpc": 28334,
            "seaweedfs master": 29333,
            "seaweedfs master grpc": 29334,
            "seaweedfs volume": 28081,
            "seaweedfs volume grpc": 28082,
            "seaweedfs filer": 28888,
            "seaweedfs filer grpc": 28889,
            **{f"{service} health": port for service, port in HEALTH_PORTS.items()},
        }

    def of(self, door: str) -> int:
        """Port of a door by its name, such as `smtp` or `seaweedfs s3`."""
        return self._defaults()[door] + self.offset

    def backends(self) -> dict[str, int]:
        """Doors of the backends with their ports."""
        return {door: self.of(door) for door in self._defaults() if door.startswith(("nats", "seaweedfs"))}

    def services(self) -> dict[str, int]:
        """Doors of the services with their ports."""
        return {door: self.of(door) for door in self._defaults() if not door.startswith(("nats", "seaweedfs"))}


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under one data directory; making the object touches nothing."""

    data: Path

    @property
    def run(self) -> Path:
        """Directory of unix sockets: `{data}/run`, or a short one under the temporary directory behind that name."""
        direct = self.data / "run"
        if len(os.fsencode(direct)) <= SUN_PATH_LIMIT:
            return direct
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"petitbleu-{os.geteuid()}-{digest}"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of this directory."""
        return self.data / "lock"

    @property
    def version(self) -> Path:
        """Names the version of this layout."""
        return self.data / "VERSION"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.data / "log"

    @property
    def secrets(self) -> Path:
        """Passwords of the backends' users, a file each."""
        return self.data / "secrets"

    @property
    def keys(self) -> Path:
        """Key-encryption keys, and keys of keyed hashes."""
        return self.data / "keys"

    @property
    def identity(self) -> Path:
        """Ed25519 keys of the services."""
        return self.data / "identity"

    @property
    def tls(self) -> Path:
        """Local certificate authority and server certificate."""
        return self.data / "tls"

    @property
    def operator_token(self) -> Path:
        """Token of the operator's command line."""
        return self.data / "operator.token"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's cluster directory."""
        return self.data / "postgres"

    @property
    def postgres_socket(self) -> Path:
        """Directory of PostgreSQL's socket; its own, since PostgreSQL may run as another user."""
        return self.run / "pg"

    @property
    def nats(self) -> Path:
        """JetStream's store; may be wiped."""
        return self.data / "nats"

    @property
    def seaweedfs(self) -> Path:
        """SeaweedFS's volumes and configuration."""
        return self.data / "seaweedfs"

    @property
    def redis_socket(self) -> Path:
        """Redis's socket."""
        return self.run / "redis.sock"

    @property
    def control_socket(self) -> Path:
        """The supervisor's own door."""
        return self.run / "supervisor.sock"

    @property
    def demo_marker(self) -> Path:
        """Exists once the demo tenant is loaded."""
        return self.data / "demo.loaded"

    def log(self, name: str) -> Path:
        """Log of a process."""
        return self.logs / f"{name}.log"

    def service_socket(self, service: str) -> Path:
        """Socket of a service's gRPC door."""
        return self.run / f"{service}.sock"

    def create(self) -> None:
        """Make the directories, all of mode 0700, and the `run` link when sockets must lie elsewhere.

        Raises:
            StackError: the socket directory outside the data directory belongs to somebody else.
        """
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.logs, self.secrets, self.keys, self.identity, self.tls, self.nats, self.seaweedfs, self.run):
            path.mkdir(mode=0o700, exist_ok=True)
        found = self.run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise StackError(f"{self.run} belongs to somebody else; remove it or choose another PETITBLEU_DATA")
        link = self.data / "run"
        if self.run != link and (not link.is_symlink() or link.readlink() != self.run):
            link.unlink(missing_ok=True)
            link.symlink_to(self.run)
        self.postgres_socket.mkdir(mode=0o700, exist_ok=True)
