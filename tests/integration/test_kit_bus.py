"""The bus and the outbox against a real NATS and a real PostgreSQL: what is committed leaves, whatever happens to the bus."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import nats
import pytest
from nats.aio.client import Client
from tests.ports import offset_of

from petitbleu_dev.stack import Stack
from petitbleu_kit.bus import Consumer, Event, ensure_stream
from petitbleu_kit.outbox import TABLE, Outbox, OutboxRow

OFFSET = offset_of(345)


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("bus") / "data", OFFSET, only="postgres,nats")
    stack.start()
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
async def client(backends: Stack) -> AsyncIterator[Client]:
    user, password = backends.nats_administrator
    made = await nats.connect(
        f"nats://127.0.0.1:{backends.port('nats')}",
        user=user,
        password=password,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
    )
    yield made
    await made.close()


@pytest.fixture
async def pool(backends: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    password = (backends.layout.secrets / "postgres-postgres").read_text().strip()
    made = await asyncpg.create_pool(
        user="postgres",
        password=password,
        database="petitbleu",
        host=str(backends.layout.run / "pg"),
        min_size=1,
        max_size=3,
        server_settings={"search_path": "bus_test"},
    )
    await made.execute("/* cold:test.reset */ DROP SCHEMA IF EXISTS bus_test CASCADE")
    await made.execute("CREATE SCHEMA bus_test")
    await made.execute(TABLE)
    yield made
    await made.execute("/* cold:test.reset */ DROP SCHEMA bus_test CASCADE")
    await made.close()


class Seen:
    """A handler that remembers what it was given, and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.payloads: list[bytes] = []
        self.failures = failures

    async def __call__(self, events: Sequence[Event]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.payloads += [event.data for event in events]

    async def wait_for(self, wanted: set[bytes], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not wanted <= set(self.payloads):
                await asyncio.sleep(0.05)


async def _commit(pool: asyncpg.Pool[asyncpg.Record], outbox: Outbox, payloads: Sequence[bytes]) -> list[OutboxRow]:
    rows = [OutboxRow.make(number % 3, "mail.test.done", payload) for number, payload in enumerate(payloads)]
    async with pool.acquire() as connection, connection.transaction():
        await outbox.insert(connection, rows)  # type: ignore[arg-type]
    return rows


async def test_what_is_committed_is_published_and_marked(pool: asyncpg.Pool[asyncpg.Record], client: Client) -> None:
    await ensure_stream(client, "MAIL")
    seen = Seen()
    consumer = Consumer(client, "MAIL", "test-direct", seen)
    outbox = Outbox(pool, client, "test", "MAIL")
    running = [asyncio.ensure_future(consumer.run()), asyncio.ensure_future(outbox.run())]
    payloads = [b"direct-%d" % number for number in range(20)]
    outbox.published_soon(await _commit(pool, outbox, payloads))
    await seen.wait_for(set(payloads))
    async with asyncio.timeout(10):
        while await pool.fetchval("/* cold:test.left */ SELECT count(*) FROM outbox WHERE published_at IS NULL"):
            await asyncio.sleep(0.1)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_row_whose_writer_died_before_publishing_is_swept(
    pool: asyncpg.Pool[asyncpg.Record], client: Client
) -> None:
    await ensure_stream(client, "MAIL")
    seen = Seen()
    consumer = asyncio.ensure_future(Consumer(client, "MAIL", "test-sweep", seen).run())
    outbox = Outbox(pool, client, "test", "MAIL")
    await _commit(pool, outbox, [b"orphan"])  # nobody calls published_soon
    async with asyncio.timeout(15):
        while not await outbox.sweep():
            await asyncio.sleep(0.5)
    await seen.wait_for({b"orphan"})
    assert await outbox.sweep() == 0
    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)


async def test_what_went_to_a_bus_that_was_wiped_before_it_was_marked_is_sent_again(
    pool: asyncpg.Pool[asyncpg.Record], client: Client
) -> None:
    outbox = Outbox(pool, client, "test", "MAIL")
    await outbox.check_stream()
    outbox.published_soon(await _commit(pool, outbox, [b"unmarked"]))
    await outbox._publish_waiting()
    await outbox._publisher.settled()
    assert outbox._to_mark
    await client.jetstream().delete_stream("MAIL")
    assert await outbox.check_stream()
    await outbox._mark()
    assert await pool.fetchval("/* cold:test.left */ SELECT count(*) FROM outbox WHERE published_at IS NULL") == 1


async def test_a_handler_that_fails_gets_its_events_again(pool: asyncpg.Pool[asyncpg.Record], client: Client) -> None:
    await ensure_stream(client, "MAIL")
    seen = Seen(failures=2)
    consumer = asyncio.ensure_future(Consumer(client, "MAIL", "test-again", seen).run())
    await client.jetstream().publish("mail.test.done.v1.1", b"again")
    await seen.wait_for({b"again"})
    assert seen.failures == 0
    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)


async def test_a_wiped_bus_gets_back_what_is_kept(
    backends: Stack, pool: asyncpg.Pool[asyncpg.Record], client: Client
) -> None:
    seen = Seen()
    consumer = asyncio.ensure_future(Consumer(client, "MAIL", "test-wiped", seen).run())
    outbox = Outbox(pool, client, "test", "MAIL")
    assert not await outbox.check_stream()  # the stream's birth is recorded
    payloads = [b"kept-%d" % number for number in range(10)]
    rows = await _commit(pool, outbox, payloads)
    running = asyncio.ensure_future(outbox.run())
    outbox.published_soon(rows)
    await seen.wait_for(set(payloads))
    async with asyncio.timeout(10):
        while await pool.fetchval("/* cold:test.left */ SELECT count(*) FROM outbox WHERE published_at IS NULL"):
            await asyncio.sleep(0.1)
    seen.payloads.clear()
    backends.stop_process("nats")
    shutil.rmtree(backends.layout.data / "nats")
    backends.start_process("nats")
    await seen.wait_for(set(payloads), seconds=60)
    for task in (running, consumer):
        task.cancel()
    await asyncio.gather(running, consumer, return_exceptions=True)
