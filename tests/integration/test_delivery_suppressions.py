"""Suppressions with a real database, another server and the operator's command line."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any

import asyncpg
import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_queue import notices, submit, until
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu_delivery.adapters.suppression_rows import SuppressionRows
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(500)
HOUR, LONGEST = 3600.0, 20_000.0


@pytest.fixture(scope="module")
def other_server() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def bounce_stack(tmp_path_factory: pytest.TempPathFactory, other_server: Sink) -> Iterator[Stack]:
    environment = {"PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{other_server.port}"}
    with prepared_stack(tmp_path_factory.mktemp("bounces") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(bounce_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(bounce_stack) as made:
        yield made


@pytest.fixture
async def pool(bounce_stack: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    context = Context(bounce_stack.layout, bounce_stack.ports, None, print)  # type: ignore[arg-type]
    made = await open_pool(postgres.dsn(context, "delivery"), "delivery", 4)
    yield made
    await made.close()


def command(stack: Stack, *arguments: str) -> tuple[int, Any]:
    """Run `petitbleu suppression … --json` as an operator does; its status and answer."""
    done = subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", "suppression", *arguments, "--json"],
        env={**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def decoded(raw: bytes) -> str:
    """Return what a notice says to people."""
    part = next(
        part for part in message_from_bytes(raw, policy=default).walk() if part.get_content_type() == "text/plain"
    )
    return str(part.get_content())


async def test_the_next_message_to_who_does_not_exist_is_refused_here_until_it_is_lifted(
    world: DeliveryWorld, bounce_stack: Stack, other_server: Sink, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    sender, other = await world.person(), await world.person()
    other_server.answers["gone"] = "550 5.1.1 no such mailbox here"
    await submit(world, sender, "gone@else.test", "some@else.test")
    await notices(world, sender[1], 1)
    assert other_server.tried["gone"] == 1
    listed: list[dict[str, Any]] = []

    async def remembered() -> bool:
        listed[:] = (await asyncio.to_thread(command, bounce_stack, "list", sender[0]))[1]
        return bool(listed)

    await until(remembered)
    token, _ = await submit(world, sender, "gone@else.test", "some@else.test")
    raw, status = (await notices(world, sender[1], 2))[1]
    assert [(one.action, one.final_recipient.address, one.status) for one in status.recipients] == [
        ("failed", "gone@else.test", "5.1.1")
    ]
    assert status.recipients[0].diagnostic_code is None  # RFC 3464 §2.3.6: no server said anything this time
    assert "Le serveur de cette adresse l'a dit récemment." in decoded(raw)
    await until(lambda: len(other_server.by_token(token)) == 1)
    assert other_server.tried["gone"] == 1
    await submit(world, other, "gone@else.test")  # what one person wrote to says nothing to another
    await notices(world, other[1], 1)
    assert other_server.tried["gone"] == 2
    assert [(one["status"], one["refusals"]) for one in listed] == [("5.1.1", 1)]
    rows = await pool.fetch("/* cold:test.suppressions */ SELECT suppression::text AS told FROM suppression")
    assert rows
    assert not any("gone" in row["told"] or b"gone".hex() in row["told"] for row in rows)
    other_server.answers["gone"] = "250 2.1.5 here again"
    assert (await asyncio.to_thread(command, bounce_stack, "lift", sender[0], "nobody@else.test"))[0] == 1
    done = await asyncio.to_thread(command, bounce_stack, "lift", sender[0], "gone@ELSE.test")
    assert done == (0, {"account": sender[1], "lifted": 1})
    token, _ = await submit(world, sender, "gone@else.test")
    await until(lambda: len(other_server.by_token(token)) == 1)
    assert (await asyncio.to_thread(command, bounce_stack, "list", sender[0])) == (0, [])


async def test_each_further_refusal_counts_for_longer_and_none_for_what_was_on_its_way(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    rows, account, key = SuppressionRows(pool), secrets.randbits(62) | 1 << 62, os.urandom(32)
    assert not await rows.any(account)

    async def strike(seconds: float) -> float:
        await rows.strike(account, {key: "5.1.1"}, seconds, LONGEST)
        left = "/* cold:test.left */ SELECT extract(epoch FROM until_at - now())::float8 FROM suppression WHERE account_id = $1"
        return float(await pool.fetchval(left, account))

    async def over() -> None:
        await pool.execute(
            "/* cold:test.over */ UPDATE suppression SET until_at = now() - interval '1 s' WHERE account_id = $1",
            account,
        )

    expected = [HOUR, 4 * HOUR, LONGEST, LONGEST]
    for seconds in expected:
        for _ in range(3):
            assert seconds - 300 < await strike(HOUR) <= seconds
        assert [one.key for one in await rows.find(account, [key, os.urandom(32)])] == [key]
        assert len(await rows.list(account, 10)) == 1
        await over()
        assert await rows.find(account, [key]) == []
        assert await rows.any(account)
    assert await rows.find(account + 1, [key]) == []
    await rows.expire()
    assert await rows.any(account)
    await pool.execute(
        "/* cold:test.old */ UPDATE suppression SET until_at = now() - interval '31 days' WHERE account_id = $1",
        account,
    )
    await rows.expire()
    assert not await rows.any(account)


async def test_many_addresses_at_once_are_struck_and_lifted(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    rows, account = SuppressionRows(pool), secrets.randbits(62) | 1 << 62
    keys = [os.urandom(32) for _ in range(100)]
    await asyncio.gather(*(rows.strike(account, dict.fromkeys(keys, "5.1.1"), HOUR, LONGEST) for _ in range(8)))
    assert {one.refusals for one in await rows.list(account, 1000)} == {1}
    assert await rows.lift(account, keys[:60]) == 60
    assert await rows.lift_all(account) == 40
