"""Outbound abuse with real processes: slowed, suspended, told, lifted, and once however many look."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from email import message_from_bytes
from email.policy import default
from typing import Any

import asyncpg
import pytest
from tests.integration.delivery_world import DOMAIN, PASSWORD, DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_queue import submit, until
from tests.ports import offset_of
from tests.smtp_sink import Sink

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.delivery.v1 import permits_pb2, permits_pb2_grpc
from petitbleu_delivery.adapters.conduct_rows import ConductRows, Counted
from petitbleu_delivery.domain.conduct import Figures, Sign, Stage
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(620)


@pytest.fixture(scope="module")
def abused_server() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def abuse_stack(tmp_path_factory: pytest.TempPathFactory, abused_server: Sink) -> Iterator[Stack]:
    environment = {
        "PETITBLEU_OUTBOUND_RELAY": f"127.0.0.1:{abused_server.port}", "PETITBLEU_ABUSE_FRESH": "5",
        "PETITBLEU_ABUSE_BOUNCES": "1", "PETITBLEU_ABUSE_SLOW_HOUR": "3",
    }  # fmt: skip
    with prepared_stack(tmp_path_factory.mktemp("abuse") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(abuse_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(abuse_stack) as made:
        yield made


@pytest.fixture
async def pool(abuse_stack: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    context = Context(abuse_stack.layout, abuse_stack.ports, None, print)  # type: ignore[arg-type]
    made = await open_pool(postgres.dsn(context, "delivery"), "delivery", 8)
    yield made
    await made.close()


def command(stack: Stack, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", "permits", *arguments, "--json"],
        env={**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


async def permit(world: DeliveryWorld, account: int, recipients: int) -> permits_pb2.PermitResponse:
    """Ask as the submission door does; JMAP asks the same inside delivery."""
    request = permits_pb2.PermitRequest(account_id=account, tenant_id=world._tenants[account], recipients=recipients)
    stub = permits_pb2_grpc.PermitServiceStub
    found: permits_pb2.PermitResponse = await world.call("delivery", "ingest", stub, "Permit", request)
    return found


async def texts(world: DeliveryWorld, account: int) -> list[str]:
    """Subjects and texts of what an account has."""
    found = []
    for message_id in await world.messages(account):
        mail = message_from_bytes(await world.text(account, message_id), policy=default)
        body = mail.get_body(("plain",))
        found.append(f"{mail['Subject']}\n{body.get_content() if body is not None else ''}")
    return found


async def test_sudden_new_recipients_slow_and_addresses_that_do_not_exist_suspend_and_an_operator_lifts(
    world: DeliveryWorld, abuse_stack: Stack, abused_server: Sink, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    wanted = accounts_pb2.NewAccount(
        address=f"admin@{DOMAIN}", password=PASSWORD, roles=[accounts_pb2.ROLE_TENANT_ADMIN]
    )
    made = await world.admin("CreateAccounts", accounts_pb2.CreateAccountsRequest(accounts=[wanted]))
    admin = made.results[0].account.account_id
    world._tenants[admin] = made.results[0].account.tenant_id
    sender, other = await world.person("eve"), await world.person("frank")
    await submit(world, sender, *(f"u{number}@else.test" for number in range(5)))
    await submit(world, other, *(f"u{number}@else.test" for number in range(5)))
    await submit(world, sender, *(f"u{number}@else.test" for number in range(5)))  # they are not new any more
    await submit(world, sender, "one-more@else.test")

    async def told(account: int, words: str) -> bool:
        return any(words in text for text in await texts(world, account))

    await until(lambda: told(sender[1], "ralentis"))
    await until(lambda: told(admin, f"ralentis : {sender[0]}"))
    assert (await permit(world, sender[1], 3)).retry_after_seconds == 0
    answer = await permit(world, sender[1], 1)
    assert answer.retry_after_seconds > 0
    assert not answer.suspended
    assert (await permit(world, other[1], 100)).retry_after_seconds == 0
    assert (await asyncio.to_thread(command, abuse_stack, "show", sender[0]))["slowed"] is True
    for number in range(4):
        abused_server.answers[f"nobody{number}"] = "550 5.1.1 no such mailbox here"
    await submit(world, sender, *(f"nobody{number}@else.test" for number in range(4)))

    async def suspended() -> bool:
        return (await permit(world, sender[1], 1)).suspended

    await until(suspended)
    await until(lambda: told(admin, f"suspendus : {sender[0]}"))
    history = await asyncio.to_thread(command, abuse_stack, "history", sender[0])
    assert [one["done"] for one in history] == ["suspended", "slowed"]
    assert [one["signs"] for one in history] == ["new-recipients, bounces", "new-recipients"]
    assert "bounced=4" in history[0]["figures"]
    lifted = await asyncio.to_thread(command, abuse_stack, "lift", sender[0])
    assert (lifted["suspended"], lifted["slowed"]) == (False, False)
    assert not (await permit(world, sender[1], 1)).suspended
    assert (await asyncio.to_thread(command, abuse_stack, "history", sender[0]))[0]["done"] == "lifted"
    # what led to it is forgiven: the next message brings nothing back
    token, _ = await submit(world, sender, "u1@else.test")
    await until(lambda: len(abused_server.by_token(token)) == 1)
    await asyncio.sleep(3)
    assert not (await permit(world, sender[1], 1)).suspended
    assert len([text for text in await texts(world, sender[1]) if "ralentis" in text or "suspendus" in text]) == 2
    rows = await pool.fetch("/* cold:test.correspondents */ SELECT correspondent::text AS told FROM correspondent")
    assert rows
    assert not any(b"nobody1".hex() in row["told"] or "else.test" in row["told"] for row in rows)


async def test_of_many_that_look_at_once_one_raises_it(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    account = secrets.randbits(62) | 1 << 62
    rows = ConductRows(pool)

    async def raised(stage: Stage, seconds: float = 60.0) -> int:
        done = await asyncio.gather(
            *(rows.raise_to(account, 3, stage, [Sign.SPAM], "spam=1", seconds) for _ in range(8))
        )
        return sum(done)

    assert await raised(Stage.SLOWED, 0.0) >= 1  # it is over at once
    assert await raised(Stage.SLOWED) == 1
    assert await raised(Stage.SUSPENDED) == 1
    assert await raised(Stage.SLOWED) == 0
    assert [one.stage for one in await rows.history(account, 2)] == [Stage.SUSPENDED, Stage.SLOWED]
    mine = [case for case in await rows.untold() if case.account_id == account]
    for case in mine:
        await rows.told(case)
    assert await rows.forgive(account)
    assert not await rows.forgive(account)
    assert await raised(Stage.SUSPENDED) == 1


async def test_two_processes_count_the_same_new_recipient_once(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    account, rows = secrets.randbits(62) | 1 << 62, ConductRows(pool)
    keys = frozenset(bytes([number]) * 12 for number in range(20))
    await asyncio.gather(*(rows.count([Counted(account, 3, keys, 20, 1, 0)], 100) for _ in range(6)))
    assert await rows.days(account, 101) == {100: Figures(120, 20, 6, 0, 0)}
    await rows.prune()
    await rows.count([Counted(account, 3, keys, 20, 0, 2)], 101)
    assert (await rows.days(account, 101))[101] == Figures(20, 20, 0, 0, 2)  # who was written to so long ago is new


async def test_of_a_closed_account_nothing_stays(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    rows = ConductRows(pool)
    gone, there = (secrets.randbits(62) | 1 << 62 for _ in range(2))
    for account in (gone, there):
        await rows.count([Counted(account, 3, frozenset({b"k" * 12}), 1, 1, 0)], int(time.time()) // 86_400)
        await rows.raise_to(account, 3, Stage.SLOWED, [Sign.SPAM], "", 60.0)

    async def living(accounts: Sequence[int]) -> set[int]:
        return set(accounts) - {gone}

    assert await rows.erase_closed(living) == 1
    assert await rows.erase_closed(living) == 0
    assert await rows.days(gone, int(time.time()) // 86_400) == {}
    assert await rows.history(gone, 10) == []
    assert len(await rows.history(there, 10)) == 1
    assert {case.account_id for case in await rows.untold()} & {gone} == set()
