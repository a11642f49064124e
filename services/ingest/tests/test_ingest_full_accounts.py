"""The list of full accounts: when it answers, when store is asked, and what a new one makes forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest
from services.ingest.tests import ingest_fakes as fakes

from petitbleu.events.v1 import events_pb2
from petitbleu_ingest import metrics
from petitbleu_ingest.consumers import directory_changed
from petitbleu_ingest.ports import FullList, Place
from petitbleu_ingest.service import full_accounts
from petitbleu_ingest.service.full_accounts import FullAccounts
from petitbleu_ingest.service.recipients import RecipientBook, Verdict

ALICE, BOB = ord("a"), ord("b")


class World:
    """A book, its list and a clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = fakes.FakeStore()
        self.directory = fakes.FakeDirectory()
        self.full = FullAccounts(self.store, self.clock)
        self.book = RecipientBook(
            self.directory, self.full, seconds=60, refusal_seconds=10, entries=100, clock=self.clock
        )

    def clock(self) -> float:
        return self.now

    async def list(self, *account_ids: int, age: float = 0, complete: bool = True) -> None:
        """Let ingest take a list that store read `age` seconds ago."""
        self.store.listed = FullList(frozenset(account_ids), age, complete)
        await self.book.refresh_full()

    async def rcpt(self, address: str) -> Verdict:
        """Answer a RCPT: from memory, or looked up."""
        known = self.book.known(address)
        return (known or await self.book.look_up(address)).verdict

    async def asked(self, *account_ids: int) -> Collection[int]:
        """Which of the accounts store is asked about."""
        before = len(self.store.asked)
        await self.full.over_quota(account_ids)
        return frozenset().union(*self.store.asked[before:])


async def test_without_a_list_store_is_asked() -> None:
    world = World()
    assert await world.asked(1, 2) == {1, 2}
    await world.book.refresh_full()
    assert await world.asked(1, 2) == {1, 2}, "store is away"


async def test_who_is_not_on_the_list_has_room_without_a_call() -> None:
    world = World()
    await world.list(1)
    by_list, live = metrics.quota_by_list._value.get(), metrics.quota_asked._value.get()
    assert await world.asked(2, 3) == frozenset()
    assert world.store.asked == []
    assert await world.asked(1, 2, 3) == {1}
    assert metrics.quota_by_list._value.get() - by_list == 4
    assert metrics.quota_asked._value.get() - live == 1


async def test_who_is_on_the_list_is_full_only_if_store_says_so_now() -> None:
    world = World()
    world.store.full = frozenset({1})
    await world.list(1, 2)
    assert await world.full.over_quota([1, 2, 3]) == {1}


async def test_more_than_fit_in_one_question_are_asked_in_several() -> None:
    world = World()
    world.store.full = frozenset(range(1500, 2500))
    assert await world.full.over_quota(range(2500)) == world.store.full
    assert [len(one) for one in world.store.asked] == [1000, 1000, 500]


async def test_a_list_is_of_use_for_a_minute_from_when_store_read_it() -> None:
    world = World()
    await world.list(1, age=45)
    world.now += 15
    assert await world.asked(2) == frozenset()
    world.now += 0.1
    assert await world.asked(2) == {2}
    world.now -= 0.1
    await world.list(1, age=61)
    assert await world.asked(2) == frozenset(), "the older list of another process does not replace it"
    await world.list(1, age=10)
    world.now += 49
    assert await world.asked(2) == frozenset()


async def test_the_time_that_the_question_took_counts_as_age() -> None:
    world = World()
    world.store.list_gate = asyncio.Event()
    taking = asyncio.create_task(world.list(1, age=30))
    await asyncio.sleep(0)
    world.now += 8
    world.store.list_gate.set()
    await taking
    world.now += 22
    assert await world.asked(2) == frozenset()
    world.now += 1
    assert await world.asked(2) == {2}


@pytest.mark.parametrize("what", ["incomplete", "too many"])
async def test_a_list_without_all_accounts_says_nothing(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    await world.list(1)
    world.now += 10
    if what == "incomplete":
        await world.list(complete=False)
    else:
        monkeypatch.setattr(full_accounts, "_MAX_LISTED", 2)
        await world.list(1, 2, 3)
    assert await world.asked(1, 2, 9) == {1, 2, 9}
    world.now += 10
    await world.list(1)
    assert await world.asked(1, 2) == {1}


async def test_what_an_event_names_is_asked_for_until_a_later_list() -> None:
    world = World()
    await world.list(1)
    world.now += 5
    directory_changed(world.book, events_pb2.DirectoryChanged(account_ids=[2]).SerializeToString())
    assert await world.asked(1, 2, 3) == {1, 2}
    world.now += 10
    await world.list(1, age=9.5)
    assert await world.asked(1, 2, 3) == {1, 2}, "it was read as the event came"
    world.book.forget([4], [])
    world.now += 5
    await world.list(1, age=8.9)
    assert await world.asked(1, 2, 3, 4) == {1, 4}
    world.now += 10
    await world.list(1, age=2)
    assert await world.asked(1, 2, 3, 4) == {1}
    assert world.full.doubted == 0


async def test_the_last_event_of_an_account_counts() -> None:
    world = World()
    world.book.forget([2], [])
    world.now += 1
    world.book.forget([3], [])
    world.now += 10
    world.book.forget([2], [])
    await world.list(age=5)
    assert await world.asked(2, 3) == {2}


async def test_an_event_while_the_list_is_on_its_way_stands() -> None:
    world = World()
    world.store.list_gate = asyncio.Event()
    taking = asyncio.create_task(world.list(1))
    await asyncio.sleep(0)
    world.now += 3
    world.book.forget([2], [])
    world.store.list_gate.set()
    await taking
    assert await world.asked(2, 3) == {2}


async def test_a_quota_lowered_since_the_list_is_refused_at_once() -> None:
    world = World()
    await world.list()
    assert await world.rcpt("alice@demo.test") is Verdict.WELCOME
    world.store.full = frozenset({ALICE})
    directory_changed(world.book, events_pb2.DirectoryChanged(account_ids=[ALICE]).SerializeToString())
    assert await world.rcpt("alice@demo.test") is Verdict.OVER_QUOTA


async def test_events_that_may_have_been_missed_make_the_list_useless() -> None:
    world = World()
    await world.list(1)
    assert await world.asked(2) == frozenset()
    world.now += 5
    world.book.forget_all()
    assert await world.rcpt("bob@demo.test") is Verdict.WELCOME
    assert world.store.asked == [{BOB}]
    world.now += 10
    await world.list(1, age=9)
    assert await world.asked(2) == {2}, "read as the bus came back"
    assert world.book.known("bob@demo.test") is not None, "that answer hangs on no list"
    await world.list(1, age=8.5)
    assert await world.asked(1, 2) == {1}


async def test_a_flood_of_events_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_accounts, "_MAX_DOUBTED", 10)
    world = World()
    await world.list(1)
    for account in range(100, 110):
        world.book.forget([account, 100], [])
    assert world.full.doubted == 10
    assert await world.asked(2) == frozenset()
    world.book.forget([110], [])
    assert world.full.doubted == 0
    assert await world.asked(2, 105) == {2, 105}
    world.now += 10
    await world.list(1)
    assert await world.asked(2, 105) == frozenset()


async def test_who_became_full_is_refused_from_the_list_on_that_names_it() -> None:
    world = World()
    await world.list(1)
    assert await world.rcpt("alice@demo.test") is Verdict.WELCOME
    assert await world.rcpt("bob@demo.test") is Verdict.WELCOME
    world.store.full = frozenset({ALICE})
    world.now += 10
    await world.list(1, ALICE)
    assert world.book.known("bob@demo.test") is not None
    assert await world.rcpt("alice@demo.test") is Verdict.OVER_QUOTA
    refused = world.book.known("alice@demo.test")
    world.now += 5
    await world.list(1, ALICE)
    assert world.book.known("alice@demo.test") is refused is not None, "what was named before is not forgotten again"
    world.store.full = frozenset()
    world.now += 6
    assert await world.rcpt("alice@demo.test") is Verdict.WELCOME, "room that was made is seen though the list is older"


async def test_after_a_time_without_a_list_all_that_it_names_are_new() -> None:
    world = World()
    await world.list(ALICE)
    world.book.forget_all()
    assert await world.rcpt("alice@demo.test") is Verdict.WELCOME
    world.now += 10
    await world.list(ALICE)
    assert world.book.known("alice@demo.test") is None


async def test_a_look_up_on_its_way_when_its_account_is_named_is_not_remembered() -> None:
    world = World()
    await world.list(BOB)
    world.directory.gate = asyncio.Event()
    again = world.book.look_up("alice@demo.test")
    await asyncio.sleep(0.01)
    world.now += 10
    await world.list(BOB)
    world.directory.gate.set()
    await again
    assert world.book.known("alice@demo.test") is not None, "a list with nothing new in it disturbs nothing"

    world.directory.gate = None
    store = world.store
    held = asyncio.Event()

    async def slowly(account_ids: Collection[int]) -> frozenset[int]:
        await held.wait()
        return store.full & frozenset(account_ids)

    store.over_quota = slowly  # type: ignore[method-assign]
    # bob is asked for, and meanwhile the list that said that carol has room is replaced
    asking = asyncio.gather(world.book.look_up("bob@demo.test"), world.book.look_up("carol@demo.test"))
    await asyncio.sleep(0.01)
    world.now += 10
    await world.list(BOB, ord("c"))
    held.set()
    await asking
    assert world.book.known("carol@demo.test") is None


@pytest.mark.parametrize("how", ["store does not answer", "incomplete"])
async def test_answers_of_a_list_that_nobody_goes_on_with_are_forgotten(how: str) -> None:
    world = World()
    await world.list()
    world.now += 30
    assert await world.rcpt("alice@demo.test") is Verdict.WELCOME
    world.store.listed = None
    await world.book.refresh_full()
    assert world.book.known("alice@demo.test") is not None, "the list is still of use"
    world.store.full = frozenset({ALICE})
    world.now += 29
    if how == "incomplete":
        world.store.listed = FullList(frozenset(), 0, complete=False)
    else:
        world.now += 2
    failures = metrics.full_list_failures._value.get()
    await world.book.refresh_full()
    assert metrics.full_list_failures._value.get() - failures == (how != "incomplete")
    assert await world.rcpt("alice@demo.test") is Verdict.OVER_QUOTA
    await world.book.refresh_full()
    assert world.book.known("alice@demo.test") is not None, "once is enough"


async def test_a_group_with_a_member_that_has_room_takes_mail() -> None:
    world = World()
    world.store.full = frozenset({1})
    await world.list(1)

    async def resolve(addresses: Collection[str]) -> list[Place]:
        return [Place(1, (1, 2), 7, 3) for _ in addresses]

    world.directory.resolve = resolve  # type: ignore[method-assign]
    assert await world.rcpt("team@demo.test") is Verdict.WELCOME
    world.store.full = frozenset({1, 2})
    world.now += 10
    await world.list(1, 2)
    assert await world.rcpt("team@demo.test") is Verdict.OVER_QUOTA
