"""Submissions of some people in memory, by the rules of delivery: its own, over a dictionary instead of a database."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from tests.conformance.jmap_store import MemoryStore

from petitbleu_delivery.domain.submissions import GONE, MALWARE, Heard, Ledger, Step, Submission
from petitbleu_delivery.grpc_submissions import SubmissionServicer
from petitbleu_delivery.service.submissions.handover import HandOver
from petitbleu_delivery.service.submissions.ports import Handed, Place
from petitbleu_delivery.service.submissions.submissions import AnyoneMaySend, Submissions

Result = TypeVar("Result")


class MemorySubmissions:
    """What `PostgresSubmissions` keeps, in memory."""

    def __init__(self) -> None:
        self.ledgers: dict[int, Ledger] = {}

    def _ledger(self, account_id: int) -> Ledger:
        return self.ledgers.get(account_id) or Ledger(account_id)

    async def all(self, account_id: int) -> tuple[list[Submission], int]:
        ledger = self._ledger(account_id)
        return [one for one in ledger.rows.values() if not one.gone], ledger.modseq

    async def get(self, account_id: int, numbers: Collection[int]) -> tuple[list[Submission], int]:
        found, modseq = await self.all(account_id)
        return [one for one in found if one.number in numbers], modseq

    async def steps(self, account_id: int, since: int) -> tuple[list[Step], int, int]:
        ledger = self._ledger(account_id)
        steps = [Step(one.number, one.created_modseq, one.modseq, one.gone) for one in ledger.rows.values()]
        return steps, ledger.modseq, ledger.pruned_modseq

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        return {one: self.ledgers[one].modseq for one in account_ids if one in self.ledgers}

    async def work(
        self, account_id: int, numbers: Collection[int], work: Callable[[Ledger], Awaitable[Result]],
        *, new: Collection[bytes] = (),
    ) -> Result:  # fmt: skip
        return await work(self.ledgers.setdefault(account_id, Ledger(account_id)))

    async def due(self, at_ms: int, most: int) -> list[Place]:
        return [
            Place(account_id, one.number)
            for account_id, ledger in self.ledgers.items()
            for one in ledger.rows.values()
            if not one.over and one.next_try_ms <= at_ms
        ][:most]

    async def concerned(self, mail: Sequence[tuple[int, bytes]]) -> set[int]:
        return {account_id for account_id, _ in mail}

    async def hear(self, account_id: int, heard: Sequence[Heard]) -> None:
        self._ledger(account_id).report(heard)

    async def prune(self, keep_ms: int) -> None:
        """Nothing grows old here."""


class MemoryOutgoing:
    """store's OutgoingService over a `MemoryStore`: what was accepted, by submission."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.accepted: dict[bytes, bytes] = {}

    async def submit(self, account_id: int, submission: Submission, spam_score: int) -> Handed:
        if submission.submission_id not in self.accepted:
            if b"malware@" in submission.envelope:
                return Handed(None, MALWARE)
            if submission.message_id not in self._store.person(account_id).messages:
                return Handed(None, GONE)
            self.accepted[submission.submission_id] = os.urandom(16)
        return Handed(self.accepted[submission.submission_id])


async def nobody_is_stopped(_account_id: int) -> bool:
    """All accounts are active."""
    return False


def memory_servicer(table: MemorySubmissions, store: MemoryStore) -> Any:
    """SubmissionService over both."""
    return SubmissionServicer(
        Submissions(table, HandOver(table, MemoryOutgoing(store), nobody_is_stopped), AnyoneMaySend())
    )
