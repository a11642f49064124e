"""Suppressed addresses in the database: keyed hashes, by account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from petitbleu_delivery.service.bounces.suppressions import Suppressed
from petitbleu_kit.ids import PARTITIONS, partition_of_account

_ANY: Final = """/* hot:delivery.suppression_any */ SELECT EXISTS (
SELECT FROM suppression WHERE partition = $1 AND account_id = $2)"""
_FIND: Final = """/* hot:delivery.suppression_find */ SELECT address_key, until_at, status FROM suppression
WHERE partition = $1 AND account_id = $2 AND address_key = ANY($3::bytea[]) AND until_at > now()"""
# One for whom the time is over was tried again: four times as long as before.
STRIKE: Final = """/* hot:delivery.suppression_strike */ INSERT INTO suppression AS s (partition, account_id, address_key, refusals,
    status, until_at)
SELECT $1, $2, key, 1, status, now() + make_interval(secs => least($5::float8, $6::float8))
FROM unnest($3::bytea[], $4::text[]) AS given (key, status) ORDER BY key
ON CONFLICT (partition, account_id, address_key) DO UPDATE SET refusals = least(s.refusals + 1, 1000), status = excluded.status,
    until_at = now() + make_interval(secs => least($5::float8 * power(4, least(s.refusals, 20)), $6::float8))
WHERE s.partition = $1 AND s.until_at <= now()"""
COMPLAINT: Final = "complaint"
"""The status of an address whose owner complained."""
COMPLAIN: Final = f"""/* hot:delivery.suppression_complain */ INSERT INTO suppression AS s (partition, account_id, address_key, refusals,
    status, until_at)
SELECT $1, $2, key, 1, '{COMPLAINT}', now() + make_interval(secs => $4::float8) FROM unnest($3::bytea[]) AS given (key) ORDER BY key
ON CONFLICT (partition, account_id, address_key) DO UPDATE SET status = excluded.status, until_at = greatest(s.until_at, excluded.until_at)
WHERE s.partition = $1"""
_TAKEN: Final = f"""/* hot:delivery.suppression_taken */ DELETE FROM suppression
WHERE partition = $1 AND account_id = $2 AND address_key = ANY($3::bytea[]) AND status <> '{COMPLAINT}'"""
_LIFT: Final = """/* hot:delivery.suppression_lift */ WITH gone AS (
DELETE FROM suppression WHERE partition = $1 AND account_id = $2 AND address_key = ANY($3::bytea[]) RETURNING 1)
SELECT count(*) FROM gone"""
_LIFT_ALL: Final = """/* cold:delivery.suppression_lift_all */ WITH gone AS (
DELETE FROM suppression WHERE partition = $1 AND account_id = $2 RETURNING 1) SELECT count(*) FROM gone"""
_LIST: Final = """/* cold:delivery.suppression_list */ SELECT address_key, refusals, status, until_at FROM suppression
WHERE partition = $1 AND account_id = $2 AND until_at > now() ORDER BY until_at DESC, address_key LIMIT $3"""
# So long after its time is over an address begins again from the first.
_EXPIRE: Final = """/* cold:delivery.suppression_expire */ DELETE FROM suppression
WHERE partition = ANY($1::smallint[]) AND until_at < now() - interval '30 days'"""
_SWEPT: Final = 64


class Listed(NamedTuple):
    """A suppressed address, for the operator; `until` in Unix seconds."""

    key: bytes
    refusals: int
    status: str
    until: float


class SuppressionRows:
    """Suppressed addresses.

    Args:
        pool: delivery's database.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def any(self, account_id: int) -> bool:
        """Whether anything is known of addresses that an account wrote to."""
        return bool(await self._pool.fetchval(_ANY, partition_of_account(account_id), account_id))

    async def find(self, account_id: int, keys: Sequence[bytes]) -> list[Suppressed]:
        """Return those of the addresses that are suppressed now."""
        rows = await self._pool.fetch(_FIND, partition_of_account(account_id), account_id, list(keys))
        return [Suppressed(row["address_key"], row["until_at"].timestamp(), row["status"] == COMPLAINT) for row in rows]

    async def strike(self, account_id: int, refused: Mapping[bytes, str], first: float, longest: float) -> None:
        """Suppress addresses; those that are suppressed already stay as they are."""
        await self._pool.execute(
            STRIKE, partition_of_account(account_id), account_id, list(refused), list(refused.values()), first, longest
        )  # fmt: skip

    async def lift(self, account_id: int, keys: Sequence[bytes]) -> int:
        """Forget addresses; how many were known."""
        return int(await self._pool.fetchval(_LIFT, partition_of_account(account_id), account_id, list(keys)))

    async def taken(self, account_id: int, keys: Sequence[bytes]) -> None:
        """Forget that addresses did not exist; complaints stay."""
        await self._pool.execute(_TAKEN, partition_of_account(account_id), account_id, list(keys))

    async def lift_all(self, account_id: int) -> int:
        """Forget all of an account; how many were known."""
        return int(await self._pool.fetchval(_LIFT_ALL, partition_of_account(account_id), account_id))

    async def list(self, account_id: int, limit: int) -> list[Listed]:
        """Return an account's, those that last longest first."""
        rows = await self._pool.fetch(_LIST, partition_of_account(account_id), account_id, limit)
        return [Listed(row["address_key"], row["refusals"], row["status"], row["until_at"].timestamp()) for row in rows]

    async def expire(self) -> None:
        """Forget those that were refused for the last time long ago."""
        for start in range(0, PARTITIONS, _SWEPT):
            await self._pool.execute(_EXPIRE, list(range(start, start + _SWEPT)))
