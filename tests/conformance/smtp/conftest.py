"""Servers for the wire tests: each test that takes `server` runs against ours and against Postfix."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.contract_peers import OVER_QUOTA
from tests.conformance.smtp.servers import Ours, PeersThread, Postfix, Server, make_certificate


@pytest.fixture(scope="session")
def smtp_peers() -> Iterator[PeersThread]:
    with tempfile.TemporaryDirectory(prefix="pb-smtp-") as directory:
        peers = PeersThread(Path(directory))
        yield peers
        peers.stop()


@pytest.fixture(scope="session")
def ours(smtp_peers: PeersThread) -> Iterator[Ours]:
    """Ours with shipped defaults and a certificate."""
    directory = smtp_peers.peers.directory
    certificate, key = make_certificate(directory)
    server = Ours(directory, smtp_peers.peers, tls_cert=str(certificate), tls_key=str(key), tls_poll_seconds="0.2")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    with tempfile.TemporaryDirectory(prefix="pb-postfix-", ignore_cleanup_errors=True) as directory:
        server = Postfix(Path(directory) / "instance")
        yield server
        server.stop()


@pytest.fixture(params=["ours", "postfix"])
def server(request: pytest.FixtureRequest) -> Server:
    chosen: Server = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def ours_with(smtp_peers: PeersThread) -> Iterator[Callable[..., Ours]]:
    """Start ours with other settings."""
    started: list[Ours] = []

    def start(**settings: str) -> Ours:
        server = Ours(smtp_peers.peers.directory, smtp_peers.peers, **settings)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def quiet_store(smtp_peers: PeersThread) -> Iterator[PeersThread]:
    """The peers, put back as they were when the test ends."""
    yield smtp_peers
    store, accounts = smtp_peers.peers.store, smtp_peers.peers.accounts
    store.fail, store.delay, store.stage_gate = None, 0, None
    store.listed, store.complete = set(OVER_QUOTA), True
    accounts.away = False
