"""Addresses from which mail leaves, and what new ones may send to whom, in PostgreSQL, shared by all processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

import asyncpg

from petitbleu_delivery.adapters.dmarc_rows import partition_of_domain

_NAMED: Final = """/* cold:delivery.source_named */ INSERT INTO source_address (address, warm)
SELECT address, NOT EXISTS (SELECT 1 FROM source_address) FROM unnest($1::text[]) AS n (address) ON CONFLICT (address) DO NOTHING"""
_WARM: Final = """/* cold:delivery.source_warm */ SELECT address FROM source_address
WHERE address = ANY($1::text[]) AND (warm OR since < now() - make_interval(days => $2))"""
# A new day begins with twice the allowance where at least half of it was used well the last time, and few complained.
_TAKE: Final = """/* hot:delivery.source_take */
INSERT INTO source_warmth AS w (partition, address, provider, day, allowance, used) VALUES ($1, $2, $3, $4, $5, 1)
ON CONFLICT (partition, address, provider) DO UPDATE SET
    used = CASE WHEN w.day < excluded.day THEN 1 ELSE w.used + 1 END,
    good = CASE WHEN w.day < excluded.day THEN 0 ELSE w.good END,
    bad = CASE WHEN w.day < excluded.day THEN 0 ELSE w.bad END,
    allowance = CASE WHEN w.day < excluded.day AND w.good * 2 >= w.allowance AND w.bad * 50 <= w.good
        THEN least(w.allowance * 2, $6) ELSE w.allowance END,
    day = excluded.day
WHERE w.partition = $1 AND (w.day < excluded.day OR w.used < w.allowance)
RETURNING allowance"""
# Three complaints that are a twentieth of the day's answers halve the allowance, at most once in an hour.
_LEARN: Final = """/* hot:delivery.source_learn */
UPDATE source_warmth w SET good = w.good + $4, bad = w.bad + $5,
    allowance = CASE WHEN s.shrinks THEN greatest(w.allowance / 2, $6) ELSE w.allowance END,
    shrunk_at = CASE WHEN s.shrinks THEN now() ELSE w.shrunk_at END
FROM (SELECT $5 > 0 AND bad + $5 >= 3 AND (bad + $5) * 20 >= good + $4
        AND (shrunk_at IS NULL OR shrunk_at < now() - interval '1 hour') AS shrinks
    FROM source_warmth WHERE partition = $1 AND address = $2 AND provider = $3) AS s
WHERE w.partition = $1 AND w.address = $2 AND w.provider = $3"""
_STATES: Final = """/* cold:delivery.source_states */ SELECT a.address, a.since, a.warm OR a.since < now() - make_interval(days => $1) AS warm,
    coalesce(w.provider, '') AS provider, coalesce(w.allowance, 0) AS allowance, coalesce(w.used, 0) AS used, coalesce(w.good, 0) AS good,
    coalesce(w.bad, 0) AS bad, w.day, w.shrunk_at
FROM source_address a LEFT JOIN source_warmth w ON w.address = a.address ORDER BY a.address, w.used DESC, w.provider LIMIT $2"""
_SET: Final = """/* cold:delivery.source_set */ UPDATE source_address SET warm = $2, since = CASE WHEN $2 THEN since ELSE now() END
WHERE address = $1 RETURNING address"""
_FORGET: Final = "/* cold:delivery.source_forget */ DELETE FROM source_warmth WHERE address = $1"


class SourceState(NamedTuple):
    """What is known of an address, and of it with one provider (empty: with none yet). Counts are of `day`."""

    address: str
    since: datetime
    warm: bool
    provider: str
    allowance: int
    used: int
    good: int
    bad: int
    day: date | None
    shrunk_at: datetime | None


class SourceRows:
    """The tables.

    Args:
        pool: The database.
        first: Letters of the first day to each provider.
        full: Letters of a day from which on an address is as an old one to that provider.
        days: After so many days an address is an old one.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], first: int = 50, full: int = 20_000, days: int = 60) -> None:
        self._pool = pool
        self._first = first
        self._full = full
        self._days = days

    async def named(self, addresses: Sequence[str]) -> None:
        """Know addresses from now on: the very first ones as old, since mail leaves by them already; later ones as new."""
        await self._pool.execute(_NAMED, list(addresses))

    async def warm(self, addresses: Sequence[str]) -> set[str]:
        """Return those that are old."""
        return {row["address"] for row in await self._pool.fetch(_WARM, list(addresses), self._days)}

    async def take(self, address: str, provider: str, day: date) -> bool | None:
        """Count a letter of a new address to a provider; None when it may send no more today, True when it is as an old one there."""
        allowance = await self._pool.fetchval(
            _TAKE, partition_of_domain(provider), address, provider, day, self._first, self._full
        )
        return None if allowance is None else allowance >= self._full

    async def learn(self, address: str, provider: str, good: int, bad: int) -> None:
        """Add what a provider answered: letters taken, and the weight of complaints."""
        floor = max(1, self._first // 5)
        await self._pool.execute(_LEARN, partition_of_domain(provider), address, provider, good, bad, floor)

    async def states(self, most: int) -> list[SourceState]:
        """Return all that is known."""
        return [SourceState(*row) for row in await self._pool.fetch(_STATES, self._days, most)]

    async def set(self, address: str, *, warm: bool) -> bool:
        """Say that an address is old, or new and begins again; False when it is not known."""
        if await self._pool.fetchval(_SET, address, warm) is None:
            return False
        if not warm:
            await self._pool.execute(_FORGET, address)
        return True
