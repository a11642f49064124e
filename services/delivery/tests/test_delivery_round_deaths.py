"""Who is told what became of a recipient here is told before it is settled: a death in between tells again, and never not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from services.delivery.tests.delivery_fakes import Clock, FakeDirectory, FakeGuard, FakeStore

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.domain.model import Message, Outcome, Recipient
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.ports import News
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router


class Scene:
    """A round of one message of ours to one of ours; store settles in the commit that files, where it may."""

    def __init__(self, *, wants_success: bool = False) -> None:
        self.store, self.directory = FakeStore(), FakeDirectory()
        self.store.settles = True
        self.directory.add("b@here.test", 5)
        clock = Clock()
        self.dies = False
        self.dies_at_news = True
        self.heard: list[Verdict] = []
        self.confirmed: list[int] = []
        self.rounds = Rounds(
            self.store, Router(self.directory, RouteCache(10, 60, clock)), Gate(FakeGuard(), clock), Tally(), 10, news=self,
            notices=self,
        )  # fmt: skip
        self.accepted_id = self.store.accept("b@here.test")
        message = Message(
            self.accepted_id, "a@here.test", "a@here.test", True, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_id=8
        )
        self.store.open[self.accepted_id, 0] = Recipient(message, 0, "b@here.test", 0, wants_success)

    def _step(self, *, dies: bool) -> None:
        assert (self.accepted_id, 0) in self.store.open, "settled before it was told"
        if dies:
            raise PeerUnavailableError(Peer.DATABASE, "DIES")

    async def record(self, news: Sequence[News]) -> None:
        self._step(dies=self.dies and self.dies_at_news)
        self.heard += [one.verdict for one in news]

    async def filed(self, recipients: Sequence[Recipient]) -> None:
        self._step(dies=self.dies)
        self.confirmed += [one.number for one in recipients]


async def test_a_submission_hears_of_a_recipient_before_it_is_settled() -> None:
    scene = Scene()
    scene.dies = True
    with pytest.raises(PeerUnavailableError):
        await scene.rounds.deliver([scene.accepted_id])
    assert (scene.accepted_id, 0) in scene.store.open
    assert scene.store.mailboxes[5] == {scene.accepted_id: "filed"}
    scene.dies = False
    await scene.rounds.deliver([scene.accepted_id])
    assert scene.heard == [Verdict.SENT]
    assert scene.store.outcome(scene.accepted_id).outcome is Outcome.FILED


async def test_what_is_confirmed_is_settled_once_it_was_told() -> None:
    scene = Scene(wants_success=True)
    scene.dies_at_news = False
    scene.dies = True
    await scene.rounds.deliver([scene.accepted_id])
    assert (scene.accepted_id, 0) in scene.store.open
    scene.dies = False
    await scene.rounds.deliver([scene.accepted_id])
    assert scene.confirmed == [0]
    assert scene.store.outcome(scene.accepted_id).outcome is Outcome.FILED


async def test_what_a_stranger_sends_is_settled_as_it_is_filed() -> None:
    scene = Scene()
    other = scene.store.accept("b@here.test")
    await scene.rounds.deliver([other])
    assert scene.store.outcome(other).outcome is Outcome.FILED
    assert ("settle", 1) not in scene.store.calls
