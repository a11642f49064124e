"""Submissions: what may become of one, whoever comes first, and whoever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu.delivery.v1 import submission_pb2
from petitbleu_delivery import ports
from petitbleu_delivery.adapters.outgoing import trace_lines
from petitbleu_delivery.domain.outbound import Reply, Verdict
from petitbleu_delivery.domain.submissions import (
    EXPIRED,
    GIVE_UP_MS,
    GONE,
    MAX_HOLD_MS,
    MAX_LIVE,
    STOPPED,
    Delivered,
    Heard,
    Ledger,
    News,
    Rates,
    Refusal,
    State,
    Status,
    Step,
    Submission,
    Wanted,
    changes,
)
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.service.permits import SuspendedError
from petitbleu_delivery.service.submissions import handover
from petitbleu_delivery.service.submissions.handover import HandOver
from petitbleu_delivery.service.submissions.news import Reported
from petitbleu_delivery.service.submissions.ports import Handed, Place
from petitbleu_delivery.service.submissions.submissions import Fault, Submissions, SubmissionsError, Update
from petitbleu_kit.identity import Principal

Result = TypeVar("Result")
NOW = 1_800_000_000_000
LEASE = 60_000
WHO = Principal(7, 3, ("person",), 0)


def wanted(number: int = 1, *, recipients: int = 1, held_ms: int = 0) -> Wanted:
    return Wanted(number.to_bytes(16, "big"), 3, 1, 2, 3, b"envelope", recipients, NOW + held_ms if held_ms else 0)


def status(work: Callable[[], object]) -> Status:
    with pytest.raises(Refusal) as refused:
        work()
    return refused.value.status


class Table:
    """One account's ledger; each work is alone, and yields before it begins so that others may come first."""

    def __init__(self) -> None:
        self.ledger = Ledger(7)
        self.lock = asyncio.Lock()

    async def all(self, account_id: int) -> tuple[list[Submission], int]:
        return [one for one in self.ledger.rows.values() if not one.gone], self.ledger.modseq

    async def get(self, account_id: int, numbers: Collection[int]) -> tuple[list[Submission], int]:
        return [one for one in self.ledger.rows.values() if one.number in numbers], self.ledger.modseq

    async def steps(self, account_id: int, since: int) -> tuple[list[Step], int, int]:
        return [], self.ledger.modseq, 0

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        return {}

    async def work(
        self, account_id: int, numbers: Collection[int], work: Callable[[Ledger], Awaitable[Result]],
        *, new: Collection[bytes] = (),
    ) -> Result:  # fmt: skip
        await asyncio.sleep(0)
        async with self.lock:
            return await work(self.ledger)

    async def due(self, at_ms: int, most: int) -> list[Place]:
        return [Place(7, one.number) for one in self.ledger.rows.values() if not one.over and one.next_try_ms <= at_ms]

    async def concerned(self, mail: Sequence[tuple[int, bytes]]) -> set[int]:
        return {account_id for account_id, _ in mail}

    async def hear(self, account_id: int, heard: Sequence[Heard]) -> None:
        self.ledger.report(heard)

    async def prune(self, keep_ms: int) -> None:
        """Nothing grows old here."""


class Store:
    """Accepts a submission once; `away` calls fail, `lost` ones are done and not answered."""

    def __init__(self) -> None:
        self.accepted: dict[bytes, bytes] = {}
        self.away = 0
        self.lost = 0
        self.gone = False
        self.scores: list[int] = []

    async def submit(self, account_id: int, submission: Submission, spam_score: int) -> Handed:
        await asyncio.sleep(0)
        self.scores.append(spam_score)
        if self.gone:
            return Handed(None, GONE)
        if self.away:
            self.away -= 1
            raise PeerUnavailableError(Peer.STORE, "UNAVAILABLE")
        accepted = self.accepted.setdefault(submission.submission_id, b"a" + submission.submission_id[1:])
        if self.lost:
            self.lost -= 1
            raise PeerUnavailableError(Peer.STORE, "DEADLINE_EXCEEDED")
        return Handed(accepted)


class Permits:
    def __init__(self, wait: int = 0) -> None:
        self.wait = wait
        self.suspended = False

    async def permit(self, account_id: int, tenant_id: int, recipients: int, key: bytes = b"") -> int:
        if self.suspended:
            raise SuspendedError
        return self.wait


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, wait: int = 0) -> None:
        self.now = NOW
        for module in (handover, __import__("petitbleu_delivery.service.submissions.submissions", fromlist=["x"])):
            monkeypatch.setattr(module, "now_ms", lambda: self.now)
        self.table, self.store = Table(), Store()
        self.stopped = self.unknown = False
        self.handover = HandOver(self.table, self.store, self.is_stopped)
        self.permits = Permits(wait)
        self.submissions = Submissions(self.table, self.handover, self.permits)

    async def is_stopped(self, account_id: int) -> bool:
        assert account_id == 7
        if self.unknown:
            raise PeerUnavailableError(Peer.ACCOUNTS, "UNAVAILABLE")
        return self.stopped

    async def submit(self, one: Wanted) -> Submission:
        done = await self.submissions.update(WHO, 7, [Update(one)], None)
        assert done.results[0].submission is not None
        return done.results[0].submission

    @property
    def only(self) -> Submission:
        (one,) = self.table.ledger.rows.values()
        return one


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_what_is_due_is_with_store_before_the_answer(world: World) -> None:
    made = await world.submit(wanted())
    assert made.state is State.DONE
    assert made.accepted_id is not None
    assert len(world.store.accepted) == 1
    assert await world.handover.sweep() == 0


async def test_what_is_held_waits_for_its_time(world: World) -> None:
    made = await world.submit(wanted(held_ms=5000))
    assert (made.state, made.send_at_ms) == (State.PENDING, NOW + 5000)
    assert await world.handover.sweep() == 0
    assert not world.store.accepted
    world.now += 5000
    before = world.table.ledger.modseq
    assert await world.handover.sweep() == 1
    assert world.only.state is State.DONE
    assert world.table.ledger.modseq == before + 1  # undoStatus changed, once
    assert await world.handover.sweep() == 0


async def test_a_repeat_of_a_call_makes_no_second_submission(world: World) -> None:
    first = await world.submit(wanted())
    again = await world.submissions.update(WHO, 7, [Update(wanted())], if_modseq=0)
    assert again.results[0].submission is not None
    assert again.results[0].submission.number == first.number
    assert len(world.table.ledger.rows) == 1
    assert len(world.store.accepted) == 1


async def test_a_hand_over_that_was_not_recorded_is_taken_again(world: World) -> None:
    world.store.lost = 1
    assert (await world.submit(wanted())).state is State.SENDING
    assert await world.handover.sweep() == 0  # its pause is not over
    world.now += 10_000
    assert await world.handover.sweep() == 1
    assert world.only.state is State.DONE
    assert list(world.store.accepted.values()) == [world.only.accepted_id]


async def test_who_dies_in_between_leaves_a_lease(world: World) -> None:
    await world.submit(wanted(held_ms=1000))
    world.now += 1000
    world.table.ledger.begin(1, world.now, LEASE)  # and then nothing more
    assert await world.handover.sweep() == 0
    world.now += LEASE
    assert await world.handover.sweep() == 1
    assert world.only.state is State.DONE


async def test_days_without_store_end_in_failure(world: World) -> None:
    world.store.away = 1 << 30
    await world.submit(wanted(recipients=2))
    world.now += GIVE_UP_MS + 1
    await world.handover.sweep()
    assert world.only.state is State.FAILED
    assert world.only.news == {0: EXPIRED, 1: EXPIRED}


async def test_a_message_that_is_gone_fails(world: World) -> None:
    world.store.gone = True
    made = await world.submit(wanted())
    assert (made.state, made.status_of(0)) == (State.FAILED, GONE)


async def test_what_a_disabled_account_held_is_not_handed_over(world: World) -> None:
    await world.submit(wanted(recipients=2, held_ms=1000))
    world.stopped = True
    world.now += 1000
    assert await world.handover.sweep() == 1
    assert not world.store.accepted
    assert world.only.state is State.FAILED
    assert world.only.news == {0: STOPPED, 1: STOPPED}


async def test_without_a_word_of_accounts_nothing_is_handed_over(world: World) -> None:
    world.unknown = True
    assert (await world.submit(wanted())).state is State.SENDING
    assert not world.store.accepted
    world.unknown = False
    world.now += 10_000
    assert await world.handover.sweep() == 1
    assert world.only.state is State.DONE


async def test_what_store_may_have_already_is_not_said_to_have_failed(world: World) -> None:
    world.store.lost = 1
    await world.submit(wanted())
    world.stopped = True
    world.now += 10_000
    await world.handover.sweep()
    assert world.only.state is State.DONE


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_canceled_or_sent_never_both(chooser: object) -> None:
    """However the two come together: canceled and nothing goes out, or cannotUnsend and it goes out once."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(_race(World(monkeypatch), chooser))


async def _race(world: World, chooser: object) -> None:
    await world.submit(wanted(held_ms=1000))
    world.now += 1000

    async def cancel() -> Status:
        for _ in range(chooser.randrange(6)):  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        done = await world.submissions.update(WHO, 7, [Update(None, 1, cancel=True)], None)
        return done.results[0].status

    async def sweep() -> None:
        for _ in range(chooser.randrange(6)):  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        await world.handover.sweep()

    told, *_ = await asyncio.gather(cancel(), sweep(), sweep())
    await world.handover.sweep()
    if told is Status.OK:
        assert world.only.state is State.CANCELED
        assert not world.store.accepted
    else:
        assert told is Status.CANNOT_UNSEND
        assert world.only.state is State.DONE
        assert len(world.store.accepted) == 1


async def test_over_the_limit_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, wait=60)
    done = await world.submissions.update(WHO, 7, [Update(wanted())], None)
    assert (done.results[0].status, done.results[0].retry_after_seconds) == (Status.OVER_LIMIT, 60)
    assert not world.table.ledger.rows


async def test_of_somebody_who_is_suspended_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.permits.suspended = True
    done = await world.submissions.update(WHO, 7, [Update(wanted())], None)
    assert done.results[0].status is Status.SUSPENDED
    assert not world.table.ledger.rows


async def test_submissions_are_their_owners_alone(world: World) -> None:
    other = Principal(8, 3, ("person",), 0)
    for work in (
        world.submissions.all(other, 7), world.submissions.get(other, 7, None), world.submissions.changes(other, 7, 0, 0),
        world.submissions.update(other, 7, [], None),
    ):  # fmt: skip
        with pytest.raises(SubmissionsError) as refused:
            await work
        assert refused.value.fault is Fault.FORBIDDEN


def test_what_cannot_be_a_submission_is_refused() -> None:
    ledger = Ledger(7)
    assert status(lambda: ledger.create(wanted(recipients=0), NOW, LEASE)) is Status.INVALID
    assert status(lambda: ledger.create(wanted(recipients=1001), NOW, LEASE)) is Status.INVALID
    assert status(lambda: ledger.create(wanted(held_ms=MAX_HOLD_MS + 1), NOW, LEASE)) is Status.INVALID
    assert status(lambda: ledger.create(wanted()._replace(submission_id=b"x"), NOW, LEASE)) is Status.INVALID
    assert status(lambda: ledger.cancel(1, NOW)) is Status.NOT_FOUND
    assert not ledger.rows


def test_the_oldest_that_is_over_makes_room() -> None:
    ledger = Ledger(7, live=MAX_LIVE)
    over = ledger.rows[1] = Submission(1, b"1", 3, 1, 2, 3, State.DONE, 1, 1, NOW, NOW, 1, b"x")
    ledger.last_number = 1
    ledger.create(wanted(2), NOW, LEASE)
    assert over.gone
    assert ledger.live == MAX_LIVE
    assert status(lambda: ledger.create(wanted(3, held_ms=1), NOW, LEASE)) is Status.TOO_MANY


def test_an_account_submits_to_so_many_in_an_hour_and_in_a_day() -> None:
    ledger, rates = Ledger(7), Rates(10, 15)
    ledger.create(wanted(1, recipients=10), NOW, LEASE, rates)
    with pytest.raises(Refusal) as refused:
        ledger.create(wanted(2), NOW + 1000, LEASE, rates)
    assert (refused.value.status, refused.value.retry_after_seconds) == (Status.OVER_LIMIT, 3599)
    assert ledger.create(wanted(1), NOW, LEASE, rates).number == 1  # a repeat costs nothing
    later = NOW + 3_600_000
    ledger.create(wanted(3, recipients=5), later, LEASE, rates)
    with pytest.raises(Refusal) as refused:
        ledger.create(wanted(4), later, LEASE, rates)
    assert refused.value.retry_after_seconds == 82_800
    ledger.create(wanted(5), NOW + 86_400_000, LEASE, rates)
    assert len(ledger.rows) == 3


def test_destroying_changes_nothing_of_the_mail() -> None:
    ledger = Ledger(7)
    one = ledger.create(wanted(held_ms=1000), NOW, LEASE)
    ledger.destroy(one.number)
    assert one.envelope  # it is needed still
    assert status(lambda: ledger.cancel(one.number, NOW)) is Status.NOT_FOUND
    assert ledger.begin(one.number, NOW + 1000, LEASE) is one
    assert ledger.done(one.number, b"a" * 16, NOW) is one
    assert not one.envelope
    assert one.number in ledger.forgotten


def test_news_may_come_before_the_hand_over_is_recorded() -> None:
    ledger = Ledger(7)
    one = ledger.create(wanted(recipients=2), NOW, LEASE)
    heard = [Heard(b"a" * 16, 0, News(Delivered.YES, "250 2.1.5 Delivered"))]
    ledger.report(heard)
    assert ledger.early == heard
    ledger.done(one.number, b"a" * 16, NOW)
    before = ledger.modseq
    ledger.report(heard)
    ledger.report(heard)
    assert ledger.modseq == before + 1  # told twice, it is the same as once
    assert (one.status_of(0).delivered, one.status_of(1).delivered) == (Delivered.YES, Delivered.QUEUED)
    other = Ledger(8)
    other.report(heard)
    assert not other.early


def test_old_news_does_not_undo_what_is_known() -> None:
    ledger = Ledger(7)
    one = ledger.create(wanted(), NOW, LEASE)
    ledger.hear(one.number, [(0, News(Delivered.NO, "550 5.1.1 no")), (0, News(Delivered.QUEUED, "451 4.0.0 later"))])
    ledger.hear(one.number, [(5, News(Delivered.YES, "250"))])
    assert one.news == {0: News(Delivered.NO, "550 5.1.1 no")}


def test_rfc8621_7_what_another_server_took_is_unknown() -> None:
    table = Table()
    one = table.ledger.create(wanted(recipients=5), NOW, LEASE)
    table.ledger.done(one.number, b"a" * 16, NOW)
    replies: list[tuple[Verdict, Reply | None]] = [
        (Verdict.SENT, None), (Verdict.SENT, Reply(250, "2.0.0", "Ok:\r\n queued", "mx")), (Verdict.REFUSED, Reply(550, "5.1.1", "who?")),
        (Verdict.DEFERRED, Reply(0, "4.4.1", "nobody answers")), (Verdict.REFUSED, None),
    ]  # fmt: skip
    news = [ports.News(b"a" * 16, 7, number, verdict, reply) for number, (verdict, reply) in enumerate(replies)]
    asyncio.run(Reported(table).record(news))
    assert one.news == {
        0: News(Delivered.YES, "250 2.1.5 Delivered"), 1: News(Delivered.UNKNOWN, "250 2.0.0 Ok: queued"),
        2: News(Delivered.NO, "550 5.1.1 who?"), 3: News(Delivered.QUEUED, "451 4.4.1 nobody answers"),
        4: News(Delivered.NO, "550 5.0.0 Not delivered"),
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40), st.booleans()), max_size=20), st.integers(0, 40))
def test_rfc8620_5_2_windows_of_changes_tell_all(raw: list[tuple[int, int, bool]], since: int) -> None:
    steps = [Step(number, created, created + more, gone) for number, (created, more, gone) in enumerate(raw, 1)]
    now = max((one.modseq for one in steps), default=since)
    whole = changes(steps, since, max(now, since), 0)
    seen: list[int] = []
    state = since
    for _ in range(100):
        window = changes(steps, state, max(now, since), 1)
        seen += [*window.created, *window.updated, *window.destroyed]
        if not window.more or window.upto == state:
            break
        state = window.upto
    if len({one.modseq for one in steps} | {one.created_modseq for one in steps}) == 2 * len(steps):
        assert {*whole.created, *whole.updated, *whole.destroyed} <= set(seen)


def test_the_trace_follows_from_the_submission_alone() -> None:
    one = Submission(1, bytes(16), 3, 1, 2, 3, State.SENDING, 1, 1, NOW, NOW, 1, b"")
    plain = trace_lines(submission_pb2.SubmissionEnvelope(), one, "mail.example")
    assert plain == trace_lines(submission_pb2.SubmissionEnvelope(), one, "mail.example")
    assert plain.startswith(b"Received: by mail.example (Petit Bleu) with HTTP id 0000")
    assert plain.endswith(b"\r\n")
    lacking = submission_pb2.SubmissionEnvelope(lacks_date=True, lacks_message_id=True)
    added = trace_lines(lacking, one, "mail.example").removeprefix(plain).decode()
    assert added == f"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <{'0' * 32}@mail.example>\r\n"


async def test_news_that_cannot_be_written_down_now_are_said_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_account_id: int, _heard: Sequence[Heard]) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(world.table, "hear", away)
    with pytest.raises(PeerUnavailableError):
        await Reported(world.table).record([ports.News(b"a" * 16, 7, 0, Verdict.SENT, None)])
