"""Which accounts are to be looked at, and when: the accounts of our slices, a queue of times, and no account twice at once."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from petitbleu_kit.ids import partition_of_account

PARTITIONS_A_SLICE: Final = 32
_REMEMBERED: Final = 100_000


class DueAccounts:
    """The accounts of the slices that are ours, and those of them that are due.

    Args:
        fold_seconds: Least time between two looks at one account because of what it told.
    """

    def __init__(self, fold_seconds: float) -> None:
        self._fold_seconds = fold_seconds
        self._accounts: dict[int, set[int]] = {}
        self._due: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._busy: set[int] = set()
        self._again: set[int] = set()
        self._told_at: OrderedDict[int, float] = OrderedDict()
        self.wake = asyncio.Event()
        self.count = 0

    @property
    def slices(self) -> set[int]:
        """The slices that are ours."""
        return set(self._accounts)

    def _slice_of(self, account_id: int) -> set[int] | None:
        return self._accounts.get(partition_of_account(account_id) // PARTITIONS_A_SLICE)

    def hold(self, slices: Iterable[int]) -> list[int]:
        """Take note of the slices that are ours; return the new ones."""
        wanted = set(slices)
        for number in self.slices - wanted:
            self.count -= len(self._accounts.pop(number))
        new = sorted(wanted - self.slices)
        for number in new:
            self._accounts[number] = set()
        return new

    def add(self, account_id: int) -> bool:
        """Add an account that has subscriptions, if its slice is ours; say whether it is."""
        held = self._slice_of(account_id)
        if held is None:
            return False
        if account_id not in held:
            held.add(account_id)
            self.count += 1
        return True

    def drop(self, account_id: int) -> None:
        """Forget an account that has none, unless something was heard of it meanwhile."""
        held = self._slice_of(account_id)
        if held is not None and account_id in held and account_id not in self._again:
            held.discard(account_id)
            self.count -= 1

    def heard(self, account_id: int) -> None:
        """Let an account be due if it is ours: at once after a pause, else a little later."""
        held = self._slice_of(account_id)
        if held is None or account_id not in held:
            return
        now = asyncio.get_running_loop().time()
        self.at(account_id, max(now, self._told_at.get(account_id, float("-inf")) + self._fold_seconds))

    def at(self, account_id: int, when: float) -> None:
        """Let an account be due at a time of the loop, or sooner if it is anyway."""
        if account_id in self._busy:
            self._again.add(account_id)
            return
        if when < self._due.get(account_id, float("inf")):
            self._due[account_id] = when
            heapq.heappush(self._heap, (when, account_id))
            self.wake.set()

    def take(self, most: int) -> Sequence[int]:
        """Return accounts that are due; each is busy until `done`."""
        now = asyncio.get_running_loop().time()
        found: list[int] = []
        while self._heap and len(found) < most and self._heap[0][0] <= now:
            when, account_id = heapq.heappop(self._heap)
            if self._due.get(account_id) != when:
                continue  # it became due sooner
            del self._due[account_id]
            if self._slice_of(account_id) is not None:
                self._busy.add(account_id)
                found.append(account_id)
        return found

    def next_in(self) -> float | None:
        """Seconds until the next account is due, None when none is."""
        if not self._heap:
            return None
        return max(self._heap[0][0] - asyncio.get_running_loop().time(), 0.0)

    def done(self, account_id: int, *, told: bool, next_at: float | None) -> None:
        """Note that a look at an account has ended, whether it was told anything, and when it is due again."""
        now = asyncio.get_running_loop().time()
        self._busy.discard(account_id)
        if told:
            self._told_at[account_id] = now
            self._told_at.move_to_end(account_id)
            while len(self._told_at) > _REMEMBERED:
                self._told_at.popitem(last=False)
        if next_at is not None:
            self.at(account_id, next_at)
        if account_id in self._again:
            self._again.discard(account_id)
            self.at(account_id, now + (self._fold_seconds if told else 0.0))
