"""Servers for the JMAP wire tests: the gateway before accounts and store in memory, and before the whole embedded stack."""

from __future__ import annotations

import os
import smtplib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conformance import jmap_peers
from tests.conformance.jmap_client import JmapClient
from tests.conformance.jmap_peers import JmapPeers, free_port, running_gateway
from tests.live_stack import DOMAIN, PASSWORD, LiveStack

POOL = 150
"""Accounts made at once on the whole stack; each test takes one that nobody has used."""


@dataclass
class JmapServer:
    """A running gateway, and a way to a person of one's own at it."""

    url: str
    newcomer: Callable[[], JmapClient]
    peers: JmapPeers | None = None
    taken: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def jmap_contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JmapServer]:
    """The gateway process before accounts and store that keep the contract in memory."""
    directory = tmp_path_factory.mktemp("jmap", numbered=True)
    short = Path(f"/tmp/pbj{os.getpid()}")
    short.symlink_to(directory)  # sun_path is short
    peers = JmapPeers(short)
    peers.start()
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def newcomer() -> JmapClient:
        number = 1000 + len(jmap_peers.PEOPLE)
        login = f"person{number}@demo.test"
        jmap_peers.PEOPLE[login] = number
        person = peers.store.person(number)
        prefix = f"Return-Path: <anna@x.example>\r\nDelivered-To: {login}\r\n".encode()
        return JmapClient(url, login, jmap_peers.PASSWORD, lambda raw: f"M{person.file(raw, prefix=prefix).message_id}")

    try:
        with running_gateway(peers.environment(port, free_port()), directory / "gateway.log"):
            yield JmapServer(url, newcomer, peers)
    finally:
        peers.stop()
        short.unlink()


@pytest.fixture(scope="session")
def jmap_stack(live_stack: LiveStack) -> JmapServer:
    """The gateway of the whole embedded stack."""
    url = f"http://127.0.0.1:{live_stack.http_port}"
    live_stack.cli("account", "create", f"jmap%d@{DOMAIN}", "--count", str(POOL), "--password", PASSWORD)
    server = JmapServer(url, lambda: newcomer())

    def newcomer() -> JmapClient:
        login = f"jmap{len(server.taken)}@{DOMAIN}"
        server.taken.append(login)
        client = JmapClient(url, login, PASSWORD, lambda raw: put(raw))

        def put(raw: bytes) -> str:
            before = set(client.call("Email/query", limit=1000)["ids"])
            with smtplib.SMTP("127.0.0.1", live_stack.smtp_port, timeout=30) as smtp:
                smtp.sendmail("anna@x.example", [login], raw)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                found = set(client.call("Email/query", limit=1000)["ids"]) - before
                if found:
                    return str(found.pop())
                time.sleep(0.02)
            raise AssertionError("the mail does not appear")

        return client

    return server


@pytest.fixture(scope="session", params=["contract", "stack"])
def server(request: pytest.FixtureRequest) -> JmapServer:
    """Each wire test runs before both."""
    found: JmapServer = request.getfixturevalue(f"jmap_{request.param}")
    return found


@pytest.fixture
def jmap(server: JmapServer) -> Iterator[JmapClient]:
    """A person whom no other test uses."""
    client = server.newcomer()
    yield client
    client.http.close()


@pytest.fixture
def jmap_other(server: JmapServer) -> Iterator[JmapClient]:
    """Another person at the same server."""
    client = server.newcomer()
    yield client
    client.http.close()
