"""What tenants want done with mail that comes in, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from petitbleu_delivery.domain.inbound import NO_POLICY, InboundPolicy, Measure, SaidPolicy
from petitbleu_kit.ids import partition_of_account

if TYPE_CHECKING:
    import asyncpg

READ: Final = """/* hot:delivery.inbound_policies */ SELECT p.tenant_id, p.reject, p.quarantine, p.listed, p.spam, p.junk_points, p.refuse_points
FROM inbound_policy p JOIN unnest($1::smallint[], $2::bigint[]) AS g (partition, tenant_id)
    ON p.partition = g.partition AND p.tenant_id = g.tenant_id
WHERE p.partition = ANY($1::smallint[])"""
WRITE: Final = """/* cold:delivery.inbound_policy_set */ INSERT INTO inbound_policy AS p
    (partition, tenant_id, reject, quarantine, listed, spam, junk_points, refuse_points)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (partition, tenant_id) DO UPDATE SET reject = $3, quarantine = $4, listed = $5, spam = $6, junk_points = $7,
    refuse_points = $8, changed_at = now() WHERE p.partition = $1"""
DELETE: Final = (
    "/* cold:delivery.inbound_policy_unset */ DELETE FROM inbound_policy WHERE partition = $1 AND tenant_id = $2"
)
LIST: Final = """/* cold:delivery.inbound_policy_list */ SELECT tenant_id, reject, quarantine, listed, spam, junk_points, refuse_points,
    changed_at FROM inbound_policy ORDER BY changed_at DESC LIMIT $1"""


def _policy(row: asyncpg.Record) -> InboundPolicy:
    return InboundPolicy(
        Measure(row["reject"]), Measure(row["quarantine"]), Measure(row["listed"]), Measure(row["spam"]),
        row["junk_points"], row["refuse_points"],
    )  # fmt: skip


class InboundPolicyRows:
    """Tenants' policies."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def read(self, tenant_ids: Iterable[int]) -> dict[int, InboundPolicy]:
        """Return what is said of tenants; those of which nothing is said are left out."""
        wanted = list(set(tenant_ids))
        rows = await self._pool.fetch(READ, [partition_of_account(one) for one in wanted], wanted)
        return {row["tenant_id"]: _policy(row) for row in rows}

    async def write(self, tenant_id: int, policy: InboundPolicy) -> None:
        """Say it anew as a whole; nothing said leaves no row."""
        partition = partition_of_account(tenant_id)
        if policy == NO_POLICY:
            await self._pool.execute(DELETE, partition, tenant_id)
        else:
            await self._pool.execute(WRITE, partition, tenant_id, *policy)

    async def list(self, limit: int) -> list[SaidPolicy]:
        """Return the tenants of which something is said, the latest first."""
        return [
            SaidPolicy(row["tenant_id"], _policy(row), row["changed_at"].timestamp())
            for row in await self._pool.fetch(LIST, limit)
        ]
