"""One account with many searches keeps no other waiting."""

from __future__ import annotations

import asyncio

import pytest

from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.turns import Turns


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_another_account_has_its_turn_while_one_has_many_waiting() -> None:
    turns, began, end = Turns(2, 100), list[int](), asyncio.Event()

    async def search(account_id: int) -> None:
        async with turns.turn(account_id):
            began.append(account_id)
            await end.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(search(1))
        await _settled()
        group.create_task(search(2))
        await _settled()
        assert began == [1, 2]
        group.create_task(search(3))
        await _settled()
        assert began == [1, 2], "no more than are let in at once"
        end.set()
    assert began[2] == 3, "one account is not before others with its second"
    assert began.count(1) == 20


async def test_too_many_of_one_account_are_turned_away_and_none_is_remembered() -> None:
    turns, end = Turns(3, 4), asyncio.Event()

    async def search(account_id: int) -> None:
        async with turns.turn(account_id):
            await end.wait()

    waiting = [asyncio.ensure_future(search(1)) for _ in range(4)]
    await _settled()
    with pytest.raises(StoreError) as refused:
        await search(1)
    assert refused.value.problem is Problem.BUSY
    waiting[3].cancel()
    await _settled()
    waiting[3] = asyncio.ensure_future(search(1))
    end.set()
    await asyncio.gather(*waiting)
    assert not turns._lines
