"""DKIM keys in PostgreSQL. Each change is a compare-and-set on the state, so that processes may do the same at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from petitbleu_delivery.domain.domain_keys import Algorithm, DomainKey, KeyState, KeyTimes
from petitbleu_kit.postgres import in_transaction

_COLUMNS: Final = "domain, selector, algorithm, state, public_key, made_at, since"
_OF_DOMAIN: Final = f"""/* reference:delivery.dkim_keys */
SELECT {_COLUMNS} FROM dkim_key WHERE domain = $1 ORDER BY made_at DESC, algorithm, selector"""
_SIGNING: Final = f"""/* reference:delivery.dkim_signing */
SELECT {_COLUMNS}, private_key FROM dkim_key WHERE domain = $1 AND state = 3 ORDER BY algorithm"""
_INSERT: Final = """/* reference:delivery.dkim_insert */
INSERT INTO dkim_key (domain, selector, algorithm, state, private_key, public_key, made_at, since)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING RETURNING true"""
_MOVE: Final = """/* reference:delivery.dkim_move */
UPDATE dkim_key SET state = $4::smallint, since = $5, private_key = CASE WHEN $4::smallint = 5 THEN NULL ELSE private_key END
WHERE domain = $1 AND selector = $2 AND state = $3 RETURNING true"""
_RETIRE_OTHERS: Final = """/* reference:delivery.dkim_retire_others */
UPDATE dkim_key SET state = 4, since = $3 WHERE domain = $1 AND algorithm = $2 AND state = 3"""
_DUE: Final = """/* reference:delivery.dkim_due */
SELECT DISTINCT domain FROM dkim_key
WHERE domain > $1 AND (state IN (1, 2) OR (state = 3 AND since < $2) OR (state = 4 AND since < $3)) ORDER BY domain LIMIT $4"""


def _key(row: asyncpg.Record) -> DomainKey:
    return DomainKey(
        row["domain"], row["selector"], Algorithm(row["algorithm"]), KeyState(row["state"]), row["public_key"],
        row["made_at"], row["since"],
    )  # fmt: skip


class DomainRows:
    """The table of keys."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def keys(self, domain: str) -> list[DomainKey]:
        """All keys of a domain, the newest first."""
        return [_key(row) for row in await self._pool.fetch(_OF_DOMAIN, domain)]

    async def signing(self, domain: str) -> list[tuple[DomainKey, bytes]]:
        """The active keys with their sealed private halves, RSA first."""
        return [(_key(row), row["private_key"]) for row in await self._pool.fetch(_SIGNING, domain)]

    async def add(self, key: DomainKey, sealed: bytes) -> bool:
        """Add a key; False when another process was there first."""
        done = await self._pool.fetchval(
            _INSERT, key.domain, key.selector, int(key.algorithm), int(key.state), sealed, key.public, key.made
        )
        return bool(done)

    async def move(self, key: DomainKey, state: KeyState, now: datetime) -> bool:
        """Bring a key to its next state; False when it is no more in the one that it had."""
        return bool(await self._pool.fetchval(_MOVE, key.domain, key.selector, int(key.state), int(state), now))

    async def activate(self, key: DomainKey, now: datetime) -> bool:
        """Sign with a key that waits, and retire the one that signs, in one commit; False when it waits no more."""

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
            await connection.execute(_RETIRE_OTHERS, key.domain, int(key.algorithm), now)
            done = await connection.fetchval(_MOVE, key.domain, key.selector, int(key.state), int(KeyState.ACTIVE), now)
            if not done:
                raise _OvertakenError
            return True

        try:
            return await in_transaction(self._pool, work)
        except (_OvertakenError, asyncpg.UniqueViolationError):
            return False

    async def due(self, after: str, now: datetime, times: KeyTimes, limit: int) -> Sequence[str]:
        """Domains behind a name, at most so many, of whose keys something may be due."""
        rows = await self._pool.fetch(_DUE, after, now - times.rotate, now - times.retire, limit)
        return [row["domain"] for row in rows]


class _OvertakenError(Exception):
    """Another process moved the key: nothing is changed."""
