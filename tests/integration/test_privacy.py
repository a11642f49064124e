"""Nothing of a mail but opaque ids is in any log, metric or trace, even when everything goes wrong.

A stack of its own runs with tracing on. Random canaries stand in every address, name, subject, body, attachment, file name
and password of a full run in which errors are forced; afterwards all logs (the backends' too), all metrics and all exported
spans are searched for them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
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

import asyncpg
import pytest
from tests.ports import offset_of

from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack

OFFSET = offset_of(330)  # outside of what the backends of the tier choose from


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


WORDS = ("from_name", "sender", "to_name", "subject", "message_id", "body", "attachment", "file_name")


async def _dump(stack: Stack) -> dict[str, bytes]:
    """Every row of every table, as text."""
    context = Context(stack.layout, stack.ports, None, print)  # type: ignore[arg-type]  # nothing is started with it
    dump: dict[str, bytes] = {}
    for database in ("petitbleu", "postgres", "seaweedfs"):
        try:
            connection = await asyncpg.connect(postgres.dsn(context, postgres.SUPERUSER, database))
        except asyncpg.InvalidCatalogNameError:
            continue
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'"
        )
        for row in tables:
            out = io.BytesIO()
            await connection.copy_from_query(f"SELECT t::text FROM {row['name']} t", output=out)
            dump[f"{database} {row['name']}"] = out.getvalue()
        await connection.execute("CHECKPOINT")
        await connection.close()
    return dump


def _forms(word: str) -> list[bytes]:
    """A word as it may stand somewhere: as it is, in base64 at any of its three beginnings, in hexadecimal."""
    plain = word.encode()
    inner = [base64.b64encode(b"x" * lead + plain)[4 if lead else 0 : -4] for lead in range(3)]
    return [plain, plain.hex().encode(), *inner]


def test_no_word_of_a_mail_is_in_the_database_its_log_s3_the_bus_or_the_cache(stack: Stack) -> None:
    canaries = {name: f"cw{secrets.token_hex(8)}" for name in WORDS}
    login, password = "words@words.test", secrets.token_hex(8)
    for arguments in (
        ("tenant", "create", "words"),
        ("domain", "create", "words.test", "--tenant", "words"),
        ("account", "create", login, "--password", password),
    ):
        assert _cli(stack, *arguments).returncode == 0
    with smtplib.SMTP("127.0.0.1", stack.port("smtp")) as client:
        client.send_message(_mail(canaries, login))
        big = _mail(canaries, login)
        big.add_attachment(secrets.token_bytes(900_000), maintype="application", subtype="x")
        client.send_message(big)
    # The index is built, by searches that find each word.
    for name, text in canaries.items():
        if name == "message_id":
            continue
        deadline = time.monotonic() + 30
        while _searched(stack, login, password, text) != 2:
            assert time.monotonic() < deadline, f"{name} is not found"
            time.sleep(0.5)
    assert _cli(stack, "store", "pack").returncode == 0
    dump = asyncio.run(_dump(stack))
    assert dump["petitbleu store.search_entry"].count(b"\n") >= 2, "nothing was indexed: nothing was looked at"
    haystacks = dict(dump)
    for path in Path(stack.layout.data).rglob("*"):
        if path.is_file() and not path.is_socket():
            with contextlib.suppress(OSError):  # what ends while one looks
                haystacks[str(path.relative_to(stack.layout.data))] = path.read_bytes()
    for part in ("pg_wal", "nats", "redis", "seaweedfs"):
        assert any(part in name and text for name, text in haystacks.items()), f"no file of {part} was read"
    found = [
        f"{name} in {place}"
        for name, canary in canaries.items()
        for form in _forms(canary)
        for place, text in haystacks.items()
        if form in text
    ]
    assert not found


def _searched(stack: Stack, login: str, password: str, text: str) -> int:
    """How many messages a search finds."""
    token = base64.b64encode(f"{login}:{password}".encode()).decode()
    base = f"http://127.0.0.1:{stack.port('http')}"
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{base}/.well-known/jmap", headers=headers), timeout=20
    ) as answer:
        session = json.loads(answer.read())
    call = ["Email/query", {"accountId": next(iter(session["accounts"])), "filter": {"text": text}}, "0"]
    body = {"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"], "methodCalls": [call]}
    api = base + "/" + session["apiUrl"].split("/", 3)[3]
    with urllib.request.urlopen(urllib.request.Request(api, json.dumps(body).encode(), headers), timeout=20) as answer:
        return len(json.loads(answer.read())["methodResponses"][0][1].get("ids", ()))
