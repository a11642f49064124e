"""All accounts that are over their quota, read now and then, so that ingest need not ask for each recipient (ADR 11)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.ports import OverQuota

_log = get_logger(__name__)
MAX_LISTED: Final = 100_000
_SECONDS: Final = 15.0
# A read pauses the next for this many times its length, so that reading takes a hundredth of the time...
_SHARE: Final = 100
# ...but not so long that the list of before is of no use any more: whoever uses it takes none older than 60 s.
_LONGEST_SECONDS: Final = 45.0
# A read that takes longer than this would come too late for most of its use.
_READ_SECONDS: Final = 10.0

# A scan: used_octets is in no index, and must not be. An update that changes a column of an index is no HOT update (heap-only
# tuple): each mail that is filed would write an entry in every index of the table, and leave it to vacuum.
_FULL: Final = f"""/* cold:store.full_accounts */ SELECT account_id FROM account
WHERE quota_octets > 0 AND used_octets >= quota_octets LIMIT {MAX_LISTED + 1}"""


class FullAccounts:
    """The list of full accounts, shared among all who ask for it.

    A read is a scan of the table of accounts and costs in proportion to their number, whoever is full: some 0.2 s a million. So it
    happens when somebody asks, by one at a time, every 15 s at most and a hundredth of the time; a read of more than 0.45 s
    takes more than that, as it is repeated after 45 s. One that fails, or takes more than 10 s, pauses for a hundred times its
    length: a table so large is not read in vain again and again.

    Args:
        executor: Where cold statements go; the plan is a scan.
        clock: Seconds that never go back.
    """

    def __init__(self, executor: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._executor = executor
        self._clock = clock
        # when it was begun, the accounts, whether these are all
        self._last: tuple[float, tuple[int, ...], bool] | None = None
        self._next_at = -math.inf
        self._reading: asyncio.Task[None] | None = None

    async def listed(self) -> OverQuota:
        """Return the list with its age, from memory or read now.

        Raises:
            StoreError: AWAY when there is none: the last read failed, and it is too soon for the next.
            Exception: as PostgreSQL says, when it is read now.
        """
        if self._reading is None and self._clock() >= self._next_at:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            # its outcome is told to whoever waits; when nobody does any more, it is nobody's error
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self._reading is not None:
            # whoever gives up waiting does not end the read for the others
            await asyncio.shield(self._reading)
        if self._last is None:
            raise StoreError(Problem.AWAY)
        begun, account_ids, complete = self._last
        return OverQuota(account_ids, self._clock() - begun, complete)

    async def _read(self) -> None:
        begun = self._clock()
        longest = math.inf
        try:
            rows = await self._executor.fetch(_FULL, timeout=_READ_SECONDS)
            complete = len(rows) <= MAX_LISTED
            self._last = (begun, tuple(row["account_id"] for row in rows) if complete else (), complete)
            if not complete:
                _log.warning("too many accounts are full to list them", more_than=MAX_LISTED)
            longest = _LONGEST_SECONDS
        finally:
            self._reading = None
            self._next_at = begun + min(longest, max(_SECONDS, _SHARE * (self._clock() - begun)))
