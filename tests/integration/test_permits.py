"""Permits on a real database and through delivery's own doors: many at once, both ways of submitting, and nobody else's word."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import grpc
import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.ports import offset_of

from petitbleu.delivery.v1 import permits_pb2, permits_pb2_grpc, submission_pb2, submission_pb2_grpc
from petitbleu_delivery.adapters.permit_rows import SHARES, PostgresPermits
from petitbleu_delivery.domain.permit_terms import Limits
from petitbleu_delivery.service.permits import OnePlan, Permits, now_ms
from petitbleu_dev.backends import postgres
from petitbleu_dev.backends.context import Context
from petitbleu_dev.stack import Stack
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import open_pool

OFFSET = offset_of(554)
HOUR, TENANT_HOUR = 12, 200


@pytest.fixture(scope="module")
def permit_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environment = {"PETITBLEU_PERMIT_ACCOUNT_HOUR": str(HOUR)}
    with prepared_stack(tmp_path_factory.mktemp("permits") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(permit_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(permit_stack) as made:
        yield made


@pytest.fixture
async def pool(permit_stack: Stack) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    context = Context(permit_stack.layout, permit_stack.ports, None, print)  # type: ignore[arg-type]
    made = await open_pool(postgres.dsn(context, "delivery"), "delivery", 8)
    yield made
    await made.close()


def an_id() -> int:
    return secrets.randbits(62) | 1 << 62


async def permit(
    world: DeliveryWorld, account: int, tenant: int, recipients: int, caller: str = "ingest"
) -> permits_pb2.PermitResponse:
    request = permits_pb2.PermitRequest(
        account_id=account, tenant_id=tenant, recipients=recipients, key=os.urandom(32)
    )  # fmt: skip
    answer: permits_pb2.PermitResponse = await world.call(
        "delivery", caller, permits_pb2_grpc.PermitServiceStub, "Permit", request
    )
    return answer


async def ask(world: DeliveryWorld, account: int, tenant: int, recipients: int, caller: str = "ingest") -> int:
    return int((await permit(world, account, tenant, recipients, caller)).retry_after_seconds)


async def test_ingest_is_told_how_long_to_wait(world: DeliveryWorld) -> None:
    account, tenant = an_id(), an_id()
    assert await ask(world, account, tenant, HOUR) == 0
    assert 3000 < await ask(world, account, tenant, 1) <= 3900
    assert await ask(world, an_id(), tenant, 1) == 0


async def test_only_ingest_may_ask_and_only_for_somebody(world: DeliveryWorld) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(world, an_id(), an_id(), 1, "gateway")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(world, an_id(), an_id(), 0)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_account_that_asks_many_times_at_once_gets_its_limit_exactly(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    permits = Permits(PostgresPermits(pool), OnePlan(Limits(HOUR, 0, 0, 0)))
    account, tenant = an_id(), an_id()
    waits = await asyncio.gather(*(permits.permit(account, tenant, 1, os.urandom(16)) for _ in range(60)))
    assert waits.count(0) == HOUR


async def test_the_same_message_many_times_at_once_is_counted_once(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    permits = Permits(PostgresPermits(pool), OnePlan(Limits(HOUR, 0, 0, 0)))
    account, tenant = an_id(), an_id()
    waits = await asyncio.gather(*(permits.permit(account, tenant, HOUR, b"the same") for _ in range(20)))
    assert waits == [0] * 20
    assert await permits.permit(account, tenant, 1, b"another") > 0


async def test_a_tenants_people_are_counted_together_in_shares(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    permits = Permits(PostgresPermits(pool), OnePlan(Limits(0, 0, TENANT_HOUR, 0)))
    tenant = an_id()
    waits = [await permits.permit(an_id(), tenant, 1) for _ in range(TENANT_HOUR)]
    assert waits == [0] * TENANT_HOUR
    late = await asyncio.gather(*(permits.permit(an_id(), tenant, 1) for _ in range(SHARES * 2)))
    assert all(late)
    statement = "/* cold:test.shares */ SELECT count(*) FROM permit_tenant WHERE partition = $1 AND tenant_id = $2"
    assert 1 < await pool.fetchval(statement, partition_of_account(tenant), tenant) <= SHARES


async def test_counts_of_more_than_a_day_ago_are_forgotten(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    permits = Permits(PostgresPermits(pool), OnePlan(Limits(HOUR, 0, 0, 0)))
    account, tenant = an_id(), an_id()
    statement = "/* cold:test.permit */ SELECT count(*) FROM permit_account WHERE account_id = $1"
    assert await permits.permit(account, tenant, 1) == 0
    await permits.prune()
    assert await pool.fetchval(statement, account) == 1
    await PostgresPermits(pool).prune(now_ms() + 27 * 3_600_000)
    assert await pool.fetchval(statement, account) == 0
    assert await permits.permit(account, tenant, 1) == 0


def command(stack: Stack, *arguments: str) -> Any:
    """Run `petitbleu permits … --json` as an operator does; its answer."""
    done = subprocess.run(
        [sys.executable, "-m", "petitbleu_cli", "permits", *arguments, "--json"],
        env={**os.environ, "PETITBLEU_DATA": str(stack.layout.data)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_an_operator_sets_limits_and_takes_them_back(world: DeliveryWorld, permit_stack: Stack) -> None:
    account, tenant = an_id(), an_id()
    told = await asyncio.to_thread(command, permit_stack, "set", str(account), "--hour", str(HOUR + 3), "--day", "none")
    assert (told["who"], told["id"], told["hour"], told["day"]) == ("account", account, HOUR + 3, 0)
    assert await ask(world, account, tenant, HOUR + 3) == 0
    assert await ask(world, account, tenant, 1) > 0
    told = await asyncio.to_thread(command, permit_stack, "set", "--tenant", str(tenant), "--hour", str(HOUR + 5))
    assert (told["who"], told["hour"], told["day"]) == ("tenant", HOUR + 5, None)
    assert await ask(world, an_id(), tenant, 3) > 0
    assert await ask(world, an_id(), tenant, 2) == 0
    for subject in ([str(account)], ["--tenant", str(tenant)]):
        told = await asyncio.to_thread(command, permit_stack, "set", *subject)
        assert (told["hour"], told["day"]) == (None, None)
    assert await ask(world, account, tenant, 1) > 0
    assert await ask(world, an_id(), tenant, HOUR) == 0
    listed = await asyncio.to_thread(command, permit_stack, "list")
    assert not {account, tenant} & {one["id"] for one in listed}


async def test_an_operator_suspends_an_account_and_lifts_it(world: DeliveryWorld, permit_stack: Stack) -> None:
    address, account = await world.person()
    tenant = an_id()
    await asyncio.to_thread(command, permit_stack, "set", address, "--day", "5")
    told = await asyncio.to_thread(command, permit_stack, "suspend", address)
    assert (told["id"], told["suspended"], told["day"]) == (account, True, 5)
    answer = await permit(world, account, tenant, 1)
    assert (answer.suspended, answer.retry_after_seconds) == (True, 0)
    assert (await submit(world, address, account)).status == submission_pb2.SUBMISSION_STATUS_SUSPENDED
    listed = await asyncio.to_thread(command, permit_stack, "list")
    assert (account, True) in {(one["id"], one["suspended"]) for one in listed}
    assert not (await permit(world, an_id(), tenant, 1)).suspended
    told = await asyncio.to_thread(command, permit_stack, "lift", address)
    assert (told["suspended"], told["day"]) == (False, 5)
    answer = await permit(world, account, tenant, 1)
    assert (answer.suspended, answer.retry_after_seconds) == (False, 0)
    assert await asyncio.to_thread(command, permit_stack, "show", address) == {**told, "changed": None}


async def test_only_an_operator_sets_terms(world: DeliveryWorld) -> None:
    request = permits_pb2.SuspendRequest(scope=permits_pb2.TERMS_SCOPE_ACCOUNT, subject_id=an_id())
    for caller in ("ingest", "gateway"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.call("delivery", caller, permits_pb2_grpc.PermitTermsServiceStub, "Suspend", request)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def submit(world: DeliveryWorld, address: str, account: int) -> submission_pb2.SubmissionResult:
    """Hold a message of `HOUR` recipients back, as JMAP does."""
    envelope = submission_pb2.SubmissionEnvelope(
        mail_from=submission_pb2.EnvelopeAddress(address=address),
        recipients=[submission_pb2.EnvelopeAddress(address=address)] * HOUR,
    )
    new = submission_pb2.NewSubmission(
        identity_id=1, message_id=1, thread_id=1, envelope=envelope, submission_id=os.urandom(16),
        hold_until_ms=now_ms() + 3_600_000,
    )  # fmt: skip
    request = submission_pb2.UpdateSubmissionsRequest(
        account_id=account, updates=[submission_pb2.SubmissionUpdate(create=new)]
    )
    answer = await world.call(
        "delivery", "gateway", submission_pb2_grpc.SubmissionServiceStub, "UpdateSubmissions", request,
        world.principal(account),
    )  # fmt: skip
    result: submission_pb2.SubmissionResult = answer.results[0]
    return result


async def test_submissions_over_jmap_are_counted_with_those_over_smtp(world: DeliveryWorld) -> None:
    address, account = await world.person("anna")
    assert (await submit(world, address, account)).status == submission_pb2.SUBMISSION_STATUS_OK
    refused = await submit(world, address, account)
    assert refused.status == submission_pb2.SUBMISSION_STATUS_OVER_LIMIT
    assert 0 < refused.retry_after_seconds <= 3900
    assert await ask(world, account, an_id(), 1) > 0
