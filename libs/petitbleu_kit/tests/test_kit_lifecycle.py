"""Background work ends with the body, even work that does not want to."""

import asyncio

from petitbleu_kit import lifecycle
from petitbleu_kit.lifecycle import background


async def test_work_is_cancelled_at_the_end() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with background(work()):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_work_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    async with background(work()):
        await asyncio.sleep(0)
    assert swallowed == 2


async def test_work_that_never_ends_does_not_hold_the_process() -> None:
    release = asyncio.Event()

    async def work() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(lifecycle._CANCELLATIONS * lifecycle._CANCEL_SECONDS + 5):
        async with background(work()):
            await asyncio.sleep(0)
    release.set()
    await asyncio.sleep(0)


async def test_an_error_of_background_work_does_not_hide_the_end() -> None:
    async def work() -> None:
        raise ValueError

    async with background(work()):
        await asyncio.sleep(0.01)
