"""The port `PendingChanges` on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, or_away
from petitbleu_junior_guard.adapters.correspondents import guarded_by
from petitbleu_junior_guard.adapters.news import tell
from petitbleu_junior_guard.domain.alerts import NewsKind
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, PendingRow
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.postgres import in_transaction

MAX_PENDING: Final = 50
_LEASE: Final = timedelta(minutes=1)

_COUNT: Final = (
    "/* cold:junior-guard.pending_count */ SELECT count(*) FROM pending_change WHERE partition = $1 AND account_id = $2"
)

_KEEP: Final = """/* cold:junior-guard.pending_keep */
INSERT INTO pending_change AS p (partition, account_id, change_id, guardian_account_id, tenant_id, kind, subject, digest, sealed,
    sealed_about, asked_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (partition, account_id, guardian_account_id, digest) DO UPDATE SET due_at = p.due_at
RETURNING due_at, change_id = $3 AS is_new"""

_LIST: Final = """/* cold:junior-guard.pending_list */
SELECT change_id, guardian_account_id, tenant_id, kind, subject, digest, sealed, sealed_about, asked_at, due_at
FROM pending_change WHERE partition = $1 AND account_id = $2 ORDER BY due_at, change_id"""

_CANCEL: Final = """/* cold:junior-guard.pending_cancel */
DELETE FROM pending_change WHERE partition = $1 AND account_id = $2 AND change_id = $3 RETURNING kind"""

_SETTLE: Final = """/* cold:junior-guard.pending_settle */
DELETE FROM pending_change WHERE partition = $1 AND account_id = $2 AND subject = $3
    AND ($4::bigint IS NULL OR guardian_account_id = $4)"""

# Upkeep looks at all partitions, by an index of what is due. The lease is the due time itself.
_DUE: Final = """/* cold:junior-guard.pending_due */
UPDATE pending_change SET due_at = $2 WHERE due_at <= $1 AND (partition, account_id, change_id) IN
    (SELECT partition, account_id, change_id FROM pending_change WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
RETURNING account_id, change_id, guardian_account_id, tenant_id, kind, subject, digest, sealed, sealed_about, asked_at, due_at"""


class PostgresPending:
    """Keeps changes that wait."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def keep(self, account_id: int, actor: Actor, row: PendingRow) -> datetime:
        """Keep a change, tell the guardians of it, and say when it will be done; a repeat is the same change."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> datetime:
            await guarded_by(connection, account_id, actor)
            if await connection.fetchval(_COUNT, partition, account_id) >= MAX_PENDING:
                raise GuardError(Fault.TOO_MANY)
            kept = await connection.fetchrow(
                _KEEP, partition, account_id, new_row_id(), row.guardian_id, row.tenant_id, row.kind, row.subject, row.digest,
                row.sealed, row.sealed_about, row.asked_at, row.due_at,
            )  # fmt: skip
            if kept is None:
                raise AssertionError("an upsert returns its row")
            if kept["is_new"]:
                await audit(connection, account_id, actor.name, "waits", row.kind)
                await tell(connection, account_id, NewsKind.PENDING, row.digest, row.sealed_about, row.asked_at)
            due: datetime = kept["due_at"]
            return due

        return await in_transaction(self._pool, work)

    @or_away
    async def list_for(self, account_id: int, actor: Actor) -> list[PendingRow]:
        """Give what waits for a child to one of its guardians."""

        async def work(connection: Connection) -> list[PendingRow]:
            await guarded_by(connection, account_id, actor)
            rows = await connection.fetch(_LIST, partition_of_account(account_id), account_id)
            return [PendingRow(*row.values()) for row in rows]

        return await in_transaction(self._pool, work)

    @or_away
    async def cancel(self, account_id: int, actor: Actor, change_id: int) -> None:
        """Forget a change that waits, as a guardian."""

        async def work(connection: Connection) -> None:
            await guarded_by(connection, account_id, actor)
            kind = await connection.fetchval(_CANCEL, partition_of_account(account_id), account_id, change_id)
            if kind is None:
                raise GuardError(Fault.NO_CHANGE)
            await audit(connection, account_id, actor.name, "cancelled", kind)

        await in_transaction(self._pool, work)

    @or_away
    async def settle(self, account_id: int, subject: bytes, party: int | None) -> None:
        """Forget what waits about a subject, of one guardian or (None) of all."""
        await self._pool.execute(_SETTLE, partition_of_account(account_id), account_id, subject, party)

    @or_away
    async def due(self, now: datetime, most: int) -> list[tuple[int, PendingRow]]:
        """Lease changes that have waited long enough, with their children."""
        found = []
        for row in await self._pool.fetch(_DUE, now, now + _LEASE, most):
            account_id, *values = row.values()
            found.append((account_id, PendingRow(*values)))
        return found

    @or_away
    async def done(self, account_id: int, change_id: int, *, void: bool) -> None:
        """Forget a change that was done, or came to nothing."""

        async def work(connection: Connection) -> None:
            kind = await connection.fetchval(_CANCEL, partition_of_account(account_id), account_id, change_id)
            if kind is not None and void:
                await audit(connection, account_id, "rule", "void", kind)

        await in_transaction(self._pool, work)
