"""What an operator says of how much accounts and tenants may send, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from petitbleu_delivery.domain.permit_terms import NO_TERMS, Scope, Terms
from petitbleu_kit.ids import partition_of_account

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Executor: TypeAlias = (
        "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
    )

READ: Final = """/* hot:delivery.permit_terms */ SELECT hour, day, suspended, coalesce(slowed_until > now(), false) AS slowed FROM permit_terms
WHERE partition = $1 AND scope = $2 AND subject_id = $3"""
READ_ALL: Final = """/* hot:delivery.permit_terms_all */ SELECT t.scope, t.subject_id, t.hour, t.day, t.suspended,
    coalesce(t.slowed_until > now(), false) AS slowed FROM permit_terms t
JOIN unnest($1::smallint[], $2::smallint[], $3::bigint[]) AS g (partition, scope, subject_id)
    ON t.partition = g.partition AND t.scope = g.scope AND t.subject_id = g.subject_id
WHERE t.partition = ANY($1::smallint[])"""
LIMIT: Final = """/* hot:delivery.permit_terms_limit */ INSERT INTO permit_terms AS t (partition, scope, subject_id, hour, day)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partition, scope, subject_id) DO UPDATE SET hour = $4, day = $5, changed_at = now() WHERE t.partition = $1
RETURNING hour, day, suspended, coalesce(slowed_until > now(), false) AS slowed"""
SUSPEND: Final = """/* hot:delivery.permit_terms_suspend */ INSERT INTO permit_terms AS t (partition, scope, subject_id, suspended)
VALUES ($1, $2, $3, $4)
ON CONFLICT (partition, scope, subject_id) DO UPDATE SET suspended = $4, changed_at = now() WHERE t.partition = $1
RETURNING hour, day, suspended, coalesce(slowed_until > now(), false) AS slowed"""
LIST: Final = """/* cold:delivery.permit_terms_list */ SELECT scope, subject_id, hour, day, suspended, changed_at,
    coalesce(slowed_until > now(), false) AS slowed FROM permit_terms
WHERE hour IS NOT NULL OR day IS NOT NULL OR suspended OR slowed_until > now() ORDER BY changed_at DESC LIMIT $1"""

SUSPENDED: Final = (
    """/* cold:delivery.permit_terms_suspended */ SELECT scope, subject_id FROM permit_terms WHERE suspended"""
)


class Said(NamedTuple):
    """Terms of somebody, and since when, in Unix seconds."""

    scope: Scope
    subject_id: int
    terms: Terms
    changed_at: float


def _terms(row: asyncpg.Record | None) -> Terms:
    return NO_TERMS if row is None else Terms(row["hour"], row["day"], row["suspended"], row["slowed"])


async def terms_of_all(executor: Executor, subjects: Iterable[tuple[Scope, int]]) -> dict[tuple[Scope, int], Terms]:
    """Return what is said of several; those of whom nothing is said are left out."""
    wanted = list(set(subjects))
    rows = await executor.fetch(
        READ_ALL, [partition_of_account(subject_id) for _, subject_id in wanted], [scope.value for scope, _ in wanted],
        [subject_id for _, subject_id in wanted],
    )  # fmt: skip
    return {(Scope(row["scope"]), row["subject_id"]): _terms(row) for row in rows}


class PermitTermsRows:
    """An operator's terms."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def read(self, scope: Scope, subject_id: int) -> Terms:
        """Return what is said of somebody."""
        return _terms(await self._pool.fetchrow(READ, partition_of_account(subject_id), scope.value, subject_id))

    async def limit(self, scope: Scope, subject_id: int, hour: int | None, day: int | None) -> Terms:
        """Set both limits, None for what the plan says."""
        place = (partition_of_account(subject_id), scope.value, subject_id)
        return _terms(await self._pool.fetchrow(LIMIT, *place, hour, day))

    async def suspend(self, scope: Scope, subject_id: int, *, suspended: bool) -> Terms:
        """Let somebody send nothing, or again."""
        place = (partition_of_account(subject_id), scope.value, subject_id)
        return _terms(await self._pool.fetchrow(SUSPEND, *place, suspended))

    async def suspended(self) -> frozenset[tuple[Scope, int]]:
        """Return all who may send nothing."""
        return frozenset((Scope(row["scope"]), row["subject_id"]) for row in await self._pool.fetch(SUSPENDED))

    async def list(self, limit: int) -> list[Said]:
        """Return whom something is said of, the latest first."""
        return [
            Said(Scope(row["scope"]), row["subject_id"], _terms(row), row["changed_at"].timestamp())
            for row in await self._pool.fetch(LIST, limit)
        ]
