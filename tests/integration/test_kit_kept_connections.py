"""Connections kept for reads: they are the pool's still, and whatever happens to one, the next read works."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_kit.postgres import open_pool
from petitbleu_store.bootstrap import Store

WHO = "/* cold:test */ SELECT pg_backend_pid() AS pid, $1::int AS given"
SLOW = "/* cold:test */ SELECT pg_sleep(5)"


@pytest.fixture
def kept(store: Store) -> KeptConnections:
    return store.core.reads


async def pid_of(kept: KeptConnections) -> int:
    row = await kept.fetchrow(WHO, 1)
    assert row is not None
    return int(row["pid"])


async def test_reads_one_after_the_other_use_one_connection(kept: KeptConnections) -> None:
    assert len({await pid_of(kept) for _ in range(20)}) == 1
    assert await kept.fetchrow("/* cold:test */ SELECT 1 WHERE $1", False) is None


async def test_many_reads_at_once_all_get_their_own_answer(kept: KeptConnections) -> None:
    rows = await asyncio.gather(*(kept.fetch(WHO, number) for number in range(40)))
    assert [row["given"] for (row,) in rows] == list(range(40))


async def test_a_connection_that_the_server_ended_is_replaced(store: Store, kept: KeptConnections) -> None:
    first = await pid_of(kept)
    await store.core.cold.execute("/* cold:test */ SELECT pg_terminate_backend($1)", first)
    async with asyncio.timeout(10):
        while True:  # until the end of the connection was heard a read may still meet it
            try:
                if await pid_of(kept) != first:
                    break
            except (
                asyncpg.PostgresConnectionError,
                asyncpg.InterfaceError,
                asyncpg.AdminShutdownError,
                asyncpg.InternalClientError,
            ):
                await asyncio.sleep(0.05)
    assert len({await pid_of(kept) for _ in range(5)}) == 1


async def test_a_read_that_is_given_up_or_fails_disturbs_no_other(kept: KeptConnections) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await kept.fetch(SLOW)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await kept.fetch("/* cold:test */ SELECT 1 / $1::int", 0)
    rows = await asyncio.gather(*(kept.fetch(WHO, number) for number in range(20)))
    assert [row["given"] for (row,) in rows] == list(range(20))


async def test_after_the_end_reads_go_to_the_pool_and_nothing_of_it_is_kept(
    store: Store, kept: KeptConnections
) -> None:
    slow = asyncio.create_task(kept.fetch("/* cold:test */ SELECT pg_sleep(0.3)"))
    await pid_of(kept)
    await kept.close()
    await slow
    await pid_of(kept)
    assert store.core.pool.get_size() == store.core.pool.get_idle_size()


async def test_a_small_pool_always_has_a_connection_for_others(store: Store) -> None:
    for size in (1, 2):
        pool = await open_pool(store.core.settings.pg_dsn, "store", size)
        kept = KeptConnections(pool)
        await asyncio.gather(*(kept.fetch(WHO, number) for number in range(5)))
        async with asyncio.timeout(5):
            assert await pool.fetchval("/* cold:test */ SELECT 1") == 1
        await kept.close()
        await pool.close()
