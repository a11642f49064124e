"""The servers under test: ours as it ships, before in-memory peers, and a private Postfix."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conformance.contract_peers import Peers
from tests.folders import enterable, postfix_folders
from tests.ports import free_port

T = TypeVar("T")
HOSTNAME = "mx.demo.test"
POSTFIX_DAEMONS = Path("/usr/lib/postfix/sbin")


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")


def make_certificate(directory: Path, name: str = HOSTNAME) -> tuple[Path, Path]:
    """Make a self-signed certificate; return its file and its key's."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


class PeersThread:
    """Accounts and store in memory, served by a loop in a thread of the test process."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.peers = Peers(directory)
        self.call(self.peers.start())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        self.call(self.peers.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


class Server:
    """What tests know of a server."""

    name = ""
    port = 0
    pid = 0

    def pick(self, *, ours: T, postfix: T, why: str) -> T:
        """Choose what is expected where the two differ; `why` explains the difference."""
        assert why
        return ours if self.name == "ours" else postfix


class Ours(Server):
    """`python -m petitbleu_ingest`, with settings of a test's own; a name in capitals is a variable as it is."""

    name = "ours"

    def __init__(self, directory: Path, peers: Peers, **settings: str) -> None:
        self.peers = peers
        self.port = free_port()
        self.health_port = free_port()
        self.log = directory / f"ingest-{self.port}.log"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PETITBLEU_")},
            "PETITBLEU_SMTP_PORT": str(self.port), "PETITBLEU_SUBMISSION_PORT": "-1", "PETITBLEU_SUBMISSIONS_PORT": "-1",
            "PETITBLEU_HEALTH_PORT": str(self.health_port),
            "PETITBLEU_SMTP_HOSTNAME": HOSTNAME, "PETITBLEU_DATA": str(directory),
            "PETITBLEU_IDENTITY_KEY": str(peers.identity / "ingest.pem"),
            "PETITBLEU_STORE_TARGET": peers.address("store"), "PETITBLEU_ACCOUNTS_TARGET": peers.address("accounts"),
            "PETITBLEU_NATS_URL": "nats://127.0.0.1:9", "PETITBLEU_SMTP_SWEEP_SECONDS": "0.1",
            **{key if key.isupper() else f"PETITBLEU_{key.upper()}": value for key, value in settings.items()},
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "petitbleu_ingest"], env=environment, stderr=log)
        self.pid = self.process.pid
        try:
            wait_for_port(self.port, self.process)
        except AssertionError as error:
            self.process.kill()
            raise AssertionError(f"{error}: {self.log.read_text()[-2000:]}") from None

    def last_message(self) -> Any:
        return self.peers.store.messages[-1]

    def last_body(self) -> bytes:
        return self.peers.store.body_of(self.last_message())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


_MAIN_CF = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {host}
mydestination = demo.test, example.test
mynetworks = 192.0.2.0/24
local_recipient_maps = inline:{{ {{alice@demo.test=x}}, {{bob@demo.test=x}}, {{carol@example.test=x}} }}
local_transport = discard:
alias_maps =
recipient_delimiter = +
smtputf8_enable = yes
maillog_file = {base}/data/mail.log
maillog_file_prefixes = {base}
message_size_limit = 52428800
mailbox_size_limit = 0
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
tls_random_source = dev:/dev/urandom
"""

_MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """A private Postfix in directories of its own; its master and the queue's owners need root."""

    name = "postfix"

    def __init__(self, base: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("PEER MISSING: a private Postfix needs root", allow_module_level=True)
        if not (POSTFIX_DAEMONS / "master").exists():
            pytest.skip("PEER MISSING: Postfix is not installed", allow_module_level=True)
        self.port = free_port()
        postfix_folders(base)
        certificate, key = make_certificate(base)
        texts = {"base": base, "daemons": POSTFIX_DAEMONS, "host": HOSTNAME, "certificate": certificate, "key": key}
        (base / "conf/main.cf").write_text(_MAIN_CF.format(**texts))
        (base / "conf/master.cf").write_text(_MASTER_CF.format(port=self.port))
        enterable(base)
        self.process = subprocess.Popen(
            [str(POSTFIX_DAEMONS / "master"), "-c", str(base / "conf"), "-d"],
            env={**os.environ, "MAIL_CONFIG": str(base / "conf")},
        )
        self.pid = self.process.pid
        self.base = base
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.base, ignore_errors=True)
