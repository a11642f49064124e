"""Whether this process may send what it has in hand: others take it from one that has been silent (ADR 24)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from petitbleu_delivery.adapters.queue_rows import Unit
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
# Of the silence after which others take what is in hand: after the first share nothing is begun, after the second the name is given up.
_BEGINS: Final = 0.5
_NAMED: Final = 0.8


class Heard(Protocol):
    """Where processes say that they are there."""

    async def seen(self, worker: int, within_seconds: float) -> bool:
        """Keep that a process is there; False, and nothing kept, for one that was not heard of within that time."""

    async def arrived(self, worker: int) -> None:
        """Keep that a new process is there."""


def awake() -> float:
    """Return seconds that only grow, those in which the machine was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Presence:
    """A process in the eyes of the others.

    A process that was stopped, or cut off from the database, cannot know when others took what it had in hand. So it begins nothing
    once it has not been heard of for half of that time, ends no letter then either, and goes on under a new name when
    it may have been taken for dead: what is in hand under the old one is not its own any more.

    Args:
        rows: Where it says that it is there.
        silent_seconds: After so long others take what it has in hand.
        clock: Seconds that only grow, while the machine sleeps too.

    Attributes:
        worker: Its name.
    """

    def __init__(self, rows: Heard, silent_seconds: float, clock: Callable[[], float] = awake) -> None:
        self._rows = rows
        self._silent = silent_seconds
        self._clock = clock
        self._heard = -math.inf
        self._since = math.inf
        self.worker = new_row_id()

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken yet what is in hand."""
        return self._clock() - self._heard < self._silent * _BEGINS

    @property
    def settled(self) -> bool:
        """Whether it has had its name for so long that others, cut off when it was, have been heard of again."""
        return self._clock() - self._since > self._silent

    def holds(self, unit: Unit) -> bool:
        """Whether a unit that was taken in hand still is, as far as can be known."""
        return unit.worker == self.worker and self.sure

    async def beat(self) -> bool:
        """Say that this process is there; False when it goes on under a new name."""
        began = self._clock()
        within = self._silent * _NAMED
        known = began - self._heard < within and await self._rows.seen(self.worker, within)
        if not known:
            worker = new_row_id()
            await self._rows.arrived(worker)
            if math.isfinite(self._heard):
                _log.warning("this process was silent for too long: others may have what it had in hand")
            self.worker, self._since = worker, began
        # what the others see is the time of the statement, which is no earlier
        self._heard = began
        return known
