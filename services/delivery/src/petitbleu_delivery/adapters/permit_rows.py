"""Counts of recipients in the database: one row an account, and a few a tenant that are added up."""

from __future__ import annotations

from typing import Final, TypeAlias

import asyncpg

from petitbleu_delivery.adapters.permit_terms_rows import terms_of
from petitbleu_delivery.domain.permit_terms import Scope, Terms
from petitbleu_delivery.domain.permits import DAY, HOUR, Counts
from petitbleu_delivery.service.permits import Decide, Tallied
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SHARES: Final = 16
"""Rows of a tenant: so many of its people are counted at once."""
_KEPT_SLOTS: Final = DAY.slots + 1

LOCK: Final = """/* hot:delivery.permit_lock */ SELECT hour_slot, hour, day_slot, day, recent FROM permit_account
WHERE partition = $1 AND account_id = $2 FOR UPDATE"""
OPEN: Final = """/* hot:delivery.permit_open */ INSERT INTO permit_account AS p (partition, account_id, hour_slot, hour, day_slot, day,
    recent) VALUES ($1, $2, $3, '{0}', $4, '{0}', '')
ON CONFLICT (partition, account_id) DO UPDATE SET recent = p.recent WHERE p.partition = $1
RETURNING hour_slot, hour, day_slot, day, recent"""
LOCK_SHARE: Final = """/* hot:delivery.permit_share_lock */ SELECT hour_slot, hour, day_slot, day FROM permit_tenant
WHERE partition = $1 AND tenant_id = $2 AND share = $3 FOR UPDATE"""
OPEN_SHARE: Final = """/* hot:delivery.permit_share_open */ INSERT INTO permit_tenant AS p (partition, tenant_id, share, hour_slot, hour,
    day_slot, day) VALUES ($1, $2, $3, $4, '{0}', $5, '{0}')
ON CONFLICT (partition, tenant_id, share) DO UPDATE SET share = p.share WHERE p.partition = $1
RETURNING hour_slot, hour, day_slot, day"""
OTHERS: Final = """/* hot:delivery.permit_shares */ SELECT hour_slot, hour, day_slot, day FROM permit_tenant
WHERE partition = $1 AND tenant_id = $2 AND share <> $3"""
WRITE: Final = """/* hot:delivery.permit_write */ UPDATE permit_account SET hour_slot = $3, hour = $4, day_slot = $5, day = $6, recent = $7
WHERE partition = $1 AND account_id = $2"""
WRITE_SHARE: Final = """/* hot:delivery.permit_share_write */ UPDATE permit_tenant SET hour_slot = $4, hour = $5, day_slot = $6, day = $7
WHERE partition = $1 AND tenant_id = $2 AND share = $3"""
# What is that old counts for nothing, whoever it was of: so do the counts of closed accounts go.
PRUNE: Final = tuple(
    f"/* cold:delivery.{table}_prune */ DELETE FROM {table} WHERE day_slot < $1"
    for table in ("permit_account", "permit_tenant")
)


class _Row:
    """A book as it stands in the rows."""

    def __init__(
        self, account: Tallied, share: Tallied, others: list[Tallied], recent: bytes, account_terms: Terms, tenant_terms: Terms
    ) -> None:  # fmt: skip
        self.account_terms = account_terms
        self.tenant_terms = tenant_terms
        self.account = account
        self.share = share
        self.others = others
        self.recent = recent


class PostgresPermits:
    """Counts by account and tenant."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def work(self, account_id: int, tenant_id: int, at_ms: int, decide: Decide) -> int:
        """Let `decide` look at the book and keep what it changed when it returns 0; return what it returned."""
        person = (partition_of_account(account_id), account_id)
        share = (partition_of_account(tenant_id), tenant_id, person[0] % SHARES)
        slots = (HOUR.slot(at_ms), DAY.slot(at_ms))

        async def whole(connection: Connection) -> int:
            # always the account before the share, so that nobody waits in a ring
            mine = await _locked(connection, LOCK, OPEN, person, slots)
            ours = await _locked(connection, LOCK_SHARE, OPEN_SHARE, share, slots)
            others = await connection.fetch(OTHERS, *share)
            book = _Row(
                _tallied(mine, at_ms), _tallied(ours, at_ms), [_tallied(row, at_ms) for row in others], mine["recent"],
                await terms_of(connection, Scope.ACCOUNT, account_id), await terms_of(connection, Scope.TENANT, tenant_id),
            )  # fmt: skip
            before = book.account
            wait = decide(book)
            if not wait and book.account is not before:
                await connection.execute(WRITE, *person, *_columns(book.account), book.recent)
                await connection.execute(WRITE_SHARE, *share, *_columns(book.share))
            return wait

        return await in_transaction(self._pool, whole)

    async def prune(self, at_ms: int) -> None:
        """Forget counts of more than a day ago."""
        for statement in PRUNE:
            await self._pool.execute(statement, DAY.slot(at_ms) - _KEPT_SLOTS)


async def _locked(
    connection: Connection, lock: str, make: str, place: tuple[int, ...], slots: tuple[int, int]
) -> asyncpg.Record:
    """Lock a row, made where there is none; the one that somebody else made meanwhile is as good."""
    row = await connection.fetchrow(lock, *place) or await connection.fetchrow(make, *place, *slots)
    if row is None:
        raise AssertionError("an insertion that returns gives a row")
    return row


def _tallied(row: asyncpg.Record, at_ms: int) -> Tallied:
    return Tallied(
        Counts(row["hour_slot"], tuple(row["hour"])), Counts(row["day_slot"], tuple(row["day"]))
    ).at(at_ms)  # fmt: skip


def _columns(tallied: Tallied) -> tuple[int, list[int], int, list[int]]:
    return tallied.hour.slot, list(tallied.hour.by_slot), tallied.day.slot, list(tallied.day.by_slot)
