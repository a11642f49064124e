"""Sending: one destination holds up no other, a dead one is left in peace, answers are kept whatever the database does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from services.delivery.tests.delivery_fakes import Clock, FakeDirectory, FakeGuard, FakeStore, Present

from petitbleu.store.v1 import accept_pb2, outgoing_pb2
from petitbleu_delivery.adapters.accepted_mail import AcceptedLetter, AcceptedMail
from petitbleu_delivery.adapters.queue_rows import Deferral, Entry, FinalAnswer, QueueRows, Unit
from petitbleu_delivery.domain.model import Message, Outcome, Recipient, Route, Settlement, Status
from petitbleu_delivery.domain.outbound import Answer, Letter, Reply, Verdict, goes_in_circles, pause_before
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.ports import Word
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.outbound.destinations import Limits
from petitbleu_delivery.service.outbound.entering import Entering
from petitbleu_delivery.service.outbound.sending import Sender
from petitbleu_delivery.service.outbound.telling import FAILED, SENT, Teller, Told
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router

Answering = Callable[[str, Letter], Answer]


class FakeRows:
    """Keeps what it is told; `away` times it does not answer."""

    def __init__(self) -> None:
        self.finals: list[FinalAnswer] = []
        self.finished: list[Unit] = []
        self.deferred: list[Deferral] = []
        self.away = 0
        self.known: frozenset[tuple[UUID, int]] = frozenset()

    async def keep(
        self, finals: Sequence[FinalAnswer], finished: Sequence[Unit], deferred: Sequence[Deferral]
    ) -> frozenset[tuple[UUID, int]]:
        if self.away:
            self.away -= 1
            raise asyncpg.PostgresConnectionError
        self.finals += finals
        self.finished += finished
        self.deferred += deferred
        return self.known


class FakeStoreMail:
    async def read(self, accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        del max_octets
        found = {}
        for accepted_id in accepted_ids:
            header = outgoing_pb2.AcceptedHeader(
                accepted_id=accepted_id, found=True, mail_from="a@here.test", origin=accept_pb2.ORIGIN_SUBMITTED,
                header_from="a@here.test",
            )  # fmt: skip
            header.recipients.add(address="b@else.test")
            found[accepted_id] = AcceptedLetter(header, b"From: a@here.test\r\nSubject: x\r\n\r\n", True)
        return found


class Unsigned:
    """Signs nothing."""

    async def sign(self, body: bytes, domain: str, tenant_id: int) -> bytes:
        del domain, tenant_id
        return body


class FakeTeller:
    def __init__(self) -> None:
        self.told: list[Told] = []
        self.away = False

    async def tell(self, told: Told) -> None:
        self.told.append(told)

    async def warn(self, told: Told) -> bool:
        if not self.away:
            self.told.append(told)
        return not self.away


class FakeTransport:
    """Answers each letter; a destination in `hangs` never does."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.answering: Answering = lambda _destination, _letter: taken()
        self.hangs: set[str] = set()
        self.active = 0
        self.most = 0

    async def deliver(self, destination: str, letter: Letter) -> list[Answer]:
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            if destination in self.hangs:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            self.delivered.append(destination)
            return [self.answering(destination, letter)]
        finally:
            self.active -= 1

    async def close(self) -> None:
        """Nothing is kept."""


def taken() -> Answer:
    return Answer(0, Verdict.SENT, Reply(250, "2.0.0", "taken", "mx.else.test"))


def unreachable() -> Answer:
    return Answer(0, Verdict.DEFERRED, Reply(0, "4.4.1", "no route", ""), reached=False)


class OpenWay:
    """A second gate that keeps back nobody but whom it is told to."""

    def __init__(self) -> None:
        self.words: dict[str, Word] = {}
        self.asked: list[tuple[int, bytes, tuple[str, ...]]] = []

    async def open_to(self, recipients: Sequence[Recipient]) -> list[Word]:
        return [Word.GOES] * len(recipients)

    async def still(self, account_id: int, accepted_id: bytes, addresses: Sequence[str]) -> list[Word]:
        self.asked.append((account_id, accepted_id, tuple(addresses)))
        return [self.words.get(address, Word.GOES) for address in addresses]


class Scene:
    def __init__(self, **limits: Any) -> None:
        self.way = OpenWay()
        self.rows, self.teller, self.transport = FakeRows(), FakeTeller(), FakeTransport()
        self.present = Present()
        self.sender = Sender(
            cast("QueueRows", self.rows), cast("AcceptedMail", FakeStoreMail()), self.transport, Unsigned(),
            cast("Teller", self.teller), Limits(**limits), self.present, self.way,
        )  # fmt: skip
        self._numbers = 0

    def unit(self, destination: str = "else.test", *, age: float = 0.0, warned: bool = False) -> Unit:
        self._numbers += 1
        accepted_at = time.time() - age
        return Unit(UUID(int=self._numbers), destination, 0, (0,), 8, 1, 2, 1, 100, accepted_at, 0, warned)

    async def settled(self, wanted: Callable[[], bool]) -> None:
        for _ in range(2000):
            if wanted():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not come to that")


async def test_destinations_that_hang_hold_up_nobody_else() -> None:
    scene = Scene(connections=40, first=2, units=1000)
    scene.transport.hangs = {f"hang{number}.test" for number in range(10)}
    for number in range(200):
        scene.sender.take([scene.unit(f"hang{number % 10}.test"), scene.unit(f"good{number % 20}.test")])
    await scene.settled(lambda: len(scene.rows.finished) == 200)
    assert all(unit.destination.startswith("good") for unit in scene.rows.finished)
    assert scene.transport.active == 20
    await scene.sender.drain(0)
    assert {one.unit.destination for one in scene.rows.deferred} == scene.transport.hangs


async def test_destinations_that_hang_give_their_places_to_those_that_answer() -> None:
    scene = Scene(connections=10, first=5, units=1000, slow_after=0.02, slow=100)
    scene.transport.hangs = {f"hang{number}.test" for number in range(10)}
    scene.sender.take([scene.unit(f"hang{number % 10}.test") for number in range(200)])
    await scene.settled(lambda: scene.transport.active >= 20)
    scene.sender.take([scene.unit(f"good{number % 20}.test") for number in range(200)])
    await scene.settled(lambda: len(scene.rows.finished) == 200)
    assert all(unit.destination.startswith("good") for unit in scene.rows.finished)
    # what waits behind them holds no memory: it is in the rows again, without an attempt
    await scene.settled(lambda: scene.sender.in_hand == scene.transport.active)
    assert {(one.reason, one.attempts) for one in scene.rows.deferred} == {("destination-slow", 0)}
    assert scene.transport.active <= 50
    late = scene.unit("hang0.test")
    scene.sender.take([late])
    await scene.settled(lambda: not scene.sender.holds(late))
    await scene.sender.drain(0)


async def test_letters_that_are_slow_keep_their_places_where_there_are_too_many() -> None:
    scene = Scene(connections=4, first=2, units=1000, slow_after=0.01, slow=6)
    scene.transport.hangs = {f"hang{number}.test" for number in range(20)}
    scene.sender.take([scene.unit(f"hang{number % 20}.test") for number in range(200)])
    await asyncio.sleep(0.2)
    assert scene.transport.active == 10
    await scene.sender.drain(0)


async def test_bounds_hold() -> None:
    scene = Scene(connections=7, first=3, a_destination=5)
    scene.sender.take([scene.unit() for _ in range(50)])
    await scene.settled(lambda: len(scene.rows.finished) == 50)
    assert scene.transport.most <= 5
    scene.transport.most = 0
    scene.sender.take([scene.unit(f"d{number}.test") for number in range(50)])
    await scene.settled(lambda: len(scene.rows.finished) == 100 and scene.sender.in_hand == 0)
    assert scene.transport.most <= 7


async def test_a_dead_destination_is_tried_by_few_and_leaves_nothing_in_memory() -> None:
    scene = Scene(first=2)
    scene.transport.answering = lambda _destination, _letter: unreachable()
    scene.sender.take([scene.unit() for _ in range(100)])
    await scene.settled(lambda: len(scene.rows.deferred) == 100 and scene.sender.in_hand == 0)
    assert len(scene.transport.delivered) <= 2
    attempted = [one for one in scene.rows.deferred if one.attempts]
    assert len(attempted) == len(scene.transport.delivered)
    # somebody says that it can be tried again
    scene.transport.answering = lambda _destination, _letter: taken()
    late = scene.unit()
    scene.sender.take([late])
    await scene.settled(lambda: len(scene.rows.deferred) == 101)
    scene.sender.forgive("else.test")
    scene.sender.take([late])
    await scene.settled(lambda: scene.rows.finished == [late])


async def test_what_waits_behind_a_dead_destination_warns_and_expires_too() -> None:
    scene = Scene(first=1)
    scene.transport.answering = lambda _destination, _letter: unreachable()
    scene.sender.take([scene.unit()])
    await scene.settled(lambda: len(scene.rows.deferred) == 1)
    late, expired, told = scene.unit(age=5 * 3600), scene.unit(age=6 * 86400), scene.unit(age=5 * 3600, warned=True)
    scene.sender.take([late, expired, told])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert len(scene.transport.delivered) == 1
    assert scene.rows.finished == [expired]
    assert [(one.state, one.reply.enhanced) for one in scene.rows.finals] == [(FAILED, "4.4.7")]
    assert [one.unit for one in scene.teller.told if one.late] == [late]
    assert {one.unit.accepted_id: one.warned for one in scene.rows.deferred}[late.accepted_id] is True


async def test_an_answer_is_kept_however_long_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petitbleu_delivery.service.outbound.sending._AWAY_FIRST", 0.001)
    scene = Scene()
    scene.rows.away = 5
    unit = scene.unit()
    scene.sender.take([unit])
    assert scene.sender.holds(unit)
    await scene.settled(lambda: scene.rows.finished == [unit])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert [one.state for one in scene.rows.finals] == [SENT]
    assert scene.transport.delivered == ["else.test"]
    assert not scene.sender.holds(unit)


async def test_a_paused_destination_is_put_back_without_an_attempt_and_a_route_is_taken() -> None:
    scene = Scene()
    scene.sender.orders({"else.test": (True, ""), "moved.test": (False, "[10.0.0.1]:25")})
    scene.sender.take([scene.unit(), scene.unit("moved.test")])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == ["[10.0.0.1]:25"]
    assert [(one.attempts, one.reason) for one in scene.rows.deferred] == [(0, "paused")]


def test_rfc5321_4_5_4_1_attempts_are_farther_and_farther_apart() -> None:
    minutes = [pause_before(attempts) / 60 for attempts in range(1, 9)]
    assert minutes == [5, 10, 20, 40, 80, 160, 240, 240]
    spent, attempts = 0.0, 0
    while spent < 5 * 86400:
        attempts += 1
        spent += pause_before(attempts)
    assert 30 <= attempts <= 40


def test_rfc5321_6_3_a_message_that_goes_in_circles_is_known() -> None:
    hop = b"received: from a by b\r\n\tfor c; Sun, 22 Nov 2026 00:00:00 +0000\r\n"
    assert not goes_in_circles(hop * 100 + b"\r\n" + hop * 50)
    assert goes_in_circles(b"X: y\r\n" + hop * 101 + b"\r\n")
    assert goes_in_circles(hop * 101)


async def test_a_message_that_goes_in_circles_fails_without_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petitbleu_delivery.service.outbound.sending.goes_in_circles", lambda _body: True)
    scene = Scene()
    unit = scene.unit()
    scene.sender.take([unit])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == []
    assert [(one.state, one.reply.enhanced) for one in scene.rows.finals] == [(FAILED, "5.4.6")]
    assert scene.rows.finished == [unit]


class FakeQueueRows(FakeRows):
    """Enters recipients as the database does: one that was entered is never entered again."""

    def __init__(self) -> None:
        super().__init__()
        self.entered: set[tuple[UUID, int]] = set()

    async def enter(self, entries: Sequence[Entry], worker: int | None) -> list[Unit]:
        del worker
        fresh = [one for one in entries if (one.accepted_id, one.recipient_no) not in self.entered]
        self.entered |= {(one.accepted_id, one.recipient_no) for one in fresh}
        return [
            Unit(
                one.accepted_id, one.destination, one.recipient_no, (one.recipient_no,), one.account_id, one.tenant_id,
                one.origin, one.priority, one.size, time.time(), 0, False,
            )
            for one in fresh
        ]  # fmt: skip


async def test_nobody_is_queued_at_store_whom_no_row_knows_and_nobody_is_entered_twice() -> None:
    """Rows are committed before store is told: a death between the two leaves the recipient open, and entering again is a no-op."""
    scene = Scene()
    rows = FakeQueueRows()
    scene.sender._rows = cast("QueueRows", rows)
    entering = Entering(cast("QueueRows", rows), scene.sender, OpenWay(), scene.present)
    store, directory, clock = FakeStore(), FakeDirectory(), Clock()
    directory.routes["b@else.test"] = Route(Status.REMOTE)
    rounds = Rounds(
        store, Router(directory, RouteCache(10, 60, clock)), Gate(FakeGuard(), clock), Tally(), 10, entering=entering
    )
    accepted_id = store.accept("b@else.test")
    message = Message(
        accepted_id, "a@here.test", "a@here.test", True, origin=accept_pb2.ORIGIN_SUBMITTED, submitter_id=8
    )
    store.open[accepted_id, 0] = Recipient(message, 0, "b@else.test", 0)

    def away(settlement: Settlement) -> None:
        assert (UUID(bytes=settlement.recipient.message.accepted_id), settlement.recipient.number) in rows.entered
        raise PeerUnavailableError(Peer.STORE, "UNAVAILABLE")

    store.break_settle = away
    with pytest.raises(PeerUnavailableError):
        await rounds.deliver([accepted_id])
    assert (accepted_id, 0) in store.open
    store.break_settle = lambda _settlement: None
    await rounds.deliver([accepted_id])
    assert store.outcome(accepted_id).outcome is Outcome.QUEUED
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == ["else.test"]


async def test_dead_destinations_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petitbleu_delivery.service.outbound.sending._REMEMBERED", 5)
    scene = Scene(first_retry=0.001)
    scene.transport.answering = lambda _destination, _letter: unreachable()
    scene.sender.take([scene.unit(f"dead{number}.test") for number in range(20)])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert len(scene.sender._destinations) == 20
    await asyncio.sleep(0.01)
    scene.sender.orders({})
    assert scene.sender._destinations == {}


async def test_what_the_second_gate_keeps_back_by_now_does_not_leave() -> None:
    scene = Scene()
    scene.way.words["b@else.test"] = Word.WAITS
    waits = scene.unit()
    scene.sender.take([waits])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == []
    assert [(one.unit, one.attempts, one.reason, one.after) for one in scene.rows.deferred] == [
        (waits, 0, "waits-for-guard", 30.0)
    ]
    assert scene.way.asked == [(8, waits.accepted_id.bytes, ("b@else.test",))]
    # it warns and expires as what waits for another server does
    late, expired = scene.unit(age=5 * 3600), scene.unit(age=6 * 86400)
    scene.sender.take([late, expired])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert {one.unit.accepted_id: one.warned for one in scene.rows.deferred}[late.accepted_id] is True
    assert scene.rows.finished == [expired]
    assert [(one.state, one.reply.enhanced) for one in scene.rows.finals] == [(FAILED, "4.4.7")]
    scene.way.words.clear()
    scene.sender.take([waits])
    await scene.settled(lambda: scene.rows.finished == [expired, waits])
    assert scene.transport.delivered == ["else.test"]


async def test_what_a_disabled_account_sent_fails_and_does_not_leave() -> None:
    scene = Scene()
    scene.way.words["b@else.test"] = Word.STOPPED
    unit = scene.unit()
    scene.sender.take([unit])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == []
    assert scene.rows.finished == [unit]
    assert [(one.state, one.reply.enhanced) for one in scene.rows.finals] == [(FAILED, "5.7.1")]


async def test_one_recipient_that_is_kept_back_keeps_back_no_other() -> None:
    scene = Scene()
    carried: list[tuple[int, ...]] = []

    async def read(accepted_ids: Sequence[bytes], max_octets: int = 0) -> dict[bytes, AcceptedLetter]:
        found = await FakeStoreMail().read(accepted_ids, max_octets)
        for letter in found.values():
            letter.header.recipients.add(address="c@else.test")
        return found

    async def deliver(destination: str, letter: Letter) -> list[Answer]:
        del destination
        carried.append(tuple(one.number for one in letter.recipients))
        return [taken()._replace(number=one.number) for one in letter.recipients]

    scene.sender._reading._work = lambda ids: scene.sender._read(
        cast("AcceptedMail", type("Mail", (), {"read": staticmethod(read)})), ids
    )
    scene.transport.deliver = deliver  # type: ignore[method-assign]
    scene.way.words["b@else.test"] = Word.WAITS
    unit = scene.unit()
    unit.recipients = (0, 1)
    scene.sender.take([unit])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert carried == [(1,)]
    assert [(one.recipient_no, one.state) for one in scene.rows.finals] == [(1, SENT)]
    assert [one.recipients for one in scene.rows.deferred] == [(0,)]


async def test_a_delay_is_told_before_it_is_kept_that_it_was() -> None:
    scene = Scene(first_retry=0.001)
    scene.transport.answering = lambda _destination, _letter: Answer(
        0, Verdict.DEFERRED, Reply(451, "4.3.0", "busy", "mx")
    )
    order: list[str] = []
    keep, warn = scene.rows.keep, scene.teller.warn

    async def kept(
        finals: Sequence[FinalAnswer], finished: Sequence[Unit], deferred: Sequence[Deferral]
    ) -> frozenset[tuple[UUID, int]]:
        order.append("keep")
        return await keep(finals, finished, deferred)

    async def warned(told: Told) -> bool:
        order.append("warn")
        return await warn(told)

    scene.rows.keep, scene.teller.warn = kept, warned  # type: ignore[method-assign]
    scene.sender.take([scene.unit(age=5 * 3600)])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert order == ["warn", "keep"]
    assert [one.warned for one in scene.rows.deferred] == [True]
    # who cannot be told now is told at the next attempt
    scene.teller.away = True
    scene.sender.take([scene.unit(age=5 * 3600)])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert [one.warned for one in scene.rows.deferred] == [True, False]


async def test_only_what_was_kept_is_told() -> None:
    """Another process, or an operator, was faster: what it kept is told by whoever kept it."""
    scene = Scene()
    unit = scene.unit()
    scene.rows.known = frozenset({(unit.accepted_id, 0)})
    scene.sender.take([unit])
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert [one.finals for one in scene.teller.told] == [()]
