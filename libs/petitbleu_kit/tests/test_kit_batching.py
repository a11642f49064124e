"""A batcher gives each caller its own result, keeps its bounds, and lets a lone item go at once."""

import asyncio

import pytest

from petitbleu_kit.batching import Batcher, QueueFullError


async def test_items_that_wait_together_go_together() -> None:
    batches: list[list[int]] = []

    async def work(items: list[int]) -> list[int | BaseException]:
        batches.append(items)
        await asyncio.sleep(0.01)
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher(work, max_items=8)
    results = await asyncio.gather(*(batcher.submit(number) for number in range(20)))
    assert results == [number * 2 for number in range(20)]
    assert [len(batch) for batch in batches] == [8, 8, 4]


async def test_one_bad_item_does_not_fail_its_neighbours() -> None:
    async def work(items: list[int]) -> list[int | BaseException]:
        return [ValueError("bad") if item == 1 else item for item in items]

    batcher: Batcher[int, int] = Batcher(work)
    first, second, third = (batcher.submit(number) for number in range(3))
    assert (await first, await third) == (0, 2)
    with pytest.raises(ValueError, match="bad"):
        await second


async def test_a_failed_batch_fails_each_caller_and_the_next_batch_works() -> None:
    calls = 0

    async def work(items: list[int]) -> list[int | BaseException]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError
        return list(items)

    batcher: Batcher[int, int] = Batcher(work)
    failed = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(result) for result in failed] == [ConnectionError, ConnectionError]
    assert await batcher.submit(3) == 3


async def test_octets_bound_a_batch_but_a_large_item_goes_alone() -> None:
    sizes: list[int] = []

    async def work(items: list[int]) -> list[int | BaseException]:
        sizes.append(sum(items))
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, max_octets=100, size=lambda item: item)
    await asyncio.gather(*(batcher.submit(size) for size in (60, 30, 50, 500, 10)))
    assert sizes == [90, 50, 500, 10]


async def test_a_full_queue_refuses() -> None:
    release = asyncio.Event()

    async def work(items: list[int]) -> list[int | BaseException]:
        await release.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, max_items=1, max_queued=2)
    waiting = [batcher.submit(0)]
    await asyncio.sleep(0.01)
    waiting += [batcher.submit(1), batcher.submit(2)]
    with pytest.raises(QueueFullError):
        batcher.submit(3)
    release.set()
    assert await asyncio.gather(*waiting) == [0, 1, 2]


async def test_close_waits_for_what_is_queued() -> None:
    done: list[int] = []

    async def work(items: list[int]) -> list[int | BaseException]:
        await asyncio.sleep(0.01)
        done.extend(items)
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, max_items=1)
    for number in range(3):
        batcher.submit(number)
    await batcher.close()
    assert done == [0, 1, 2]


async def test_a_batch_waits_for_the_company_that_the_last_one_had() -> None:
    sizes: list[int] = []

    async def work(items: list[int]) -> list[int | BaseException]:
        sizes.append(len(items))
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, linger=0.2)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await batcher.submit(0)
    await batcher.submit(1)
    assert loop.time() - begun < 0.1, "lone items among lone items do not wait"
    await asyncio.gather(*(batcher.submit(number) for number in range(4)))
    slow = [batcher.submit(number) for number in range(2)]
    await asyncio.sleep(0.02)
    assert not slow[0].done()
    slow += [batcher.submit(number) for number in range(2)]
    begun = loop.time()
    await asyncio.gather(*slow)
    assert loop.time() - begun < 0.1, "as many as last time are enough"
    begun = loop.time()
    await batcher.submit(9)
    assert 0.1 < loop.time() - begun < 0.4, "patience ends"
    assert sizes == [1, 1, 4, 4, 1]


async def test_a_batch_after_a_lull_waits_for_nobody() -> None:
    async def work(items: list[int]) -> list[int | BaseException]:
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, linger=0.02)
    await asyncio.gather(*(batcher.submit(number) for number in range(4)))
    await asyncio.sleep(0.25)
    begun = asyncio.get_running_loop().time()
    await batcher.submit(0)
    assert asyncio.get_running_loop().time() - begun < 0.015


async def test_an_item_submitted_straight_from_a_result_is_not_stranded() -> None:
    async def work(items: list[int]) -> list[int | BaseException]:
        return list(items)

    batcher: Batcher[int, int] = Batcher(work)
    async with asyncio.timeout(2):
        for number in range(20):
            assert await batcher.submit(number) == number
