"""The port `Guardianship` on PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters.connection import Connection, Pool, or_away
from petitbleu_junior_guard.adapters.correspondents import guarded_by
from petitbleu_junior_guard.adapters.families import move_level
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.ports import Actor, ChildRow, Entry
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

# A guardian's children lie in any partition; there are few, and they are asked for by people.
_CHILDREN: Final = """/* cold:junior-guard.children */
SELECT c.account_id, c.level, c.language, coalesce(c.birth_year, 0) AS year, coalesce(c.birth_month, 0) AS month,
    (SELECT array_agg(o.guardian_account_id ORDER BY o.guardian_account_id) FROM guardian o
     WHERE o.partition = c.partition AND o.account_id = c.account_id) AS guardians
FROM guardian g JOIN child c ON c.partition = g.partition AND c.account_id = g.account_id
WHERE g.guardian_account_id = $1 AND c.tenant_id = $2 ORDER BY c.account_id"""

_ENTRIES: Final = """/* cold:junior-guard.entries */
SELECT e.done_at, e.actor, e.action, e.subject, a.sealed FROM audit e
LEFT JOIN address a ON a.partition = $1 AND a.account_id = $2 AND length(e.subject) = 64 AND encode(a.address_hash, 'hex') = e.subject
WHERE e.partition = $1 AND e.account_id = $2 AND ($3::timestamptz IS NULL OR e.done_at < $3)
ORDER BY e.done_at DESC, e.audit_id LIMIT $4"""


class PostgresGuardianship:
    """What guardians see of their children."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def children(self, actor: Actor) -> list[ChildRow]:
        """Give a guardian's children."""
        return [
            ChildRow(
                row["account_id"], Level(row["level"]), row["language"], row["year"], row["month"], row["guardians"]
            )
            for row in await self._pool.fetch(_CHILDREN, actor.party, actor.tenant_id)
        ]

    @or_away
    async def move_level(self, account_id: int, level: Level, actor: Actor) -> None:
        """Move a child's level as a guardian."""

        async def work(connection: Connection) -> None:
            before = await guarded_by(connection, account_id, actor)
            await move_level(connection, account_id, before, level, actor)

        await in_transaction(self._pool, work)

    @or_away
    async def audit_of(self, account_id: int, actor: Actor, limit: int, before: datetime | None) -> list[Entry]:
        """Give the latest entries of the audit."""

        async def work(connection: Connection) -> list[Entry]:
            await guarded_by(connection, account_id, actor)
            rows = await connection.fetch(_ENTRIES, partition_of_account(account_id), account_id, before, limit)
            return [Entry(row["done_at"], row["actor"], row["action"], row["subject"], row["sealed"]) for row in rows]

        return await in_transaction(self._pool, work)
