"""Servers for the JMAP wire tests: the gateway before accounts and store in memory, and before the whole embedded stack."""

from __future__ import annotations

import itertools
import os
import smtplib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conformance import jmap_peers
from tests.conformance.jmap_client import JmapClient
from tests.conformance.jmap_peers import JmapPeers, running_gateway
from tests.live_stack import DOMAIN, PASSWORD, LiveStack
from tests.ports import free_port
from tests.push_service import PushService

from petitbleu_dev import credentials
from petitbleu_dev.authority import Certificates

POOL = 40
"""Accounts made at once on the whole stack, and again when none is left; each test takes one that nobody has used."""


@dataclass
class JmapServer:
    """A running gateway, and a way to a person of one's own at it.

    `secure` is the host and port of its HTTPS, `authority` the certificate to trust for it, and `logs` are the files that the
    gateway, and store where it is a process, write their logs to; `pids` tells their process ids.
    """

    url: str
    secure: str
    authority: Path
    logs: tuple[Path, ...]
    pids: Callable[[], list[int]]
    newcomer: Callable[..., JmapClient]
    pictures_port: int = 0
    """Where the image proxy may go on this machine."""
    identity_key: Path = Path("/nowhere")
    """The gateway's own, that of the contract's server."""


@pytest.fixture(scope="session")
def jmap_contract(tmp_path_factory: pytest.TempPathFactory, push_service: PushService) -> Iterator[JmapServer]:
    """The gateway process before accounts and store that keep the contract in memory."""
    directory = tmp_path_factory.mktemp("jmap", numbered=True)
    short = Path(tempfile.gettempdir()) / f"pbj{os.getpid()}"
    short.symlink_to(directory)  # sun_path is short
    peers = JmapPeers(short)
    peers.start()
    port, tls_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    certificates = Certificates(directory)
    certificates.ensure(datetime.now(UTC))

    def newcomer(kind: str = "person") -> JmapClient:
        number = 1000 + len(jmap_peers.PEOPLE)
        login = f"{kind}{number}@demo.test"
        jmap_peers.PEOPLE[login] = number
        person = peers.store.person(number)
        prefix = f"Return-Path: <anna@x.example>\r\nDelivered-To: {login}\r\n".encode()
        client = JmapClient(url, login, jmap_peers.PASSWORD)
        client.put = lambda raw: f"M{peers.do(lambda: person.file(raw, prefix=prefix)).message_id}"
        client.limit = person.limit
        peers.identities.know(number, login, name="Some Body")

        def alias() -> str:
            addresses = peers.identities.books[number].owner.addresses
            peers.identities.know(number, *addresses, f"other{len(addresses)}.{login}", name="Some Body")
            return f"other{len(addresses)}.{login}"

        client.alias = alias
        return client

    environment = {
        **peers.environment(port, free_port(), tls_port),
        "PETITBLEU_CA_FILE": str(push_service.authority),
        "PETITBLEU_VAPID_KEY": str(credentials.application_server_key(directory / "vapid.pem")),
        "PETITBLEU_TLS_CERT": str(certificates.server),
        "PETITBLEU_TLS_KEY": str(certificates.server_key),
    }
    log = directory / "gateway.log"
    try:
        with running_gateway(environment, log) as process:
            secure, authority = f"localhost:{tls_port}", certificates.authority
            yield JmapServer(
                url, secure, authority, (log,), lambda: [process.pid], newcomer, pictures_port=peers.pictures_port,
                identity_key=peers.identity / "gateway.key",
            )  # fmt: skip
    finally:
        peers.stop()
        short.unlink()


@pytest.fixture(scope="session")
def jmap_stack(live_stack: LiveStack) -> JmapServer:
    """The gateway of the whole embedded stack."""
    url = f"http://127.0.0.1:{live_stack.http_port}"

    def made() -> Iterator[str]:
        for pool in itertools.count():
            pattern = f"jmap{pool}n%d@{DOMAIN}"
            live_stack.cli("account", "create", pattern, "--count", str(POOL), "--password", PASSWORD)
            yield from (pattern % number for number in range(POOL))

    logins = made()

    def newcomer() -> JmapClient:
        client = JmapClient(url, next(logins), PASSWORD)
        client.put = lambda raw: deliver(client, live_stack.smtp_port, raw)
        client.alias = lambda: stack_alias(live_stack, client.login)
        client.limit = lambda octets: live_stack.cli("account", "quota", client.login, str(octets))
        return client

    logs = tuple(live_stack.layout.logs / f"{service}.log" for service in ("gateway", "store"))
    authority = Certificates(live_stack.layout.tls).authority
    secure = f"localhost:{live_stack.port('https')}"

    def pids() -> list[int]:
        return [pid for service in ("gateway", "store") if (pid := live_stack.pid(service)) is not None]

    return JmapServer(url, secure, authority, logs, pids, newcomer)


def stack_alias(stack: LiveStack, login: str) -> str:
    """Give a person one more address."""
    address = f"other{os.urandom(4).hex()}.{login}"
    stack.cli("alias", "put", address, login)
    return address


def deliver(client: JmapClient, port: int, raw: bytes) -> str:
    """Send mail to a person by SMTP and wait until it appears."""
    before = set(client.call("Email/query", limit=1000)["ids"])
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
        smtp.sendmail("anna@x.example", [client.login], raw)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = set(client.call("Email/query", limit=1000)["ids"]) - before
        if found:
            return str(found.pop())
        time.sleep(0.02)
    raise AssertionError("the mail does not appear")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the contract's servers what the gateway answers by itself: requests, references, and lists of bad arguments."""
    alone = {"test_jmap_core", "test_jmap_references", "test_jmap_fuzz"}
    with_store = {"test_jmap_fuzz_arguments", "test_jmap_soak_fuzz"}
    left: list[pytest.Item] = []
    kept: list[pytest.Item] = []
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        on_stack = parameters.get("server") == "stack"
        by_itself = item.path.stem in alone and getattr(item, "originalname", "") not in with_store
        (left if on_stack and (len(parameters) > 1 or by_itself) else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


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
