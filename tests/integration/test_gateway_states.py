"""What push asks of the other services: how far accounts are, although one of them is away."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.jmap_peers import JmapPeers

from petitbleu_delivery.domain.submissions import Ledger
from petitbleu_gateway.adapters.states_grpc import GrpcStates
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_kit.identity import Signer
from petitbleu_kit.rpc import Peer


@pytest.fixture
def peers() -> Iterator[JmapPeers]:
    with tempfile.TemporaryDirectory(prefix="pbs") as name:
        found = JmapPeers(Path(name))
        found.start()
        found.identities.know(101, "alice@demo.test")
        found.identities.books[101].settle()
        yield found
        found.stop()


async def asked(peers: JmapPeers, accounts_address: str, delivery_address: str = "") -> dict[int, AccountState]:
    signer = Signer.from_file("gateway", peers.identity / "gateway.key")
    store = Peer(peers.address("store"), "store", signer)
    accounts = Peer(accounts_address, "accounts", signer)
    delivery = Peer(delivery_address or peers.address("delivery"), "delivery", signer)
    try:
        return dict(await GrpcStates(store, accounts, delivery, 10).states([101, 102]))
    finally:
        await store.close()
        await accounts.close()
        await delivery.close()


async def test_states_are_those_of_mail_and_of_identities(peers: JmapPeers) -> None:
    peers.store.person(101).file(b"Subject: x\r\n\r\nHello\r\n")
    found = await asked(peers, peers.address("accounts"))
    assert found == {101: AccountState(peers.store.person(101).modseq, 1, 1), 102: AccountState(1, 0, 0)}


async def test_states_are_those_of_submissions_too(peers: JmapPeers) -> None:
    peers.submissions.ledgers[101] = Ledger(101, modseq=5)
    found = await asked(peers, peers.address("accounts"))
    assert found[101] == AccountState(1, 0, 1, 5)
    found = await asked(peers, peers.address("accounts"), f"unix:{peers.directory}/nobody.sock")
    assert found[101] == AccountState(1, 0, 1, 0)


async def test_states_are_those_of_rules_too(peers: JmapPeers) -> None:
    peers.scripts.know(101, modseq=7, vacation_modseq=6)
    found = await asked(peers, peers.address("accounts"))
    assert found[101] == AccountState(1, 0, 1, 0, 7, 6)
    found = await asked(peers, peers.address("accounts"), f"unix:{peers.directory}/nobody.sock")
    assert found[101] == AccountState(1, 0, 1)


async def test_mail_is_told_although_accounts_is_away(peers: JmapPeers) -> None:
    found = await asked(peers, f"unix:{peers.directory}/nobody.sock")
    assert found == {101: AccountState(1, 0, 0), 102: AccountState(1, 0, 0)}
