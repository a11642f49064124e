"""Natural batching: while one batch is in flight the next gathers; a lone item goes at once.

Where a batch costs much whatever its size, a little patience makes them larger: see `linger`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

# After this many times the patience without a batch, the last one says nothing of the next.
_LULL_LINGERS: Final = 10

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """The batcher's queue is at its bound; the caller must answer that it is busy."""


def _enough(company: asyncio.Future[None]) -> None:
    if not company.done():
        company.set_result(None)


class Batcher(Generic[Item, Result]):
    """Runs `work` on lists of items, a few lists at a time, and gives each caller its own result.

    Args:
        work: Takes a list, returns as many results in order; an element that is an exception is raised to its caller.
        max_items: Most items in one list.
        max_octets: Most octets in one list, by `size`; a larger single item goes alone.
        max_queued: Most items waiting; beyond, `submit` raises `QueueFullError`.
        concurrency: Lists in flight at once.
        size: Octets of an item.
        linger: Seconds that a batch waits for company, and only while there is some to be expected: the last batch had more
            items than are waiting now, and ended not long ago. A lone item among lone items never waits.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int = 64,
        max_octets: int = 8 << 20,
        max_queued: int = 10_000,
        concurrency: int = 1,
        size: Callable[[Item], int] = lambda _item: 0,
        linger: float = 0,
    ) -> None:
        self._work = work
        self._max_items = max_items
        self._max_octets = max_octets
        self._max_queued = max_queued
        self._concurrency = concurrency
        self._size = size
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._runners = 0  # tasks that will still look at the queue; a task is in `_running` a little longer
        self._linger = linger
        self._last_items = 0
        self._last_ended = 0.0
        self._wanted = 0
        self._company: asyncio.Future[None] | None = None

    @property
    def queued(self) -> int:
        """Items that wait for a place in a batch."""
        return len(self._queue)

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item; the future gives its result or its error."""
        if len(self._queue) >= self._max_queued:
            raise QueueFullError
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._company is not None and len(self._queue) >= self._wanted and not self._company.done():
            self._company.set_result(None)
        if self._runners < self._concurrency:
            self._start()
        return future

    def _start(self) -> None:
        self._runners += 1
        task = asyncio.get_running_loop().create_task(self._run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        try:
            # One turn of the loop lets every reader that is ready join this batch; it costs no time when there is none.
            await asyncio.sleep(0)
            while self._queue:
                if self._linger and self._company is None and len(self._queue) < min(self._last_items, self._max_items):
                    await self._wait_for_company()
                batch = self._next()
                if batch:  # else another runner took them meanwhile
                    await self._one(batch)
                    self._last_items = len(batch)
                    self._last_ended = asyncio.get_running_loop().time()
        finally:
            # nothing is awaited since the queue was found empty, so whoever submits from now on starts a runner
            self._runners -= 1

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        octets = 0
        while self._queue and len(batch) < self._max_items:
            octets += self._size(self._queue[0][0])
            if batch and octets > self._max_octets:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _wait_for_company(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._last_ended > _LULL_LINGERS * self._linger:
            return
        self._wanted = min(self._last_items, self._max_items)
        company = self._company = loop.create_future()
        timer = loop.call_later(self._linger, _enough, company)
        try:
            await company
        finally:
            timer.cancel()
            self._company = None

    async def _one(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 — every caller of the batch must learn of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def close(self) -> None:
        """Wait until all that is queued is done."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
