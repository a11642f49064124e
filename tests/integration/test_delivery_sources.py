"""Mail leaves by the addresses that an operator names; a new one begins with little, by provider, counted by all processes together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from tests.integration.conftest import Backends
from tests.integration.dns_server import name_server
from tests.integration.test_delivery_smtp_client import HERE, LOOPBACK, MX, PATIENCE, letter

from petitbleu_delivery.adapters.exchangers import Exchangers
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.adapters.source_rows import SourceRows
from petitbleu_delivery.domain.outbound import Verdict
from petitbleu_delivery.domain.sources import parse_pools
from petitbleu_delivery.service.outbound.sources import Sources
from petitbleu_kit.egress import EgressRules

ROOT: Final = Path(__file__).parents[2]
OLD, NEW = "127.0.0.2", "127.0.0.3"
PROVIDER: Final = "demo.test"
DAY: Final = date(2026, 11, 23)


@pytest.fixture
async def pool(backends: Backends) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    made = await asyncpg.create_pool(backends.superuser_dsn(), min_size=1, max_size=1)
    migration = (ROOT / "services/delivery/migrations/0012_sources.sql").read_text()
    await made.execute(migration.replace("CREATE TABLE", "CREATE TEMP TABLE"))
    yield made
    await made.close()


@pytest.fixture
async def rows(pool: asyncpg.Pool[asyncpg.Record]) -> SourceRows:
    made = SourceRows(pool, first=4, full=32)
    await made.named([OLD])
    await made.named([OLD, NEW])
    return made


async def send(rows: SourceRows, letters: int, day: int = 0) -> int:
    """Letters that may go on a day."""
    return sum([await rows.take(NEW, PROVIDER, DAY + timedelta(days=day)) is not None for _ in range(letters)])


async def test_the_addresses_of_the_first_start_are_old_and_later_ones_new(rows: SourceRows) -> None:
    assert await rows.warm([OLD, NEW]) == {OLD}
    assert await rows.set(NEW, warm=True)
    assert await rows.warm([OLD, NEW]) == {OLD, NEW}
    assert not await rows.set("192.0.2.1", warm=True)


async def test_the_allowance_doubles_with_each_day_that_went_well(rows: SourceRows) -> None:
    days = []
    for day in range(5):
        days.append(sent := await send(rows, 100, day))
        await rows.learn(NEW, PROVIDER, sent, 0)
        if days[-1] == 100:
            break
    assert days == [4, 8, 16, 32, 32]
    assert await rows.take(NEW, PROVIDER, DAY + timedelta(days=5)) is True, "as an old one there"
    assert await rows.take(NEW, "another.test", DAY) is False, "elsewhere it is new"


async def test_a_day_that_was_hardly_used_or_went_badly_does_not_raise_it(rows: SourceRows) -> None:
    assert await send(rows, 1) == 1
    await rows.learn(NEW, PROVIDER, 1, 0)
    assert await send(rows, 9, 1) == 4, "hardly used"
    await rows.learn(NEW, PROVIDER, 2, 2)
    assert await send(rows, 9, 2) == 4, "complaints"


async def test_complaints_halve_it_once_in_an_hour_and_leave_something(
    rows: SourceRows, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    for day in range(3):
        await rows.learn(NEW, PROVIDER, await send(rows, 100, day), 0)
    assert await send(rows, 1, 3) == 1
    await rows.learn(NEW, PROVIDER, 1, 1)
    assert await allowance(rows) == 32, "one is a recipient's own rule"
    await rows.learn(NEW, PROVIDER, 0, 3)
    await rows.learn(NEW, PROVIDER, 0, 3)
    assert await allowance(rows) == 16
    for _ in range(9):
        await pool.execute("/* cold:test.later */ UPDATE source_warmth SET shrunk_at = shrunk_at - interval '2 hours'")
        await rows.learn(NEW, PROVIDER, 0, 3)
    assert await allowance(rows) == 1


async def allowance(rows: SourceRows) -> int:
    (state,) = [one for one in await rows.states(10) if one.provider == PROVIDER]
    return state.allowance


class Server:
    """A server that remembers from where, and under which name, each letter came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, str]] = []
        self.final = b"250 2.0.0 fine\r\n"
        self.greeting = b"220 there\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, name = writer.get_extra_info("peername")[0], ""
        writer.write(self.greeting)
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                name = line.split()[1].decode()
            if not line.startswith(b"DATA"):
                writer.write(b"250 2.0.0 fine\r\n")
                continue
            writer.write(b"354 go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            self.came.append((address, name))
            writer.write(self.final)
        writer.close()


@asynccontextmanager
async def sending(server: Server, rows: SourceRows) -> AsyncIterator[tuple[SmtpTransport, Sources]]:
    pools = parse_pools(f"main={OLD} old.us.test, {NEW} new.us.test", "")
    assert pools is not None
    sources = Sources(pools, rows, lambda: datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC))
    await sources.look()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with name_server({"demo.test": [MX], "mx.demo.test": [HERE]}) as (_, (host, dns_port)):
        exchangers = Exchangers(
            RecordLookups(f"{host}:{dns_port}"), EgressRules(LOOPBACK, (), frozenset({port})), port, validates=False
        )
        transport = SmtpTransport(exchangers, None, "us.test", port, patience=PATIENCE, sources=sources)
        yield transport, sources
        await transport.close()
    listening.close()


async def test_rfc5321_4_1_4_a_letter_leaves_by_an_address_of_its_pool_under_its_name(rows: SourceRows) -> None:
    server = Server()
    async with sending(server, rows) as (transport, sources):
        for _ in range(20):
            (answer,) = await transport.deliver("demo.test", letter("alice@demo.test"))
            assert answer.verdict is Verdict.SENT
        await sources.flush()
    # over connections that are kept, too, a new address sends no more than it may
    assert Counter(server.came) == {(NEW, "new.us.test"): 4, (OLD, "old.us.test"): 16}
    (state,) = [one for one in await rows.states(10) if one.provider == PROVIDER]
    assert (state.used, state.good, state.bad) == (4, 4, 0)


async def test_a_server_that_sends_a_new_address_away_is_heard(rows: SourceRows) -> None:
    server = Server()
    server.greeting = b"421 4.7.0 try again later, bad reputation\r\n"
    async with sending(server, rows) as (transport, sources):
        (answer,) = await transport.deliver("demo.test", letter("alice@demo.test"))
        assert (answer.verdict, answer.reply.code) == (Verdict.DEFERRED, 421)
        await sources.flush()
    assert await allowance(rows) == 2
