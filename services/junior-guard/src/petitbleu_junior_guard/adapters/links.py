"""The port `Links` on PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters.connection import Pool, or_away
from petitbleu_junior_guard.ports import Actor
from petitbleu_kit.ids import partition_of_account

_KEEP: Final = """/* cold:junior-guard.link_keep */
INSERT INTO alert_link (partition, guardian_account_id, digest, account_id, ends_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partition, guardian_account_id, digest) DO NOTHING"""

# Whoever is a guardian no more, or of another tenant, has no link.
_USE: Final = """/* cold:junior-guard.link_use */
UPDATE alert_link l SET used_at = $4 WHERE l.partition = $1 AND l.guardian_account_id = $2 AND l.digest = $3
    AND l.used_at IS NULL AND l.ends_at > $4 RETURNING l.account_id"""
_STILL: Final = """/* cold:junior-guard.link_guardian */
SELECT EXISTS (SELECT FROM guardian g JOIN child c ON c.partition = g.partition AND c.account_id = g.account_id
    WHERE g.partition = $1 AND g.account_id = $2 AND g.guardian_account_id = $3 AND c.tenant_id = $4)"""

_PRUNE: Final = "/* cold:junior-guard.links_gone */ DELETE FROM alert_link WHERE ends_at < $1"


class PostgresLinks:
    """Keeps links."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def keep(self, guardian_id: int, digest: bytes, account_id: int, ends_at: datetime) -> None:
        """Keep a link; a repeat changes nothing, one that was used stays used."""
        await self._pool.execute(
            _KEEP, partition_of_account(guardian_id), guardian_id, digest, account_id, ends_at
        )  # fmt: skip

    @or_away
    async def use(self, actor: Actor, digest: bytes, now: datetime) -> int | None:
        """Use a guardian's link up; the child, None when there is no such link, or none any more."""
        account_id: int | None = await self._pool.fetchval(
            _USE, partition_of_account(actor.party), actor.party, digest, now
        )
        if account_id is None:
            return None
        still = await self._pool.fetchval(
            _STILL, partition_of_account(account_id), account_id, actor.party, actor.tenant_id
        )
        return account_id if still else None

    @or_away
    async def prune(self, now: datetime) -> None:
        """Forget links that are over."""
        await self._pool.execute(_PRUNE, now)
