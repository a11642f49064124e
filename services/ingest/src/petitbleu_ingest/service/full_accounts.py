"""Who has room: a list of the full accounts instead of a question to store for each recipient (ADR 11)."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from petitbleu_ingest import metrics
from petitbleu_ingest.ports import FullList, Store, StoreAwayError, StoreFullError
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
POLL_SECONDS: Final = 10.0
"""How often the list is asked for; store reads it anew every 15 to 45 s."""
_USEFUL_SECONDS: Final = 60.0
# An event tells of what was committed before; so much later than its arrival a list must have been taken to be trusted again.
_MARGIN_SECONDS: Final = 1.0
_MAX_LISTED: Final = 100_000
_MAX_DOUBTED: Final = 10_000
# At most so many accounts go in one CheckQuota.
_MAX_ASKED: Final = 1000


class FullAccounts:
    """The latest list of full accounts, and which of its answers are to be relied on.

    An account that is not on it has room. One that is on it is asked for live, so that room that was made is seen at once; so is
    one of which the directory told since the list was taken, as its quota may have been lowered. Without a list that is
    complete and at most 60 s old, all are asked for. Times are monotonic seconds.

    Args:
        store: Who knows.
        clock: Seconds that never go back.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._full: frozenset[int] = frozenset()
        self._complete = False
        # The list says what was so at this time, and perhaps later.
        self._as_of = -math.inf
        # Accounts that something was told of, and when; in the order of time.
        self._doubted: OrderedDict[int, float] = OrderedDict()
        self._all_doubted_at = -math.inf
        # Whether answers hang on it.
        self._relied_on = False

    @property
    def doubted(self) -> int:
        """Accounts that are asked for live until a later list comes."""
        return len(self._doubted)

    def _usable(self) -> bool:
        return (
            self._complete
            and self._clock() - self._as_of <= _USEFUL_SECONDS
            and self._as_of > self._all_doubted_at + _MARGIN_SECONDS
        )

    async def over_quota(self, account_ids: Iterable[int]) -> frozenset[int]:
        """Return those of the accounts that are at or over their quota. Raises whatever store's answer does."""
        wanted = frozenset(account_ids)
        if self._usable():
            asked = [one for one in wanted if one in self._full or one in self._doubted]
            self._relied_on = True
        else:
            asked = list(wanted)
        metrics.quota_by_list.inc(len(wanted) - len(asked))
        metrics.quota_asked.inc(len(asked))
        full: frozenset[int] = frozenset()
        for at in range(0, len(asked), _MAX_ASKED):
            full |= await self._store.over_quota(asked[at : at + _MAX_ASKED])
        return full

    def doubt(self, account_ids: Iterable[int]) -> None:
        """Ask for these accounts until a list comes that was taken after now: their quota may be another."""
        now = self._clock()
        for account in account_ids:
            self._doubted[account] = now
            self._doubted.move_to_end(account)
        if len(self._doubted) > _MAX_DOUBTED:
            self._doubt_all()

    def doubt_all(self) -> None:
        """Ask for every account until a list comes that was taken after now; whoever says so has forgotten every answer."""
        self._doubt_all()
        self._relied_on = False

    def _doubt_all(self) -> None:
        self._all_doubted_at = self._clock()
        self._doubted.clear()

    async def refresh(self) -> frozenset[int] | None:
        """Ask for the list; an error of store's leaves the one there is.

        Returns:
            The accounts that this list names and the one before did not: of what they were said to have, nothing stands. None when
            answers came of a list that is of no use any more, so that nobody will say which of them do not stand.
        """
        before = self._full if self._usable() else frozenset()
        begun = self._clock()
        try:
            new = await self._store.full_accounts()
        except (StoreAwayError, StoreFullError):
            metrics.full_list_failures.inc()
        else:
            self._take(new, begun - new.age_seconds)
        usable = self._usable()
        metrics.full_accounts.set(len(self._full) if usable else -1)
        if usable:
            return self._full - before
        if self._relied_on:
            self._relied_on = False
            _log.warning("the list of full accounts is of no use now, store is asked for each recipient's")
            return None
        return frozenset()

    def _take(self, new: FullList, as_of: float) -> None:
        # Store may be several processes, each with a list of its own age; what was taken earlier tells nothing new.
        if as_of <= self._as_of:
            return
        self._as_of = as_of
        self._complete = new.complete and len(new.account_ids) <= _MAX_LISTED
        self._full = new.account_ids if self._complete else frozenset()
        while self._doubted and next(iter(self._doubted.values())) + _MARGIN_SECONDS < as_of:
            self._doubted.popitem(last=False)
