"""Bounces to rewritten senders: sent on once, within bounds, whatever dies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.domain.model import Message, Outcome, Reason, Recipient
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.bounces.return_paths import ReturnPaths

OWNER = "zoe@own.test"
ANNA = "anna@else.test"
DAY = 86_400


@dataclass
class Store:
    """store, with one message."""

    octets: bytes | None = b"Received: x\r\nSubject: back\r\n\r\nIt failed.\r\n"
    error: Exception | None = None
    sent: list[Letter] = field(default_factory=list)

    async def read(self, _accepted_id: bytes, _octets: int) -> bytes | None:
        return self.octets

    async def accept(self, letters: Sequence[Letter]) -> bool:
        if self.error is not None:
            raise self.error
        self.sent += letters
        return True


class World:
    def __init__(self, *, rewrites: bool = True) -> None:
        self.store, self.now = Store(), 20_000.0 * DAY
        self.paths = ReturnPaths(self.store, Seal(bytes(32), "srs"), rewrites=rewrites, clock=lambda: self.now)
        self._count = 0

    def sender(self, mail_from: str = ANNA, *, ours: bool = False) -> str:
        return self.paths.sender_of(mail_from, OWNER, self.now, ours=ours)

    def bounce(self, to: str, mail_from: str = "", size: int = 100, attempts: int = 0) -> Recipient:
        self._count += 1
        return Recipient(Message(self._count.to_bytes(16, "big"), mail_from, "", False, size=size), 0, to, attempts)


def test_who_is_the_sender_of_what_is_sent_on() -> None:
    world = World()
    assert world.sender().endswith("=else.test=anna@own.test")
    assert world.sender("") == ""
    assert world.sender("bob@own.test", ours=True) == "bob@own.test"
    assert world.sender(f"{'a' * 60}@else.test") == OWNER
    # who is named as the sender of junk may be anybody
    assert world.paths.sender_of(ANNA, OWNER, world.now, junk=True) == OWNER
    # one setting away: as before
    off = World(rewrites=False)
    assert (off.sender(), off.sender(""), off.sender("bob@own.test", ours=True)) == (OWNER, "", OWNER)
    # what left before it was switched off is still known
    assert off.paths.good([world.sender()]) == {world.sender()}


async def test_a_bounce_goes_to_who_sent_it_and_other_mail_its_way() -> None:
    world = World()
    path = world.sender()
    bounce, mail, other = world.bounce(path), world.bounce(path, "a@x.test"), world.bounce(OWNER)
    stale = world.bounce(path.replace("SRS0=", "SRS0=a")[:-1])
    assert world.paths.concerns([mail, bounce])
    assert not world.paths.concerns([mail, other])
    rest, settled = await world.paths.returned([bounce, mail, other, stale])
    assert rest == [mail, other, stale]
    assert [(one.recipient, one.outcome, one.reason) for one in settled] == [
        (bounce, Outcome.DISCARDED, Reason.RETURNED)
    ]
    (letter,) = world.store.sent
    assert (letter.mail_from, letter.to, letter.body, letter.account_id) == ("", ANNA, world.store.octets, 0)
    # a death before it was settled does the same again, under the same key
    await world.paths.returned([bounce])
    assert world.store.sent[1].key == letter.key
    world.now += 22 * DAY
    assert (await world.paths.returned([bounce]))[0] == [bounce]


@pytest.mark.parametrize("octets", [None, b"Received: x\r\n" * 51 + b"\r\nHello\r\n"])
async def test_what_goes_in_circles_or_is_gone_ends_here(octets: bytes | None) -> None:
    world = World()
    world.store.octets = octets
    (settled,) = (await world.paths.returned([world.bounce(world.sender())]))[1]
    assert (settled.outcome, world.store.sent) == (Outcome.DISCARDED, [])


async def test_nobody_is_sent_more_than_so_many_an_hour() -> None:
    world = World()
    bounces = [world.bounce(world.sender()) for _ in range(100)]
    await world.paths.returned(bounces)
    assert len(world.store.sent) == 60
    await world.paths.returned([world.bounce(world.sender("bob@else.test"))])
    assert len(world.store.sent) == 61
    world.now += 3600
    await world.paths.returned([world.bounce(world.sender())])
    assert len(world.store.sent) == 62


async def test_while_store_is_away_nothing_is_lost() -> None:
    world = World()
    world.store.error = PeerRefusedError(Peer.STORE, "x", lasting=False)
    (settled,) = (await world.paths.returned([world.bounce(world.sender())]))[1]
    assert (settled.outcome, settled.reason) == (Outcome.OPEN, Reason.STORE_FAILED)
    world.store.error = PeerUnavailableError(Peer.STORE, "x")
    with pytest.raises(PeerUnavailableError):
        await world.paths.returned([world.bounce(world.sender())])
