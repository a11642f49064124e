"""How often something may be done for an account: a bucket that fills with time (RFC 6585 §4 is its answer when it is empty)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MAX_ACCOUNTS: Final = 100_000


class Buckets:
    """A bucket an account.

    Args:
        rate: What comes in a second.
        burst: What a full one holds.
        clock: Seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()  # level, since when

    def has_taken(self, account_id: int) -> bool:
        """Take one, or return False when there is none."""
        now = self._clock()
        level, since = self._buckets.pop(account_id, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        has_one = level >= 1
        self._buckets[account_id] = (level - 1 if has_one else level, now)
        if len(self._buckets) > _MAX_ACCOUNTS:
            self._buckets.popitem(last=False)  # whoever asked longest ago is most likely full again
        return has_one
