"""Trace: what became of a mail, for an operator who knows its sender or recipient. Each look is audited.

Addresses are compared by keyed hashes; answers hold no address, subject or body. Rows are kept 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from petitbleu_kit.ids import BlobId, new_row_id
from petitbleu_store.core import Core
from petitbleu_store.errors import Problem, StoreError


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one recipient of one mail."""

    accepted_id: BlobId
    recipient_no: int
    received_at: datetime
    outcome: int
    settled_at: datetime | None
    reason: str
    attempts: int
    account_ids: Sequence[int]
    size: int


class Trace:
    """Looks mail up by its addresses."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def look(self, *, caller: str, sender: str, recipient: str, since: datetime, limit: int) -> list[Story]:
        """Return the newest mail between two addresses, of which one may be empty for any.

        Raises:
            StoreError: INVALID when both are empty.
        """
        if not sender and not recipient:
            raise StoreError(Problem.INVALID, "a sender or a recipient is needed")
        hashed = self._core.intake.address_hash.of
        from_hash = hashed(sender) if sender else None
        to_hash = hashed(recipient) if recipient else None
        rows = await self._core.cold.fetch(
            "/* cold:store.trace */ SELECT r.accepted_id, r.recipient_no, a.received_at, r.outcome, r.settled_at, "
            "coalesce(r.reason, ''), r.attempts, coalesce(r.account_ids, '{}'), a.size FROM accepted a "
            "JOIN recipient r ON r.partition = a.partition AND r.accepted_id = a.accepted_id "
            "WHERE a.received_at >= greatest($1, now() - make_interval(days => $2)) "
            "AND ($3::bigint IS NULL OR a.from_hash = $3) AND ($4::bigint IS NULL OR r.to_hash = $4) "
            "ORDER BY a.received_at DESC, r.accepted_id, r.recipient_no LIMIT $5",
            since, self._core.settings.keep_accepted_days, from_hash, to_hash, limit,
        )  # fmt: skip
        await self._core.cold.execute(
            "/* cold:store.audit */ INSERT INTO audit (partition, audit_id, caller, action, from_hash, to_hash, since, found) "
            "VALUES ($1, $2, $3, 'trace', $4, $5, $6, $7)",
            0, new_row_id(), caller, from_hash, to_hash, since, len(rows),
        )  # fmt: skip
        return [Story(*row.values()) for row in rows]
