"""The gateway's process before sockets that misbehave, certificates that change, and services that go away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.conformance.jmap_client import CORE, MAIL, JmapClient, basic
from tests.conformance.jmap_peers import PASSWORD, JmapPeers, running_gateway
from tests.ports import free_port

ALICE = "alice@demo.test"


def certificate(directory: Path, name: str) -> None:
    """Write a certificate of that name and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    for file, data in (("key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
                       ("cert.pem", made.public_bytes(Encoding.PEM))):  # fmt: skip
        (directory / f"new.{file}").write_bytes(data)
    for file in ("key.pem", "cert.pem"):
        (directory / f"new.{file}").rename(directory / file)


@dataclass
class Running:
    peers: JmapPeers
    process: subprocess.Popen[bytes]
    directory: Path
    port: int
    tls_port: int
    health_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="pbg") as name:
        directory = Path(name)
        certificate(directory, "first.test")
        peers = JmapPeers(directory)
        peers.start()
        port, tls_port, health = free_port(), free_port(), free_port()
        environment = {
            **peers.environment(port, health, tls_port), "PETITBLEU_TLS_CERT": str(directory / "cert.pem"),
            "PETITBLEU_TLS_KEY": str(directory / "key.pem"), "PETITBLEU_TLS_RELOAD_SECONDS": "0.2", "PETITBLEU_HTTP_HEAD_SECONDS": "1",
            "PETITBLEU_HTTP_BODY_SECONDS": "1", "PETITBLEU_HTTP_STALL_SECONDS": "3",
            "PETITBLEU_HTTP_EXEMPT": "127.0.0.1", "PETITBLEU_HTTP_CONNECTIONS_CLIENT": "3",
        }  # fmt: skip
        try:
            with running_gateway(environment, directory / "gateway.log") as process:
                yield Running(peers, process, directory, port, tls_port, health)
        finally:
            peers.stop()


@pytest.fixture
def alice(gateway: Running) -> Iterator[JmapClient]:
    client = JmapClient(gateway.url, ALICE, PASSWORD)
    yield client
    client.http.close()


def peer_name(port: int) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw) as wrapped:
        found = x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"")
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_gateway_serves_https_and_says_so(gateway: Running) -> None:
    with httpx.Client(verify=False) as client:
        answer = client.get(f"https://127.0.0.1:{gateway.tls_port}/jmap/session", headers=basic(ALICE, PASSWORD))
    assert answer.json()["apiUrl"] == f"https://127.0.0.1:{gateway.tls_port}/jmap/api"
    assert answer.headers["strict-transport-security"]


def test_gateway_takes_a_changed_certificate_without_a_restart(gateway: Running) -> None:
    assert peer_name(gateway.tls_port) == "first.test"
    certificate(gateway.directory, "second.test")
    deadline = time.monotonic() + 10
    while peer_name(gateway.tls_port) != "second.test":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (gateway.directory / "cert.pem").write_text("rubbish")
    time.sleep(0.6)
    assert peer_name(gateway.tls_port) == "second.test"  # a broken one changes nothing
    certificate(gateway.directory, "third.test")


def test_gateway_refuses_large_heads(gateway: Running) -> None:
    for head in (b"X: " + b"a" * 40_000 + b"\r\n", b"X: y\r\n" * 150):
        with socket.create_connection(("127.0.0.1", gateway.port), 5) as raw:
            raw.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            assert raw.recv(1000).startswith(b"HTTP/1.1 431 ")
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(b"GET /livez HTTP/1.1\r\n")
        for _ in range(100):
            raw.sendall(b"A" * 10_000)  # one field without an end
        assert raw.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_gateway_gives_one_client_so_many_connections(gateway: Running) -> None:
    def connect() -> tuple[socket.socket, bytes]:
        opened = socket.create_connection(("127.0.0.1", gateway.port), 5, source_address=("127.0.0.9", 0))
        opened.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        return opened, opened.recv(12)

    with contextlib.ExitStack() as kept:
        opened = [connect() for _ in range(4)]
        for one, _ in opened:
            kept.enter_context(one)
        assert [answer for _, answer in opened] == [b"HTTP/1.1 200"] * 3 + [b"HTTP/1.1 429"]
        assert httpx.get(f"{gateway.url}/livez").status_code == 200, "others are served"
        opened[0][0].close()
        deadline = time.monotonic() + 5
        answer = b""
        while answer != b"HTTP/1.1 200":
            assert time.monotonic() < deadline, "the place of a connection that ended is free"
            one, answer = connect()
            kept.enter_context(one)


def test_gateway_cuts_off_slow_heads_and_bodies(gateway: Running) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost:")
        assert raw.recv(100) == b""
    token = basic(ALICE, PASSWORD)["Authorization"].encode()
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as raw:
        raw.sendall(
            b"POST /jmap/api HTTP/1.1\r\nHost: x\r\nAuthorization: " + token + b"\r\nContent-Length: 100\r\n\r\n{"
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_gateway_refuses_bodies_before_reading_them(gateway: Running) -> None:
    token = basic(ALICE, PASSWORD)["Authorization"].encode()
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as raw:
        raw.sendall(
            b"POST /jmap/api HTTP/1.1\r\nHost: x\r\nAuthorization: "
            + token
            + b"\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        )
        answer = b"".join(iter(lambda: raw.recv(2000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"maxSizeRequest" in answer


def test_gateway_holds_little_for_slow_readers_and_cuts_them_off(gateway: Running, alice: JmapClient) -> None:
    body = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * (2 << 20)  # 32 MiB
    number = gateway.peers.store.person(101).file(body).message_id
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    token = basic(ALICE, PASSWORD)["Authorization"]
    path = f"/jmap/download/{alice.account}/B{number}/x"
    readers = []
    for _ in range(8):
        raw = socket.create_connection(("127.0.0.1", gateway.port), 5)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        readers.append(raw)
    for raw in readers:
        assert raw.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    deadline = time.monotonic() + 10
    assert (
        alice.http.get(path, headers={"Range": "bytes=0-1"}).status_code == 429
    )  # downloads of an account are bounded
    assert alice.call("Mailbox/get", ids=[])["list"] == []  # the others go on, while all of these wait
    assert process.memory_info().rss - before < 40 << 20  # eight times 32 MiB are not held
    while alice.http.get(path, headers={"Range": "bytes=0-1"}).status_code != 206:
        assert time.monotonic() < deadline + 20, "slow readers keep their places"
        time.sleep(0.2)
    for raw in readers:
        raw.close()


def test_gateway_finishes_what_is_in_flight_and_then_stops() -> None:
    with tempfile.TemporaryDirectory(prefix="pbg") as name:
        peers = JmapPeers(Path(name))
        peers.start()
        port = free_port()
        try:
            with running_gateway(peers.environment(port, free_port()), Path(name) / "log") as process:
                token = basic(ALICE, PASSWORD)["Authorization"]
                body = json.dumps({"using": [CORE], "methodCalls": [["Core/echo", {}, "c"]]})
                with socket.create_connection(("127.0.0.1", port), 10) as raw:
                    head = f"POST /jmap/api HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    raw.sendall(head.encode())
                    time.sleep(0.3)
                    process.send_signal(signal.SIGTERM)
                    time.sleep(0.3)
                    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
                        pass
                    raw.sendall(body.encode())
                    assert raw.recv(4000).startswith(b"HTTP/1.1 200 ")
                assert process.wait(10) == 0
        finally:
            peers.stop()


def test_gateway_survives_services_that_go_away() -> None:
    with tempfile.TemporaryDirectory(prefix="pbg") as name:
        peers = JmapPeers(Path(name))
        peers.start()
        port, health = free_port(), free_port()
        environment = {**peers.environment(port, health), "PETITBLEU_RPC_SECONDS": "2"}
        with (
            running_gateway(environment, Path(name) / "log") as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=basic(ALICE, PASSWORD), timeout=20) as http,
        ):
            session = http.get("/jmap/session").json()
            account = session["primaryAccounts"][MAIL]
            peers.stop()
            request = {
                "using": [CORE, MAIL],
                "methodCalls": [["Mailbox/get", {"accountId": account}, "a"], ["Core/echo", {}, "b"]],
            }
            found = http.post("/jmap/api", json=request).json()["methodResponses"]
            assert found[0][1]["type"] == "serverUnavailable"
            assert found[1][0] == "Core/echo"
            unknown = httpx.get(f"http://127.0.0.1:{port}/jmap/session", headers=basic(ALICE, "another"), timeout=10)
            assert unknown.status_code == 503
            assert httpx.get(f"http://127.0.0.1:{health}/health/ready", timeout=10).status_code == 503
            assert process.poll() is None


def test_gateway_limits_and_bad_settings_are_said_plainly(gateway: Running) -> None:
    limited = httpx.get(f"{gateway.url}/jmap/session", headers=basic("limited@demo.test", "x"))
    assert limited.status_code == 429
    assert limited.headers["retry-after"]
    environment = {**gateway.peers.environment(gateway.port, free_port())}
    taken = subprocess.run(
        [sys.executable, "-m", "petitbleu_gateway"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert taken.returncode == 1
    assert f"port {gateway.port}" in taken.stderr
    assert "Traceback" not in taken.stderr


def test_gateway_logs_only_opaque_ids(gateway: Running, alice: JmapClient) -> None:
    canary = "canary" + os.urandom(6).hex()
    alice.post(b"{")
    alice.draft(subject=canary, textBody=[{"partId": "t"}], bodyValues={"t": {"value": canary}})
    alice.download("B1", name=canary)
    alice.fails("Email/get", ids=[], properties=[canary])
    httpx.get(f"{gateway.url}/{canary}", headers=basic(f"{canary}@demo.test", canary))
    metrics = httpx.get(f"http://127.0.0.1:{gateway.health_port}/metrics").text
    log = (gateway.directory / "gateway.log").read_text()
    for secret in (canary, ALICE, PASSWORD):
        assert secret not in log
        assert secret not in metrics
    assert 'petitbleu_jmap_calls_total{method="Email/get",outcome="invalidArguments"}' in metrics


def test_gateway_readyz_names_what_does_not_answer(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/readyz")
    assert answer.status_code == 503
    assert {"postgresql", "nats", "redis", "s3", "ingest", "store", "accounts", "delivery", "junior-guard"} == set(
        answer.json()["failing"]
    )
    assert httpx.get(f"{gateway.url}/livez").status_code == 200


def test_gateway_many_clients_at_once_are_all_served(gateway: Running) -> None:
    failures: list[str] = []

    def client() -> None:
        try:
            with httpx.Client(base_url=gateway.url, headers=basic(ALICE, PASSWORD), timeout=20) as http:
                failures.extend("not served" for _ in range(5) if http.get("/jmap/session").status_code != 200)
        except httpx.HTTPError as error:
            failures.append(type(error).__name__)

    threads = [threading.Thread(target=client) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
