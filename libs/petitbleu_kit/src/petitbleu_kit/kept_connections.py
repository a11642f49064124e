"""Connections kept for short reads: a loan from asyncpg's pool (a proxy, a task, a shield, timers) costs more than the statement."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import asyncpg
import asyncpg.pool

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Any]"

_MOST: Final = 2
_STATEMENTS: Final = 1000
"""After so many a connection goes back to its pool, whose rules on the life of connections then apply."""


class KeptConnections:
    """Runs single statements, each by itself and outside of a transaction, as `Pool.fetch` and `Pool.fetchrow` do.

    At most two connections of the pool are kept, and never its last one; what comes while they are busy goes to the pool. One on
    which something failed goes back to the pool at once, which knows what to do with it.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._idle: list[tuple[Connection, int]] = []
        self._kept = 0
        self._most = min(_MOST, pool.get_max_size() - 1)

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a statement."""
        loan = await self._take()
        if loan is None:
            return await self._pool.fetch(statement, *values)
        connection, used = loan
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *values)
        except BaseException:
            await self._give_back(connection)
            raise
        if used < _STATEMENTS and self._most:
            self._idle.append((connection, used + 1))
        else:
            await self._give_back(connection)
        return rows

    async def fetchrow(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Return the first row of a statement that has few, None when it has none."""
        rows = await self.fetch(statement, *values)
        return rows[0] if rows else None

    async def _take(self) -> tuple[Connection, int] | None:
        while self._idle:
            loan = self._idle.pop()
            if not _closed(loan[0]):
                return loan
            await self._give_back(loan[0])
        if self._kept >= self._most:
            return None
        self._kept += 1
        try:
            return await self._pool.acquire(), 1
        except BaseException:
            self._kept -= 1
            raise

    async def _give_back(self, connection: Connection) -> None:
        self._kept -= 1
        await self._pool.release(connection)

    async def close(self) -> None:
        """Give all back, so that the pool can be closed; reads go to the pool from here on."""
        self._most = 0
        while self._idle:
            await self._give_back(self._idle.pop()[0])


def _closed(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool took it back when its server went away
        return True
