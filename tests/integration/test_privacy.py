"""Nothing of a mail but opaque ids is in any log, metric or trace, even when everything goes wrong.

A stack of its own runs with tracing on. Random canaries stand in every address, name, subject, body, attachment, file name
and password of a full run in which errors are forced; afterwards all logs (the backends' too), all metrics and all exported
spans are searched for them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import smtplib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from petitbleu_dev.stack import Stack

OFFSET = 330  # outside of what the backends of the tier choose from


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the bytes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                self.received.append(handler.rfile.read(int(handler.headers["Content-Length"])))
                handler.send_response(200)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *arguments: object) -> None:  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
    made = Stack(
        tmp_path_factory.mktemp("privacy") / "data",
        OFFSET,
        environment={
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "300",
            "PETITBLEU_LOG_LEVEL": "DEBUG",
        },
    )
    made.start()
    try:
        made.wait_ready()
        yield made
    finally:
        made.stop()


def _cli(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}
    return subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def _mail(canaries: dict[str, str], recipient: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"{canaries['from_name']} <{canaries['sender']}@outside.example>"
    mail["To"] = f"{canaries['to_name']} <{recipient}>"
    mail["Subject"] = f"About {canaries['subject']}"
    mail["Message-ID"] = f"<{canaries['message_id']}@outside.example>"
    mail.set_content(f"Hello {canaries['body']}\n")
    mail.add_attachment(
        canaries["attachment"].encode(), maintype="text", subtype="plain", filename=f"{canaries['file_name']}.txt"
    )
    return mail


def _jmap(stack: Stack, login: str, password: str, calls: list[object]) -> None:
    token = base64.b64encode(f"{login}:{password}".encode()).decode()
    base = f"http://127.0.0.1:{stack.port('http')}"
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    with contextlib.suppress(urllib.error.HTTPError):
        request = urllib.request.Request(f"{base}/.well-known/jmap", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            session = json.loads(answer.read())
        account = next(iter(session["accounts"]))
        for call in calls:
            assert isinstance(call, list)
            body = {
                "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
                "methodCalls": [[call[0], {"accountId": account, **call[1]}, "0"]],
            }
            api = base + "/" + session["apiUrl"].split("/", 3)[3]
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(
                    urllib.request.Request(api, json.dumps(body).encode(), headers), timeout=20
                ).read()


def test_no_canary_is_found_in_logs_metrics_and_traces(stack: Stack, collector: Collector) -> None:
    names = [
        "local", "unknown", "detail", "alias", "sender", "from_name", "to_name", "subject", "message_id", "body", "attachment",
        "file_name", "account_name", "password", "wrong_password", "keyword", "helo", "garbage", "query", "blob_name",
    ]  # fmt: skip
    canaries = {name: f"cn{secrets.token_hex(8)}" for name in names}
    login = f"{canaries['local']}@privacy.test"
    for arguments in (
        ("tenant", "create", "privacy"),
        ("domain", "create", "privacy.test", "--tenant", "privacy"),
        ("account", "create", login, "--password", canaries["password"], "--name", canaries["account_name"]),
        ("alias", "put", f"{canaries['alias']}@privacy.test", login),
    ):
        done = _cli(stack, *arguments)
        assert done.returncode == 0, f"{arguments[0]}: {done.stderr}"
    # A full run.
    port = stack.port("smtp")
    for recipient in (
        login,
        f"{canaries['local']}+{canaries['detail']}@privacy.test",
        f"{canaries['alias']}@privacy.test",
    ):
        with smtplib.SMTP("127.0.0.1", port, local_hostname=f"{canaries['helo']}.example") as client:
            client.send_message(_mail(canaries, recipient))
    big = _mail(canaries, login)
    big.add_attachment(
        secrets.token_bytes(900_000) + canaries["attachment"].encode(), maintype="application", subtype="x"
    )
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(big)
    # Errors.
    with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.send_message(_mail(canaries, f"{canaries['unknown']}@privacy.test"))
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        raw.recv(512)
        for line in (
            f"{canaries['garbage']} \xff\x00",
            f"MAIL FROM:<{canaries['garbage']}",
            f"EHLO {canaries['helo']}",
            f"MAIL FROM:<{canaries['sender']}@x.example> SIZE=x{canaries['garbage']}",
            f"MAIL FROM:<{canaries['sender']}@x.example>",
            f"RCPT TO:<{login}>",
            f"DATA\r\nSubject: {canaries['subject']}\r\n\r\nbare\n{canaries['body']}\r\n.",
        ):
            raw.sendall(line.encode("latin-1") + b"\r\n")
            time.sleep(0.05)
        raw.recv(4096)
    everything: list[object] = [
        ["Mailbox/get", {"ids": None}],
        ["Email/query", {"filter": {"text": canaries["query"]}}],
        ["Email/query", {"limit": 10}],
        ["Email/get", {"ids": ["M1", "M2", canaries["query"]], "fetchAllBodyValues": True}],
        ["Email/set", {"update": {"M1": {f"keywords/{canaries['keyword']}": True}}}],
        ["Email/set", {"update": {"M1": {canaries["garbage"]: 1}}}],
        [canaries["garbage"], {}],
    ]
    _jmap(stack, login, canaries["password"], everything)
    _jmap(stack, login, canaries["wrong_password"], everything)
    _jmap(stack, f"{canaries['unknown']}@privacy.test", canaries["wrong_password"], everything)
    _cli(stack, "trace", "--from", f"{canaries['sender']}@outside.example", "--to", login)
    _cli(stack, "account", "create", login, "--password", canaries["password"])
    # Backends that go away in the middle of it.
    for backend in ("seaweedfs", "nats", "redis", "postgres"):
        stack.stop_process(backend)
        with contextlib.suppress(smtplib.SMTPException, OSError), smtplib.SMTP("127.0.0.1", port, timeout=15) as client:
            client.send_message(_mail(canaries, login))
        with contextlib.suppress(OSError, ValueError):
            _jmap(stack, login, canaries["password"], everything[:3])
        stack.start_process(backend)
        stack.wait_ready()
    _cli(stack, "store", "pack")
    _cli(stack, "store", "verify", "--bodies")
    time.sleep(2)
    # The search.
    haystacks: dict[str, bytes] = {}
    for path in Path(stack.layout.data, "log").rglob("*"):
        if path.is_file():
            haystacks[f"log {path.name}"] = path.read_bytes()
    haystacks["supervisor"] = stack.output.read_bytes()
    for service in ("ingest", "store", "delivery", "junior-guard", "accounts", "gateway"):
        health = stack.environment(service)["PETITBLEU_HEALTH_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics", timeout=10) as answer:
            haystacks[f"metrics {service}"] = answer.read()
    haystacks["traces"] = b"\n".join(collector.received)
    assert len(haystacks["traces"]) > 5_000, "no traces came: nothing was searched"
    for service in ("ingest", "store", "delivery", "accounts", "gateway"):
        assert f"petitbleu-{service}".encode() in haystacks["traces"], f"no trace of {service}"
        assert haystacks[f"log {service}.log"], f"no log of {service}"
    found = [
        f"{name} in {place}"
        for name, canary in canaries.items()
        for place, text in haystacks.items()
        if canary.encode() in text.lower() or base64.b64encode(canary.encode())[:-4] in text
    ]
    assert not found
