"""What one account may take of a process: turns among others', a pace, a share of the memory."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http import exchange
from petitbleu_gateway.http.exchange import OctetBudget
from petitbleu_gateway.http.long_connection import LONG_CONNECTION
from petitbleu_gateway.service.fairness import Pace, TooFastError, Turns

HOG, QUIET = 1, 2


class Work:
    """Requests that go on until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.running: list[tuple[int, asyncio.Event]] = []
        self.began: list[int] = []

    async def request(self, account_id: int) -> None:
        async with self.turns.turn(account_id):
            done = asyncio.Event()
            self.began.append(account_id)
            self.running.append((account_id, done))
            await done.wait()

    async def finish_one(self, account_id: int) -> None:
        found = next(one for one in self.running if one[0] == account_id)
        self.running.remove(found)
        found[1].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_account_waits_behind_its_own() -> None:
    work = Work(Turns(4, 2))
    tasks = [asyncio.create_task(work.request(HOG)) for _ in range(6)]
    await settle()
    assert work.began == [HOG, HOG]
    tasks.append(asyncio.create_task(work.request(QUIET)))
    await settle()
    assert work.began == [HOG, HOG, QUIET]  # at once, though four came before
    for account_id in (QUIET, *[HOG] * 6):
        await work.finish_one(account_id)
    await asyncio.gather(*tasks)


async def test_turns_go_round_the_accounts_that_wait() -> None:
    work = Work(Turns(1, 1))
    first = asyncio.create_task(work.request(9))
    await settle()
    tasks = [asyncio.create_task(work.request(HOG)) for _ in range(4)]
    await settle()
    tasks += [asyncio.create_task(work.request(account_id)) for account_id in (QUIET, 3)]
    await settle()
    for _ in range(7):
        await work.finish_one(work.began[-1])
    await asyncio.gather(first, *tasks)
    assert work.began == [9, HOG, QUIET, 3, HOG, HOG, HOG]


async def test_who_leaves_while_waiting_takes_no_turn() -> None:
    work = Work(Turns(1, 1))
    first = asyncio.create_task(work.request(HOG))
    await settle()
    waiting = [asyncio.create_task(work.request(QUIET)) for _ in range(2)]
    await settle()
    waiting[0].cancel()
    await settle()
    await work.finish_one(HOG)
    assert work.began == [HOG, QUIET]
    await work.finish_one(QUIET)
    await asyncio.gather(first, *waiting, return_exceptions=True)
    assert work.turns._free == 1
    assert not work.turns._waiting
    assert not work.turns._running


async def test_a_turn_given_to_who_just_left_is_given_on() -> None:
    turns = Turns(1, 1)
    holder = turns.turn(HOG)
    await holder.__aenter__()
    work = Work(turns)
    left = asyncio.create_task(work.request(QUIET))
    other = asyncio.create_task(work.request(3))
    await settle()
    await holder.__aexit__(None, None, None)  # the turn is QUIET's now, who has not heard of it
    left.cancel()
    await settle()
    assert work.began == [3]
    await work.finish_one(3)
    await asyncio.gather(left, other, return_exceptions=True)
    assert turns._free == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["come", "finish", "cancel"])), max_size=60))
def test_turns_are_never_lost_nor_given_twice(steps: list[tuple[int, str]]) -> None:
    async def play() -> None:
        work = Work(Turns(3, 2))
        tasks: list[tuple[int, asyncio.Task[None]]] = []
        for account_id, what in steps:
            if what == "come":
                tasks.append((account_id, asyncio.create_task(work.request(account_id))))
            elif what == "finish" and any(one[0] == account_id for one in work.running):
                await work.finish_one(account_id)
            elif what == "cancel":
                for found, task in tasks:
                    if found == account_id and not task.done():
                        task.cancel()
                        break
            await settle()
            work.running = [one for one in work.running if not one[1].is_set()]
        for _, task in tasks:
            task.cancel()
        await asyncio.gather(*[task for _, task in tasks], return_exceptions=True)
        assert work.turns._free == 3
        assert not work.turns._waiting
        assert not work.turns._running

    asyncio.run(play())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_polls_in_a_loop_is_slowed_then_refused_and_others_are_not() -> None:
    clock = Clock()
    pace = Pace(10, 20, 1, clock)
    assert [pace.take(HOG) for _ in range(20)] == [0] * 20
    waits = [pace.take(HOG) for _ in range(10)]
    assert waits == pytest.approx([number / 10 for number in range(1, 11)])
    with pytest.raises(TooFastError) as told:
        pace.take(HOG)
    assert told.value.seconds == pytest.approx(1.1)
    assert pace.take(QUIET) == 0
    clock.now += 2.0
    assert pace.take(HOG, 5) == 0


def test_a_request_of_more_calls_than_can_be_saved_is_not_refused_for_ever() -> None:
    clock = Clock()
    pace = Pace(10, 20, 1, clock)
    assert pace.take(HOG, 500) == 1
    with pytest.raises(TooFastError):
        pace.take(HOG)
    clock.now += 60
    assert pace.take(HOG) == 0


def test_what_a_request_turned_out_to_cost_is_paid_by_the_next() -> None:
    clock = Clock()
    pace = Pace(10, 20, 1, clock)
    pace.take(HOG)
    pace.charge(HOG, 25)
    assert pace.take(HOG) == pytest.approx(0.7)
    pace.charge(HOG, 10_000)  # bounded: nobody is shut out for longer than a burst takes
    clock.now += 4.1
    assert pace.take(HOG) == 0


def test_no_rate_is_no_limit() -> None:
    pace = Pace(0, 1, 0)
    assert [pace.take(HOG) for _ in range(1000)] == [0] * 1000


def test_paces_that_are_remembered_are_bounded() -> None:
    pace = Pace(10, 20, 1)
    for account_id in range(25_000):
        pace.take(account_id)
    assert len(pace._left) == 20_000


def test_one_account_cannot_hold_what_all_need() -> None:
    budget = OctetBudget(100, 60)
    hog, quiet = budget.of(HOG), budget.of(QUIET)
    hog.take(60)
    assert not hog.has_taken(1)
    with pytest.raises(Problem) as refused:
        hog.take(1)
    assert refused.value.status == 503
    quiet.take(40)
    assert not quiet.has_taken(1)
    hog.give_back(60)
    quiet.give_back(40)
    assert budget.held == 0
    assert not budget._of


class Connection:
    """What of a connection an answer may need."""

    def __init__(self) -> None:
        self.cuts: list[str] = []

    def cut(self, why: str) -> None:
        self.cuts.append(why)


async def test_a_large_answer_that_is_not_read_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_ANSWER_SECONDS", 0.05)
    connection, sent = Connection(), []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(len(message.get("body", b"")))
        if len(sent) == 3:
            await asyncio.Event().wait()  # the second piece is never read

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    scope = {
        "method": "GET", "path": "/", "query_string": b"", "headers": [], "scheme": "http", "client": ("192.0.2.1", 1),
        "extensions": {LONG_CONNECTION: connection},
    }  # fmt: skip
    with pytest.raises(exchange.Disconnected):
        await exchange.Exchange(scope, receive, send).answer(200, bytes(2 << 20))
    assert connection.cuts == ["slow reader"]
    assert sent == [0, 256 << 10, 256 << 10]
