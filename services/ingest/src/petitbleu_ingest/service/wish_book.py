"""What tenants want done with mail that was found wanting: asked of delivery when there is such mail, and remembered."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from petitbleu_ingest import metrics
from petitbleu_ingest.judging.treatment import UNSAID, TenantWishes
from petitbleu_kit.batching import Batcher, QueueFullError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MOST_TENANTS: Final = 500
# How long delivery is left alone when it does not answer, seconds
_REST_SECONDS: Final = 5.0


class WishBook:
    """Remembers tenants' wishes. What was said once holds on while delivery does not answer; else the house's wishes do.

    Args:
        read: Asks delivery; tenants that have said nothing may be left out of its answer.
        seconds: How long an answer is believed.
        entries: Answers remembered; the oldest go first.
        clock: Seconds that never go back.
    """

    def __init__(
        self, read: Callable[[Sequence[int]], Awaitable[Mapping[int, TenantWishes]]], *, seconds: float = 60, entries: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._read = read
        self._seconds = seconds
        self._entries = entries
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, TenantWishes]] = OrderedDict()
        self._rests_until = 0.0
        self._batcher: Batcher[int, TenantWishes] = Batcher(self._look_up, max_items=_MOST_TENANTS)

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, tenant_ids: Collection[int]) -> dict[int, TenantWishes]:
        """Return the wishes of tenants. Never raises, and asks only for those that are not known."""
        found = {}
        waiting = {}
        for tenant_id in set(tenant_ids):
            known = self._fresh(tenant_id)
            if known is not None:
                found[tenant_id] = known
                continue
            try:
                waiting[tenant_id] = self._batcher.submit(tenant_id)
            except QueueFullError:
                found[tenant_id] = self._last(tenant_id)
        if waiting:
            answers = await asyncio.gather(*waiting.values())
            found.update(zip(waiting, answers, strict=True))
        return found

    def _fresh(self, tenant_id: int) -> TenantWishes | None:
        known = self._known.get(tenant_id)
        return known[1] if known is not None and self._clock() < known[0] else None

    def _last(self, tenant_id: int) -> TenantWishes:
        known = self._known.get(tenant_id)
        return known[1] if known is not None else UNSAID

    async def _look_up(self, tenant_ids: list[int]) -> list[TenantWishes]:
        # who waited for the batch before may find the answer there
        missing = [one for one in dict.fromkeys(tenant_ids) if self._fresh(one) is None]
        if missing and self._clock() >= self._rests_until:
            try:
                said = await self._read(missing)
            except Exception as error:  # noqa: BLE001 - mail is judged by what is known
                metrics.wish_failures.inc()
                self._rests_until = self._clock() + _REST_SECONDS
                _log.warning("wishes of tenants cannot be read", error_type=type(error).__qualname__)
            else:
                until = self._clock() + self._seconds
                for tenant_id in missing:
                    self._known[tenant_id] = (until, said.get(tenant_id, UNSAID))
                    self._known.move_to_end(tenant_id)
        answers = [self._last(one) for one in tenant_ids]
        while len(self._known) > self._entries:
            self._known.popitem(last=False)
        return answers
