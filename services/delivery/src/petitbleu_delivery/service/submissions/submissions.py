"""What a person may do with submissions, which are nobody else's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from petitbleu_delivery.domain.submissions import (
    NO_RATES,
    Changes,
    Ledger,
    Rates,
    Refusal,
    State,
    Status,
    Submission,
    Wanted,
    changes,
)
from petitbleu_delivery.service.permits import SuspendedError
from petitbleu_delivery.service.submissions.handover import LEASE_MS, HandOver, now_ms
from petitbleu_delivery.service.submissions.ports import Permits, SubmissionTable
from petitbleu_kit.identity import Principal

MAX_ITEMS: Final = 1_000
_WAIT_SECONDS: Final = 10.0


class Fault(Enum):
    """Why a call is refused as a whole."""

    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    UNKNOWN_STATE = "unknown state"
    STATE_MISMATCH = "state mismatch"
    TOO_MANY = "too many"


class SubmissionsError(Exception):
    """A call that is refused as a whole; its text is for developers."""

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = fault
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Update:
    """One change: a creation, or of the submission `number`, or of the one that the update at index `created_by` makes."""

    wanted: Wanted | None
    number: int = 0
    created_by: int | None = None
    cancel: bool = False
    destroy: bool = False


@dataclass(slots=True)
class Done:
    """What became of one change, and the submission as it is then."""

    status: Status
    submission: Submission | None = None
    retry_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of all changes of a call, and the states around it."""

    results: list[Done]
    before: int
    after: int


class Submissions:
    """The use cases.

    Args:
        table: Where they are kept.
        handover: Who brings them to store.
        permits: Who may send how much, whatever the way.
        rates: How much an account may submit this way.
    """

    def __init__(
        self, table: SubmissionTable, handover: HandOver, permits: Permits, rates: Rates = NO_RATES
    ) -> None:  # fmt: skip
        self._rates = rates
        self._table = table
        self._handover = handover
        self._permits = permits

    @staticmethod
    def _own(principal: Principal, account_id: int) -> int:
        # the second lock: who is asked for is who asks, whatever the caller checked
        if principal.account_id != account_id:
            raise SubmissionsError(Fault.FORBIDDEN, "the submissions of another account")
        return account_id

    async def all(self, principal: Principal, account_id: int) -> tuple[list[Submission], int]:
        """Return all submissions, without envelopes, and their state. Raises `SubmissionsError` FORBIDDEN."""
        return await self._table.all(self._own(principal, account_id))

    async def get(
        self, principal: Principal, account_id: int, numbers: Collection[int] | None
    ) -> tuple[list[Submission], int]:
        """Return submissions whole, all for None. Raises `SubmissionsError` FORBIDDEN, INVALID, TOO_MANY."""
        self._own(principal, account_id)
        if numbers is None:
            numbers = [one.number for one in (await self._table.all(account_id))[0]]
            if len(numbers) > MAX_ITEMS:
                raise SubmissionsError(Fault.TOO_MANY, "there are more")
        if len(numbers) > MAX_ITEMS:
            raise SubmissionsError(Fault.INVALID, f"at most {MAX_ITEMS:,} a call")
        return await self._table.get(account_id, numbers)

    async def changes(self, principal: Principal, account_id: int, since: int, most: int) -> Changes:
        """Return what changed after a modseq.

        Raises:
            SubmissionsError: FORBIDDEN; UNKNOWN_STATE when the log does not reach that far or never will.
        """
        steps, modseq, pruned = await self._table.steps(self._own(principal, account_id), since)
        if not pruned <= since <= modseq or most < 0:
            raise SubmissionsError(Fault.UNKNOWN_STATE, "no such state")
        return changes(steps, since, modseq, most)

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Return how far the submissions of accounts are, of those that ever submitted anything."""
        if len(account_ids) > MAX_ITEMS:
            raise SubmissionsError(Fault.INVALID, f"at most {MAX_ITEMS:,} accounts a call")
        return await self._table.states(account_ids)

    async def update(
        self, principal: Principal, account_id: int, updates: Sequence[Update], if_modseq: int | None
    ) -> Updated:
        """Do each change that can be done, in one commit, then hand over what is due.

        Raises:
            SubmissionsError: FORBIDDEN; INVALID for too many; STATE_MISMATCH when the modseq is not `if_modseq`.
        """
        self._own(principal, account_id)
        if len(updates) > MAX_ITEMS:
            raise SubmissionsError(Fault.INVALID, f"at most {MAX_ITEMS:,} changes a call")
        refused = await self._limited(account_id, principal.tenant_id, updates)

        async def work(ledger: Ledger) -> Updated:
            repeated = any(one.wanted is not None and ledger.made(one.wanted.submission_id) for one in updates)
            if if_modseq is not None and if_modseq != ledger.modseq and not repeated:
                raise SubmissionsError(Fault.STATE_MISMATCH, "the submissions changed")
            before = ledger.modseq
            results: list[Done] = []
            for index, update in enumerate(updates):
                try:
                    if index in refused:
                        raise refused[index]
                    results.append(Done(Status.OK, _do(ledger, update, results, self._rates)))
                except Refusal as refusal:
                    results.append(Done(refusal.status, None, refusal.retry_after_seconds))
            return Updated(results, before, ledger.modseq)

        numbers = [update.number for update in updates if update.wanted is None and update.created_by is None]
        new = [update.wanted.submission_id for update in updates if update.wanted is not None]
        updated = await self._table.work(account_id, numbers, work, new=new)
        made = {
            done.submission.number: done.submission
            for update, done in zip(updates, updated.results, strict=True)
            if update.wanted is not None and done.submission is not None and done.submission.state is State.SENDING
        }
        handed = await self._handover.soon(account_id, list(made.values()), _WAIT_SECONDS)
        for done in updated.results:
            if done.submission is not None and done.submission.number in handed:
                done.submission = handed[done.submission.number]
        return updated

    async def _limited(self, account_id: int, tenant_id: int, updates: Sequence[Update]) -> dict[int, Refusal]:
        """Ask whether the person may send so much; give the refusals by index of those that may not."""
        refused: dict[int, Refusal] = {}
        for index, update in enumerate(updates):
            if update.wanted is not None:
                try:
                    wait = await self._permits.permit(
                        account_id, tenant_id, update.wanted.recipients, update.wanted.submission_id
                    )  # fmt: skip
                except SuspendedError:
                    refused[index] = Refusal(Status.SUSPENDED)
                    continue
                if wait:
                    refused[index] = Refusal(Status.OVER_LIMIT, wait)
        return refused


def _do(ledger: Ledger, update: Update, results: Sequence[Done], rates: Rates) -> Submission | None:
    if update.wanted is not None:
        return ledger.create(update.wanted, now_ms(), LEASE_MS, rates)
    number = update.number
    if update.created_by is not None:
        made = results[update.created_by].submission if 0 <= update.created_by < len(results) else None
        if made is None:
            raise Refusal(Status.NOT_FOUND)
        number = made.number
    if update.destroy:
        ledger.destroy(number)
        return None
    if update.cancel:
        return ledger.cancel(number, now_ms())
    return ledger.known(number)


class AnyoneMaySend:
    """`Permits` where nobody counts."""

    async def permit(self, account_id: int, tenant_id: int, recipients: int, key: bytes = b"") -> int:  # noqa: ARG002
        """Say yes."""
        return 0
