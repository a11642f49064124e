"""The list of full accounts: read seldom, by one for all, and never with more than it may hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import full_accounts
from petitbleu_store.service.full_accounts import FullAccounts


class _World:
    """A clock, and a table whose scan takes `takes` seconds of it, or fails."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.takes = 0.01
        self.reads = 0
        self.rows: list[int] = [5, 7]
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        executor: Any = self
        self.full = FullAccounts(executor, lambda: self.now)

    async def fetch(self, statement: str, timeout: float) -> list[dict[str, int]]:
        assert statement.startswith("/* cold:store.full_accounts */ SELECT")
        assert timeout <= 10
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        self.now += self.takes
        if self.error is not None:
            raise self.error
        return [{"account_id": one} for one in self.rows]


async def test_the_answer_of_memory_says_how_old_it_is() -> None:
    world = _World()
    first = await world.full.listed()
    assert (first.account_ids, first.complete, world.reads) == ((5, 7), True, 1)
    assert first.age_seconds == pytest.approx(0.01), "as of when the read began"
    world.rows = [7]
    world.now += 14.9
    again = await world.full.listed()
    assert (again.account_ids, world.reads) == ((5, 7), 1)
    assert again.age_seconds == pytest.approx(14.91)
    world.now += 0.1
    assert (await world.full.listed()).account_ids == (7,)
    assert world.reads == 2


@pytest.mark.parametrize(("takes", "pause"), [(0.1, 15), (0.3, 30), (0.45, 45), (5, 45)])
async def test_reading_takes_a_hundredth_of_the_time(takes: float, pause: float) -> None:
    world = _World()
    world.takes = takes
    begun = world.now
    await world.full.listed()
    world.now = begun + pause - 0.01
    await world.full.listed()
    assert world.reads == 1
    world.now = begun + pause + 0.01
    await world.full.listed()
    assert world.reads == 2


async def test_one_reads_for_all_who_ask() -> None:
    world = _World()
    world.gate = asyncio.Event()
    asking = [asyncio.create_task(world.full.listed()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    world.gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert asking[0].cancelled()
    assert [one.account_ids for one in answers] == [(5, 7)] * 4
    assert world.reads == 1


async def test_more_than_it_may_hold_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_accounts, "MAX_LISTED", 2)
    world = _World()
    assert (await world.full.listed()).complete
    world.rows = [1, 2, 3]
    world.now += 15
    full = await world.full.listed()
    assert (full.account_ids, full.complete) == ((), False)


async def test_a_read_that_fails_is_told_and_not_repeated_at_once() -> None:
    world = _World()
    world.error = OSError()
    with pytest.raises(OSError):  # noqa: PT011 — as the database said
        await world.full.listed()
    with pytest.raises(StoreError) as refused:
        await world.full.listed()
    assert refused.value.problem is Problem.AWAY
    assert world.reads == 1
    world.error = None
    world.now += 15
    assert (await world.full.listed()).account_ids == (5, 7)


async def test_a_table_too_large_is_not_read_in_vain_again_and_again() -> None:
    world = _World()
    await world.full.listed()
    world.now += 15
    world.takes, world.error = 10, TimeoutError()
    begun = world.now
    with pytest.raises(TimeoutError):
        await world.full.listed()
    world.now = begun + 999
    old = await world.full.listed()
    assert (old.account_ids, world.reads) == ((5, 7), 2)
    assert old.age_seconds > 1000, "nobody takes it for new"
    world.now = begun + 1001
    with pytest.raises(TimeoutError):
        await world.full.listed()
    assert world.reads == 3
