"""Submissions on their way to store: begun by compare-and-set, handed over under an id that store knows again, recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from petitbleu_delivery.domain.submissions import STOPPED, Ledger, State, Submission
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.submissions.ports import Handed, Outgoing, Place, Stopped, SubmissionTable
from petitbleu_delivery.service.submissions.scrutiny import Found, Scrutiny
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_handed = Counter("petitbleu_delivery_submissions_total", "Submissions by what became of the hand-over", ["result"])

LEASE_MS: Final = 60_000
"""A hand-over that is not recorded after so long is taken again; longer than any call of it."""
_AT_ONCE: Final = 8
_LIST: Final = 200


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class HandOver:
    """Brings submissions to store.

    A crash between any two steps leaves a row that `sweep` takes again, with the same submission id: store accepts it once.

    Args:
        table: Where they are kept.
        outgoing: store.
        stopped: Says that nothing leaves an account any more.
        scrutiny: Looks messages through before store accepts them.
    """

    def __init__(
        self, table: SubmissionTable, outgoing: Outgoing, stopped: Stopped, scrutiny: Scrutiny | None = None
    ) -> None:  # fmt: skip
        self._scrutiny = scrutiny
        self._table = table
        self._stopped = stopped
        self._outgoing = outgoing
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._running: set[asyncio.Task[Submission]] = set()

    async def soon(self, account_id: int, begun: Sequence[Submission], seconds: float) -> dict[int, Submission]:
        """Hand over what is begun and wait a while; give those that are over by then. What takes longer goes on."""
        tasks = [asyncio.create_task(self._one(account_id, one)) for one in begun]
        if not tasks:
            return {}
        for task in tasks:
            self._running.add(task)
            task.add_done_callback(self._ended)
        done, _ = await asyncio.wait(tasks, timeout=seconds)
        found = [task.result() for task in done if not task.cancelled() and task.exception() is None]
        return {one.number: one for one in found}

    def _ended(self, task: asyncio.Task[Submission]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a submission waits for its next try", error_type=type(error).__qualname__)

    async def _one(self, account_id: int, begun: Submission) -> Submission:
        async with self._gate:
            return await self._hand_over(account_id, begun)

    async def _hand_over(self, account_id: int, begun: Submission) -> Submission:
        number = begun.number
        try:
            handed = await self._handed(account_id, begun)
        except (PeerUnavailableError, PeerRefusedError) as error:
            _log.info("a submission is not taken yet", code=error.code, tries=begun.tries)
            _handed.labels(result="later").inc()

            async def postpone(ledger: Ledger) -> Submission | None:
                return ledger.postpone(number, now_ms())

            return await self._table.work(account_id, [number], postpone) or begun

        async def record(ledger: Ledger) -> Submission | None:
            if handed.accepted_id is not None:
                return ledger.done(number, handed.accepted_id, now_ms())
            assert handed.failure is not None  # noqa: S101 — one of both
            return ledger.fail(number, handed.failure, now_ms())

        found = await self._table.work(account_id, [number], record)
        if found is None:  # another process was faster
            return begun
        _handed.labels(result=found.state.name.lower()).inc()
        if found.state is State.FAILED:
            _log.warning("a submission failed", submission_id=found.submission_id.hex())
        return found

    async def _handed(self, account_id: int, begun: Submission) -> Handed:
        # One that was begun before may be store's already: what became of it is then said by whoever stops it behind store.
        if begun.tries <= 1 and await self._stopped(account_id):
            return Handed(None, STOPPED)
        found = Found() if self._scrutiny is None else await self._scrutiny.look(account_id, begun)
        if found.failure is not None:
            return Handed(None, found.failure)
        return await self._outgoing.submit(account_id, begun, found.score)

    async def sweep(self) -> int:
        """Hand over what is due, and what was begun by somebody who died; return how many were taken."""
        taken = 0
        while True:
            places = await self._table.due(now_ms(), _LIST)
            found = await asyncio.gather(*(self._take(place) for place in places), return_exceptions=True)
            for error in found:
                if isinstance(error, Exception):
                    raise error
            count = sum(one is True for one in found)
            taken += count
            if len(places) < _LIST or not count:
                return taken

    async def _take(self, place: Place) -> bool:
        async with self._gate:

            async def begin(ledger: Ledger) -> Submission | None:
                return ledger.begin(place.number, now_ms(), LEASE_MS)

            begun = await self._table.work(place.account_id, [place.number], begin)
            if begun is None:
                return False
            await self._hand_over(place.account_id, begun)
            return True

    async def end(self) -> None:
        """Let what is on its way end; the sweep of another process takes what does not."""
        if self._running:
            await asyncio.wait(self._running, timeout=2)
