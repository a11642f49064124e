"""Migrations of a database that is in use: they wait for locks in short turns, so that nobody waits long behind them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.integration.conftest import Backends

from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.postgres import migrate, open_pool

READ = "/* cold:test */ SELECT count(*) FROM kept"
HELD_SECONDS = 6.0


@pytest.fixture
async def pool(backends: Backends, store_schema: None) -> AsyncIterator[asyncpg.Pool[Any]]:
    opened = await open_pool(backends.environment("store")["PETITBLEU_PG_DSN"], "store", 4)
    await opened.execute("/* cold:test */ CREATE TABLE kept (id int)")
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_wider.sql").write_text("ALTER TABLE kept ADD COLUMN more int;")
    return tmp_path


@contextlib.asynccontextmanager
async def held(pool: asyncpg.Pool[Any]) -> AsyncIterator[None]:
    """A transaction that read the table and is not over."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval(READ)
        yield


async def test_a_migration_waits_for_a_long_transaction_and_nobody_waits_behind_it(
    pool: asyncpg.Pool[Any], folder: Path
) -> None:
    now = asyncio.get_running_loop().time
    waits: list[float] = []
    async with held(pool):
        migration = asyncio.create_task(migrate(pool, "store", folder))
        end = now() + HELD_SECONDS
        while now() < end:
            began = now()
            assert await pool.fetchval(READ) == 0
            waits.append(now() - began)
            await asyncio.sleep(0.05)
        assert not migration.done()
    assert await migration == ["0001_wider.sql"]
    assert max(waits) < 3, "a reader waits for one turn of the migration at most"
    assert len(waits) > 20, "between its turns they are answered at once"
    assert await pool.fetchval("/* cold:test */ SELECT count(more) FROM kept") == 0
    assert await migrate(pool, "store", folder) == []


async def test_a_migration_that_never_gets_its_lock_is_named_and_changes_nothing(
    pool: asyncpg.Pool[Any], folder: Path
) -> None:
    async with held(pool):
        with pytest.raises(StartupError, match=r"0001_wider\.sql"):
            await migrate(pool, "store", folder, lock_seconds=1)
        with pytest.raises(asyncpg.UndefinedColumnError):
            await pool.fetchval("/* cold:test */ SELECT count(more) FROM kept")
    # nothing is left locked by the one that gave up
    assert await migrate(pool, "store", folder) == ["0001_wider.sql"]
