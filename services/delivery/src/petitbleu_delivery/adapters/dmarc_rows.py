"""What DMARC said of mail that came in, in PostgreSQL until its report is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Final, NamedTuple

import asyncpg

_PARTITIONS: Final = 1024
_ADD: Final = """/* hot:delivery.dmarc_add */
INSERT INTO dmarc_row (partition, day, domain, row_key, sealed, messages)
SELECT * FROM unnest($1::smallint[], $2::date[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[])
ON CONFLICT (partition, day, domain, row_key) DO UPDATE SET messages = dmarc_row.messages + excluded.messages"""
_DUE: Final = """/* cold:delivery.dmarc_due */
SELECT DISTINCT day, domain FROM dmarc_row WHERE day < $1 ORDER BY day, domain LIMIT $2"""
_ROWS: Final = """/* cold:delivery.dmarc_rows */
SELECT sealed, messages FROM dmarc_row WHERE partition = $1 AND day = $2 AND domain = $3
ORDER BY messages DESC, row_key LIMIT $4"""
_DROP: Final = """/* cold:delivery.dmarc_drop */
DELETE FROM dmarc_row WHERE partition = $1 AND day = $2 AND domain = $3"""


class DmarcRow(NamedTuple):
    """A row: messages of a day that were alike."""

    day: date
    domain: str
    key: bytes
    sealed: bytes
    messages: int


def partition_of_domain(domain: str) -> int:
    """Return the partition of a policy's domain."""
    return int.from_bytes(sha256(domain.encode()).digest()[:2]) % _PARTITIONS


class DmarcRows:
    """The table."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def add(self, rows: Sequence[DmarcRow]) -> None:
        """Add counts; no two of the rows are the same."""
        # in one order, so that two processes never wait for each other
        ordered = sorted((partition_of_domain(row.domain), *row) for row in rows)
        if ordered:
            await self._pool.execute(_ADD, *[list(column) for column in zip(*ordered, strict=True)])

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        """Days before this one and the domains of which there are rows, the oldest first."""
        return [(row["day"], row["domain"]) for row in await self._pool.fetch(_DUE, before, limit)]

    async def rows(self, day: date, domain: str, limit: int) -> list[tuple[bytes, int]]:
        """What is sealed of a domain's day, with its counts, the largest first."""
        found = await self._pool.fetch(_ROWS, partition_of_domain(domain), day, domain, limit)
        return [(row["sealed"], row["messages"]) for row in found]

    async def drop(self, day: date, domain: str) -> None:
        """Forget a domain's day."""
        await self._pool.execute(_DROP, partition_of_domain(domain), day, domain)
