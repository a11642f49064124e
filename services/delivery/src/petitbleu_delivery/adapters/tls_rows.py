"""What TLS was like with servers of domains that ask for reports, in PostgreSQL until the report is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Final, NamedTuple

import asyncpg

from petitbleu_delivery.adapters.dmarc_rows import partition_of_domain

_ADD: Final = """/* hot:delivery.tls_add */
INSERT INTO tls_row (partition, day, domain, row_key, said, sessions)
SELECT * FROM unnest($1::smallint[], $2::date[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[])
ON CONFLICT (partition, day, domain, row_key) DO UPDATE SET sessions = tls_row.sessions + excluded.sessions"""
_DUE: Final = """/* cold:delivery.tls_due */
SELECT DISTINCT day, domain FROM tls_row WHERE day < $1 ORDER BY day, domain LIMIT $2"""
_HOLD: Final = """/* cold:delivery.tls_hold */
SELECT said, sessions FROM tls_row WHERE partition = $1 AND day = $2 AND domain = $3
ORDER BY sessions DESC, row_key LIMIT $4 FOR UPDATE SKIP LOCKED"""
_DROP: Final = """/* cold:delivery.tls_drop */
DELETE FROM tls_row WHERE partition = $1 AND day = $2 AND domain = $3"""


class TlsRow(NamedTuple):
    """A row: sessions of a day with servers of a domain that were alike."""

    day: date
    domain: str
    key: bytes
    said: bytes
    sessions: int


class Held:
    """A domain's day in hand: what is said with its counts, the largest first; forgotten at the end when `done` is set."""

    def __init__(self, rows: Sequence[tuple[bytes, int]]) -> None:
        self.rows = rows
        self.done = False


class TlsRows:
    """The table."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def add(self, rows: Sequence[TlsRow]) -> None:
        """Add counts; no two of the rows are the same."""
        # in one order, so that two processes never wait for each other
        ordered = sorted((partition_of_domain(row.domain), *row) for row in rows)
        if ordered:
            await self._pool.execute(_ADD, *[list(column) for column in zip(*ordered, strict=True)])

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        """Days before this one and the domains of which there are rows, the oldest first."""
        return [(row["day"], row["domain"]) for row in await self._pool.fetch(_DUE, before, limit)]

    @asynccontextmanager
    async def hold(self, day: date, domain: str, limit: int) -> AsyncIterator[Held]:
        """Take a domain's day in hand; it has no rows when another process has it. What fails, or dies, gives it back."""
        partition = partition_of_domain(domain)
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetch(_HOLD, partition, day, domain, limit)
            held = Held([(row["said"], row["sessions"]) for row in found])
            yield held
            if held.done:
                await connection.execute(_DROP, partition, day, domain)
