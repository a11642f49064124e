"""What delivery knows and mail is judged by: asked when there is such mail, and remembered.

That is what tenants want done with mail that was found wanting, and what is known of sending domains.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from petitbleu_ingest import metrics
from petitbleu_ingest.judging.treatment import UNSAID, TenantWishes
from petitbleu_kit.batching import Batcher, QueueFullError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MOST_KEYS: Final = 500
# How long delivery is left alone when it does not answer, seconds
_REST_SECONDS: Final = 5.0


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class AnswerBook(Generic[Key, Value]):
    """Remembers what delivery said. What was said once holds on while delivery does not answer.

    Args:
        read: Asks delivery; those of whom it knows nothing may be left out of its answer.
        unsaid: What holds for these, and for those of whom nobody could be asked.
        seconds: How long an answer is believed.
        entries: Answers remembered; the oldest go first.
        clock: Seconds that never go back.
    """

    def __init__(
        self, read: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]], unsaid: Value, *, seconds: float = 60,
        entries: int = 10_000, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._read = read
        self._unsaid = unsaid
        self._seconds = seconds
        self._entries = entries
        self._clock = clock
        self._known: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._rests_until = 0.0
        self._batcher: Batcher[Key, Value] = Batcher(self._look_up, max_items=_MOST_KEYS)

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, keys: Collection[Key]) -> dict[Key, Value]:
        """Return what is known of each. Never raises, and asks only for those that are not known."""
        found = {}
        waiting = {}
        for key in set(keys):
            known = self._fresh(key)
            if known is not None:
                found[key] = known
                continue
            try:
                waiting[key] = self._batcher.submit(key)
            except QueueFullError:
                found[key] = self._last(key)
        if waiting:
            answers = await asyncio.gather(*waiting.values())
            found.update(zip(waiting, answers, strict=True))
        return found

    def _fresh(self, key: Key) -> Value | None:
        known = self._known.get(key)
        return known[1] if known is not None and self._clock() < known[0] else None

    def _last(self, key: Key) -> Value:
        known = self._known.get(key)
        return known[1] if known is not None else self._unsaid

    async def _look_up(self, keys: list[Key]) -> list[Value]:
        # who waited for the batch before may find the answer there
        missing = [one for one in dict.fromkeys(keys) if self._fresh(one) is None]
        if missing and self._clock() >= self._rests_until:
            try:
                said = await self._read(missing)
            except Exception as error:  # noqa: BLE001 - mail is judged by what is known
                metrics.wish_failures.inc()
                self._rests_until = self._clock() + _REST_SECONDS
                _log.warning("delivery does not say what mail is judged by", error_type=type(error).__qualname__)
            else:
                until = self._clock() + self._seconds
                for key in missing:
                    self._known[key] = (until, said.get(key, self._unsaid))
                    self._known.move_to_end(key)
        answers = [self._last(one) for one in keys]
        while len(self._known) > self._entries:
            self._known.popitem(last=False)
        return answers


class WishBook(AnswerBook[int, TenantWishes]):
    """Remembers tenants' wishes; where nothing is said the house's hold."""

    def __init__(
        self, read: Callable[[Sequence[int]], Awaitable[Mapping[int, TenantWishes]]], *, seconds: float = 60,
        entries: int = 10_000, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(read, UNSAID, seconds=seconds, entries=entries, clock=clock)


class Reputations(AnswerBook[str, int]):
    """Remembers what speaks against sending domains, in hundredths of points; nothing where nothing is known."""

    def __init__(
        self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]], *, seconds: float = 300,
        entries: int = 50_000, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(read, 0, seconds=seconds, entries=entries, clock=clock)
