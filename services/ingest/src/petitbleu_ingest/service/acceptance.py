"""Handing messages to store in batches, and marking those whose 250 the peer has seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from petitbleu_ingest import metrics
from petitbleu_ingest.domain.message import Incoming
from petitbleu_ingest.ports import Accepted, Store, StoreAwayError, StoreFullError
from petitbleu_kit.batching import Batcher
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MAX_MARKS_SENT: Final = 1000
# A mark that is lost costs little: an identical message within a day counts as a repeat.
_MAX_MARKS_KEPT: Final = 20_000
_OVERHEAD: Final = 1024


class Acceptance:
    """Batches for store.

    Args:
        store: Makes messages durable.
        items: Messages in one batch.
        octets: Octets of bodies in one batch.
        queued: Messages waiting; beyond, `submit` raises `QueueFullError`.
        concurrency: Batches in flight.
        mark_seconds: Wait for a batch that takes marks along.
        linger: Wait for company under load; see `petitbleu_kit.batching`.
    """

    def __init__(
        self,
        store: Store,
        *,
        items: int,
        octets: int,
        queued: int,
        concurrency: int,
        mark_seconds: float,
        linger: float = 0,
    ) -> None:
        self._store = store
        self._mark_seconds = mark_seconds
        self._marks: dict[bytes, None] = {}
        self._marks_flying: dict[bytes, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._alone: set[asyncio.Task[None]] = set()
        self._batcher: Batcher[Incoming, Accepted] = Batcher(
            self._accept, max_items=items, max_octets=octets, max_queued=queued, concurrency=concurrency,
            size=lambda message: len(message.body) + len(message.trace) + _OVERHEAD, linger=linger,
        )  # fmt: skip

    @property
    def queued(self) -> int:
        """Messages waiting for a batch."""
        return self._batcher.queued

    def submit(self, message: Incoming) -> asyncio.Future[Accepted]:
        """Hand a message over; the future gives what became of it, or `StoreFullError`, `StoreAwayError`."""
        return self._batcher.submit(message)

    def mark(self, key: bytes) -> None:
        """Say that the peer has seen the 250 of this key: an identical message from now on is a new one (RFC 1047)."""
        if len(self._marks) >= _MAX_MARKS_KEPT:
            return
        self._marks[key] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._mark_seconds, self._send_marks_alone)

    def _send_marks_alone(self) -> None:
        self._timer = None
        if self._marks:
            task = asyncio.get_running_loop().create_task(self._marks_only())
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)

    async def _marks_only(self) -> None:
        try:
            await self._call([])
        except (StoreAwayError, StoreFullError):
            self._timer = self._timer or asyncio.get_running_loop().call_later(
                max(1.0, self._mark_seconds), self._send_marks_alone
            )

    async def _accept(self, messages: list[Incoming]) -> Sequence[Accepted]:
        metrics.batch_items.observe(len(messages))
        if self._marks_flying:
            # the mark of an identical earlier message must not come after this one
            waiting = {self._marks_flying[one.key] for one in messages if one.key in self._marks_flying}
            if waiting:
                await asyncio.wait(waiting)
        while any(one.key in self._marks for one in messages):
            # A call whose answer is lost is made again: with mark and message in one, the second would forget what the
            # first committed and take the message twice.
            await self._call([])
        return await self._call(messages)

    async def _call(self, messages: Sequence[Incoming]) -> Sequence[Accepted]:
        seen: list[bytes] = []
        landed: asyncio.Future[None] | None = None
        if self._marks:
            seen = list(self._marks)[:_MAX_MARKS_SENT]
            landed = asyncio.get_running_loop().create_future()
            for key in seen:
                del self._marks[key]
                self._marks_flying[key] = landed
        try:
            return await self._store.accept(messages, seen)
        except (StoreAwayError, StoreFullError) as error:
            metrics.accept_failures.inc()
            cause = error.__cause__
            code = getattr(cause, "code", None)
            _log.warning("store did not accept", count=len(messages), status=code().name if code else "")
            self._marks.update(dict.fromkeys(seen))
            raise
        finally:
            if landed is not None:
                for key in seen:
                    self._marks_flying.pop(key, None)
                landed.set_result(None)

    async def close(self) -> None:
        """Finish what is queued and send the last marks."""
        await self._batcher.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._alone:
            await asyncio.gather(*self._alone, return_exceptions=True)
        if self._marks:
            with contextlib.suppress(StoreAwayError, StoreFullError):
                await self._call([])
