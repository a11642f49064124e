"""Work that is done together when it comes together: whoever waits alone waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathering(Generic[Item, Result]):
    """Hands items to `work` in lists: what is there when a list ends makes the next one.

    Args:
        work: Takes a list and returns a result for each item; an error is that of all of them.
        most: Longest list.
        lists: Lists at once.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int, lists: int = 1
    ) -> None:
        self._work = work
        self._most = most
        self._free = lists
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._planned = False

    async def do(self, item: Item) -> Result:
        """Have an item done; returns its result.

        Raises:
            Exception: what `work` raised for the list that it was in.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self._planned and self._free:
            # after whatever else is ready in this turn of the loop: it may bring more
            self._planned = True
            asyncio.get_running_loop().call_soon(self._start)
        return await future

    def _start(self) -> None:
        self._planned = False
        while self._waiting and self._free:
            part, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._free -= 1
            task = asyncio.ensure_future(self._run(part))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, part: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in part])
        except Exception as error:  # noqa: BLE001 — it is told to all who wait
            for _, future in part:
                if not future.done():
                    future.set_exception(error)
        except asyncio.CancelledError:
            for _, future in part:
                future.cancel()
            raise
        else:
            for (_, future), result in zip(part, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._free += 1
            self._start()
