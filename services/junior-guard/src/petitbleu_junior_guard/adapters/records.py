"""The port `Records` on PostgreSQL: what a check reads and records. Every statement names its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, or_away
from petitbleu_junior_guard.domain.rules import Item, Knowledge, Level, Reason, Verdict
from petitbleu_junior_guard.ports import Ruling
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

_KNOWLEDGE: Final = """/* hot:junior-guard.knowledge */
SELECT c.level, coalesce(s.approved_until > $6, false) AS approved, coalesce(s.family_until > $6, false) AS family,
    coalesce(s.grouped_until > $6, false) AS grouped, coalesce(s.is_added, false) AS added, coalesce(s.is_refused, false) AS refused,
    EXISTS (SELECT 1 FROM standing t WHERE t.partition = i.partition AND t.account_id = i.account_id
        AND t.skeleton_hash = i.skeleton_hash AND t.address_hash <> i.address_hash AND t.partition = ANY($1) AND NOT t.is_refused
        AND (t.is_added OR greatest(t.approved_until, t.family_until, t.grouped_until) > $6)) AS alike, d.verdict AS final
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[]) WITH ORDINALITY
    AS i (partition, account_id, accepted_id, address_hash, skeleton_hash, no)
LEFT JOIN child c ON c.partition = i.partition AND c.account_id = i.account_id AND c.partition = ANY($1)
LEFT JOIN standing s ON s.partition = i.partition AND s.account_id = i.account_id
    AND s.address_hash = i.address_hash AND s.partition = ANY($1)
LEFT JOIN decision d ON d.partition = i.partition AND d.account_id = i.account_id AND d.accepted_id = i.accepted_id
    AND d.decided_by <> 'rule' AND d.partition = ANY($1)
ORDER BY i.no"""

_RECORD: Final = """/* hot:junior-guard.record */
INSERT INTO decision AS d (partition, account_id, accepted_id, verdict, reason, decided_by)
SELECT partition, account_id, accepted_id, verdict, reason, 'rule'
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::smallint[], $5::text[])
    AS i (partition, account_id, accepted_id, verdict, reason)
ORDER BY 1, 2, 3
ON CONFLICT (partition, account_id, accepted_id)
DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, decided_at = now()
WHERE d.decided_by = 'rule' AND d.partition = excluded.partition AND (d.verdict, d.reason) <> (excluded.verdict, excluded.reason)"""


class PostgresRecords:
    """Knows correspondents and keeps decisions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def knowledge(
        self, items: Sequence[Item], hashes: Sequence[bytes], skeletons: Sequence[bytes], now: datetime
    ) -> list[Knowledge]:
        """Say what is known of each item."""
        rows = await self._pool.fetch(
            _KNOWLEDGE, [partition_of_account(item.account_id) for item in items], [item.account_id for item in items],
            [UUID(bytes=item.accepted_id) for item in items], list(hashes), list(skeletons), now, timeout=5,
        )  # fmt: skip
        return [
            Knowledge(
                None if level is None else Level(level), approved, family, grouped, added, refused, alike,
                None if final is None else Verdict(final),
            )
            for level, approved, family, grouped, added, refused, alike, final in rows
        ]  # fmt: skip

    @or_away
    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        unique = {
            (ruling.account_id, ruling.accepted_id): ruling for ruling in rulings if ruling.reason != Reason.PERSON
        }
        if not unique:
            return
        rows = list(unique.values())
        await self._pool.execute(
            _RECORD, [partition_of_account(row.account_id) for row in rows], [row.account_id for row in rows],
            [UUID(bytes=row.accepted_id) for row in rows], [int(row.verdict) for row in rows],
            [row.reason.value for row in rows], timeout=5,
        )  # fmt: skip

    @or_away
    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now."""
        partition, accepted = partition_of_account(account_id), UUID(bytes=accepted_id)

        async def work(connection: Connection) -> Verdict | None:
            row = await connection.fetchrow(
                "/* cold:junior-guard.decision */ SELECT verdict, decided_by FROM decision "
                "WHERE partition = $1 AND account_id = $2 AND accepted_id = $3 FOR UPDATE",
                partition, account_id, accepted,
            )  # fmt: skip
            if row is None:
                return None
            if row["decided_by"] != "rule":
                return Verdict(row["verdict"])
            if row["verdict"] != Verdict.HOLD:
                return None
            await connection.execute(
                "/* cold:junior-guard.decide */ UPDATE decision SET verdict = $4, reason = $5, decided_by = $6, "
                "decided_at = now() WHERE partition = $1 AND account_id = $2 AND accepted_id = $3",
                partition, account_id, accepted, int(verdict), Reason.PERSON.value, actor,
            )  # fmt: skip
            await audit(connection, account_id, actor, verdict.name.lower(), accepted_id.hex())
            return verdict

        return await in_transaction(self._pool, work)
