"""The second gate: nothing that a child sends goes anywhere without junior-guard's word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from services.delivery.tests.delivery_fakes import Clock, FakeDirectory, FakeGuard, FakeStore
from services.delivery.tests.test_delivery_sending import Scene as Sending

from petitbleu.store.v1 import accept_pb2
from petitbleu_delivery.adapters.queue_rows import QueueRows
from petitbleu_delivery.domain.model import Message, Outcome, Reason, Recipient, Route, Settlement, Status
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.errors import PeerUnavailableError
from petitbleu_delivery.ports import Leaving, News, Word
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.outbound.entering import Entering
from petitbleu_delivery.service.outbound.way_out import Submitters, WayOut
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router

CHILD, ADULT = 7, 8


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.directory = FakeDirectory()
        self.directory.children.add(CHILD)
        self.guard = FakeGuard()
        self.guard.correspondents.add("aunt@else.test")
        self.submitters = Submitters(self.directory, 60, self.clock)
        self.way_out = WayOut(self.submitters, self.guard, self.clock)

    async def goes(self, account_id: int, *addresses: str) -> list[bool]:
        words = await self.way_out.words([Leaving(account_id, bytes(16), one) for one in addresses])
        return [word is Word.GOES for word in words]


async def test_a_child_reaches_its_correspondents_and_others_reach_everybody() -> None:
    scene = Scene()
    assert await scene.goes(ADULT, "x@else.test") == [True]
    assert scene.guard.calls == []
    assert await scene.goes(CHILD, "aunt@else.test", "x@else.test") == [True, False]
    assert await scene.goes(0, "x@else.test") == [True]


async def test_a_silent_guard_holds_up_children_alone_and_is_not_asked_at_once_again() -> None:
    scene = Scene()
    scene.guard.down = True
    leaving = [Leaving(CHILD, bytes(16), "aunt@else.test"), Leaving(ADULT, bytes(16), "aunt@else.test")]
    assert await scene.way_out.words(leaving) == [Word.WAITS, Word.GOES]
    scene.guard.down = False
    assert await scene.way_out.words(leaving) == [Word.WAITS, Word.GOES]
    assert len(scene.guard.calls) == 1
    scene.clock.now += 1
    assert await scene.way_out.words(leaving) == [Word.GOES, Word.GOES]


async def test_nobody_knows_an_account_so_it_is_asked_about_as_a_child() -> None:
    scene = Scene()
    scene.directory.unknown.add(9)
    assert await scene.goes(9, "x@else.test") == [False]
    assert scene.guard.calls == [1]


async def test_without_accounts_nothing_leaves() -> None:
    scene = Scene()
    scene.directory.down = True
    with pytest.raises(PeerUnavailableError):
        await scene.goes(ADULT, "x@else.test")


async def test_what_is_refused_alone_waits_alone() -> None:
    scene = Scene()
    scene.directory.children.add(9)
    scene.guard.refuses.add(9)
    leaving = [Leaving(CHILD, bytes(16), "aunt@else.test"), Leaving(9, bytes(16), "aunt@else.test")]
    assert await scene.way_out.words(leaving) == [Word.GOES, Word.WAITS]


async def test_who_becomes_a_child_is_known_when_accounts_says_so_and_in_a_minute_at_the_latest() -> None:
    scene = Scene()
    assert await scene.goes(ADULT, "x@else.test") == [True]
    scene.directory.children.add(ADULT)
    assert await scene.goes(ADULT, "x@else.test") == [True]
    scene.submitters.forget([ADULT])
    assert await scene.goes(ADULT, "x@else.test") == [False]
    scene.directory.children.discard(ADULT)
    scene.clock.now += 61
    assert await scene.goes(ADULT, "x@else.test") == [True]


class FakeQueue:
    """Stands for the queue: takes all that may go."""

    def __init__(self, way_out: WayOut) -> None:
        self._way_out = way_out
        self.entered: list[str] = []

    async def words(self, recipients: Sequence[Recipient]) -> list[Word]:
        return await self._way_out.open_to(recipients)

    async def enter(self, recipients: Sequence[Recipient]) -> tuple[list[Settlement], list[object]]:
        self.entered += [recipient.address for recipient in recipients]
        return [Settlement(recipient, Outcome.QUEUED) for recipient in recipients], []

    def begin(self, units: Sequence[object]) -> None:
        del units


def accept(store: FakeStore, account_id: int, origin: int, *addresses: str) -> bytes:
    accepted_id = store.accept(*addresses)
    message = Message(accepted_id, "child@here.test", "child@here.test", True, origin=origin, submitter_id=account_id)
    for number, address in enumerate(addresses):
        store.open[accepted_id, number] = Recipient(message, number, address, 0)
    return accepted_id


async def test_a_childs_mail_to_our_own_people_waits_too() -> None:
    scene = Scene()
    store = FakeStore()
    queue = FakeQueue(scene.way_out)
    scene.guard.approved.add("child@here.test")
    for address, account_id in (("mum@here.test", 1), ("stranger@here.test", 2), ("child@here.test", CHILD)):
        scene.directory.add(address, account_id)
    scene.directory.routes["far@else.test"] = Route(Status.REMOTE)
    scene.guard.correspondents.add("mum@here.test")
    rounds = Rounds(
        store, Router(scene.directory, RouteCache(100, 60, scene.clock)), Gate(scene.guard, scene.clock), Tally(), 100,
        entering=cast("Entering", queue),
    )  # fmt: skip
    sent = accept(store, CHILD, accept_pb2.ORIGIN_SUBMITTED, "mum@here.test", "stranger@here.test")
    # what a child's vacation or a notice to the child itself is, is told by where it goes
    notice = accept(store, CHILD, accept_pb2.ORIGIN_NOTICE, "child@here.test", "stranger@here.test")
    grown = accept(store, ADULT, accept_pb2.ORIGIN_SUBMITTED, "stranger@here.test", "far@else.test")
    await rounds.deliver([sent, notice, grown])
    assert store.outcome(sent, 0).outcome is Outcome.FILED
    assert store.later[sent, 1].reason is Reason.WAITS_FOR_GUARD
    assert store.outcome(notice, 0).outcome is Outcome.FILED
    assert store.later[notice, 1].reason is Reason.WAITS_FOR_GUARD
    assert store.outcome(grown, 0).outcome is Outcome.FILED
    assert queue.entered == ["far@else.test"]
    scene.guard.correspondents.add("stranger@here.test")
    await rounds.deliver([sent])
    assert store.outcome(sent, 1).outcome is Outcome.FILED


async def test_what_was_queued_is_asked_about_again_by_what_was_known_seconds_ago() -> None:
    scene = Scene()
    asked = scene.directory.asked

    async def still(account_id: int, *addresses: str) -> list[Word]:
        return await scene.way_out.still(account_id, bytes(16), addresses)

    assert await still(ADULT, "x@else.test", "y@else.test") == [Word.GOES, Word.GOES]
    assert await still(0, "x@else.test") == [Word.GOES]
    scene.clock.now += 4
    assert await still(ADULT, "x@else.test") == [Word.GOES]
    assert (asked, scene.guard.calls) == ([[ADULT]], [])
    # an approval that is withdrawn counts at once
    assert await still(CHILD, "aunt@else.test", "x@else.test") == [Word.GOES, Word.WAITS]
    scene.guard.correspondents.clear()
    assert await still(CHILD, "aunt@else.test") == [Word.WAITS]
    # who becomes a child, or is disabled, is known in seconds, even if nobody says so
    scene.directory.children.add(ADULT)
    scene.clock.now += 2
    assert await still(ADULT, "x@else.test") == [Word.WAITS]
    scene.directory.children.clear()
    scene.directory.disabled.add(ADULT)
    scene.clock.now += 6
    assert await still(ADULT, "x@else.test") == [Word.STOPPED]
    assert await scene.submitters.stopped(ADULT)
    assert not await scene.submitters.stopped(CHILD)
    scene.directory.unknown.add(9)
    assert await scene.submitters.stopped(9)


async def test_without_an_answer_what_was_queued_waits() -> None:
    scene = Scene()
    scene.guard.down = True
    assert await scene.way_out.still(CHILD, bytes(16), ["aunt@else.test"]) == [Word.WAITS]
    scene.directory.down = True
    scene.clock.now += 6
    with pytest.raises(PeerUnavailableError):
        await scene.way_out.still(ADULT, bytes(16), ["x@else.test"])


class Told:
    """Hears what became of submissions."""

    def __init__(self) -> None:
        self.told: list[News] = []

    async def record(self, news: Sequence[News]) -> None:
        self.told += news


async def test_what_a_disabled_account_sent_is_parked() -> None:
    scene = Scene()
    store = FakeStore()
    sending = Sending()
    entering = Entering(cast("QueueRows", sending.rows), sending.sender, scene.way_out, sending.present)
    scene.directory.add("friend@here.test", 1)
    scene.directory.routes["far@else.test"] = Route(Status.REMOTE)
    scene.directory.disabled.add(ADULT)
    news = Told()
    rounds = Rounds(
        store, Router(scene.directory, RouteCache(100, 60, scene.clock)), Gate(scene.guard, scene.clock), Tally(), 100,
        entering=entering, news=news,
    )  # fmt: skip
    sent = accept(store, ADULT, accept_pb2.ORIGIN_SUBMITTED, "friend@here.test", "far@else.test")
    await rounds.deliver([sent])
    for number in range(2):
        settled = store.outcome(sent, number)
        assert (settled.outcome, settled.reason) == (Outcome.PARKED, Reason.SENDER_DISABLED)
    assert store.mailboxes == {}
    assert sorted((one.number, one.verdict, one.reply and one.reply.enhanced) for one in news.told) == [
        (0, Verdict.REFUSED, "5.7.1"),
        (1, Verdict.REFUSED, "5.7.1"),
    ]
