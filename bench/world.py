"""What lies outside of both senders: a Postfix that takes mail and discards it, servers that never speak, and the names of all.

The sink is Debian's Postfix with STARTTLS. Nothing of it is counted for either side; it tells which message came when.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

POSTFIX_LIBEXEC = Path("/usr/lib/postfix/sbin")
SINK_ADDRESS = "127.0.0.2"
SILENT_ADDRESS = "127.0.0.3"
HEALTHY_ZONE = "out.test"
SILENT_ZONE = "hang.test"
_QUEUE = "active bounce corrupt defer deferred flush hold incoming private saved trace pid public maildrop"
_LOOK_SECONDS = 0.005
_START_SECONDS = 60.0
_CAME = re.compile(rb"message-id=<([^@>]+)@")

_COMMON = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
message_size_limit = 52428800
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {base}
"""
_SINK = """\
myhostname = mx.sink.test
default_transport = discard:
default_process_limit = 400
smtpd_tls_security_level = may
smtpd_tls_cert_file = {base}/sink.pem
smtpd_tls_key_file = {base}/sink.key
header_checks = regexp:{base}/header_checks
"""


def missing() -> str:
    """Say what is lacking here; empty when all is there."""
    if os.geteuid() != 0:
        return "Postfix's master needs root"
    for program in ("postfix", "opendkim", "opendkim-genkey", "unbound", "openssl", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


class Postfix:
    """One Postfix of its own, from Debian's packages.

    Args:
        base: An empty directory that everybody may enter.
        address: Where it listens.
        port: The same.
        settings: Its main.cf beyond what every one here has.
        resolver: A name server (address, port 53) that it asks instead of the machine's, empty for that.
    """

    def __init__(self, base: Path, address: str, port: int, settings: str, resolver: str = "") -> None:
        self.base = base
        self.address = address
        self.port = port
        self._settings = settings
        self._resolver = resolver
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Write its configuration, start it and wait until it greets."""
        base = self.base
        owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        for name in ("conf", "data", "queue", "log"):
            (base / name).mkdir(parents=True, exist_ok=True)
        os.chown(base / "data", owner, -1)
        for name in _QUEUE.split():
            folder = base / "queue" / name
            folder.mkdir()
            if name != "pid":
                os.chown(folder, owner, group if name in {"public", "maildrop"} else -1)
        main = (_COMMON + self._settings).format(base=base, daemons=POSTFIX_LIBEXEC, address=self.address)
        (base / "conf/main.cf").write_text(main)
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            if line.startswith("smtp ") and "inet" in line:
                lines.append(f"{self.address}:{self.port} inet n - n - - smtpd")
            elif line[:1].strip() and not line.startswith("#"):
                fields = line.split()
                if len(fields) > 7 and fields[4] in {"y", "-"}:
                    fields[4] = "n"  # no chroot: it would need copies of the machine's files
                lines.append(" ".join(fields))
            elif line.startswith((" ", "\t")):
                lines.append(line)
        (base / "conf/master.cf").write_text("\n".join(lines) + "\n")
        command = [str(POSTFIX_LIBEXEC / "master"), "-c", str(base / "conf"), "-d"]
        if self._resolver:
            (base / "resolv.conf").write_text(f"nameserver {self._resolver}\n")
            held = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", held, str(base / "resolv.conf"), *command]  # fmt: skip
        self._master = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=(base / "log/err").open("wb"),
            env={**os.environ, "MAIL_CONFIG": str(base / "conf")},
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with socket.create_connection((self.address, self.port), 5) as connection:
                    if connection.recv(64):
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or self._master.poll() is not None:
                said = "".join(path.read_text(errors="replace")[-500:] for path in (base / "log").iterdir())
                raise RuntimeError(f"Postfix does not answer on port {self.port}: {said.strip()}")
            time.sleep(0.1)

    def pids(self) -> list[int]:
        """Its root process."""
        return [] if self._master is None else [self._master.pid]

    def waiting(self) -> int:
        """Count the messages in its queue."""
        return sum(
            len(files)
            for name in ("maildrop", "incoming", "active", "deferred", "hold")
            for _, _, files in os.walk(self.base / "queue" / name)
        )

    def drop_all(self) -> None:
        """Delete all that waits."""
        subprocess.run(["postsuper", "-c", str(self.base / "conf"), "-d", "ALL"], check=False, capture_output=True)

    def stop(self) -> None:
        """End it."""
        if self._master is not None and self._master.poll() is None:
            self._master.send_signal(signal.SIGTERM)
            try:
                self._master.wait(10)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()


class Sink(Postfix):
    """Takes everything by STARTTLS, and discards it.

    Attributes:
        arrived: The part before the @ of each Message-ID, and when it came (monotonic seconds, read from its log).
        signatures: Signatures that came, by algorithm.
    """

    def __init__(self, base: Path, port: int) -> None:
        super().__init__(base, SINK_ADDRESS, port, _SINK)
        self.arrived: dict[bytes, float] = {}
        self.doubled = 0
        self.signatures: dict[str, int] = {"rsa": 0, "ed25519": 0}
        self._ends = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Start it, and the reading of its log."""
        self.base.mkdir(parents=True, exist_ok=True)
        self.base.chmod(0o755)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mx.sink.test", "-days", "30",
             "-keyout", str(self.base / "sink.key"), "-out", str(self.base / "sink.pem")], check=True, capture_output=True,
        )  # fmt: skip
        (self.base / "header_checks").write_text(
            "/^DKIM-Signature:.*a=rsa-sha256/ WARN signed by rsa\n/^DKIM-Signature:.*a=ed25519-sha256/ WARN signed by ed25519\n"
        )
        super().start()
        self._reader.start()

    def _read(self) -> None:
        path = self.base / "log/mail.log"
        rest = b""
        with path.open("rb") as log:
            while not self._ends.wait(_LOOK_SECONDS):
                data = log.read()
                now = time.monotonic()
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    came = _CAME.search(line)
                    if came is not None:
                        self.doubled += came[1] in self.arrived
                        self.arrived.setdefault(came[1], now)
                    elif b"signed by " in line:
                        self.signatures["ed25519" if line.endswith(b"ed25519") else "rsa"] += 1

    def stop(self) -> None:
        """End it."""
        self._ends.set()
        super().stop()


class Silence:
    """A server that takes connections and never says anything."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_server((SILENT_ADDRESS, port), backlog=1024)
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._socket.accept()[0])
            except OSError:
                return

    @property
    def held(self) -> int:
        """Connections that hang now, or did."""
        return len(self._taken)

    def hang_up(self) -> None:
        """Close what hangs."""
        while self._taken:
            self._taken.pop().close()

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self.hang_up()


class Resolver:
    """unbound, which knows all names of this world: those below `HEALTHY_ZONE` lead to the sink, those below `SILENT_ZONE` to nobody who speaks."""

    def __init__(self, base: Path, address: str) -> None:
        self.address = address
        self._base = base
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._base.mkdir(parents=True)
        zones = "".join(
            f'    local-zone: "{zone}." redirect\n    local-data: "{zone}. 300 IN MX 10 mx.{host}.test."\n'
            f'    local-zone: "{host}.test." static\n    local-data: "mx.{host}.test. 300 IN A {address}"\n'
            for zone, host, address in (
                (HEALTHY_ZONE, "sink", SINK_ADDRESS),
                (SILENT_ZONE, "silent", SILENT_ADDRESS),
            )
        )
        (self._base / "unbound.conf").write_text(
            f'server:\n    interface: {self.address}\n    access-control: 127.0.0.0/8 allow\n    username: ""\n    chroot: ""\n'
            f'    directory: "{self._base}"\n    pidfile: "{self._base}/pid"\n    use-syslog: no\n    logfile: ""\n'
            f'    module-config: "iterator"\n    num-threads: 1\n    local-zone: "test." static\n{zones}'
            "remote-control:\n    control-enable: no\n"
        )
        self._process = subprocess.Popen(
            ["unbound", "-d", "-c", str(self._base / "unbound.conf")], stdout=subprocess.DEVNULL,
            stderr=(self._base / "err").open("wb"),
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"unbound: {(self._base / 'err').read_text(errors='replace')[-500:]}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, 53), 1):
                return True
        except OSError:
            time.sleep(0.1)
            return False

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)


def recipients(count: int, destinations: int, silent: Sequence[int] = (), kind: str = "") -> list[str]:
    """Return recipients, spread evenly over so many destinations, of which some are silent; `kind` makes these unlike all before."""
    hang = frozenset(silent)
    return [
        f"r@{kind}{number % destinations}.{SILENT_ZONE if number % destinations in hang else HEALTHY_ZONE}"
        if number % destinations in hang
        else f"r@d{number % destinations}.{HEALTHY_ZONE}"
        for number in range(count)
    ]
