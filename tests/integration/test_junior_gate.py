"""The gate before a child's mailbox with real services: nothing without a decision, by any path."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import grpc
import grpc.aio
import pytest
from tests.integration.delivery_world import DOMAIN, DeliveryWorld, prepared_stack, world_of
from tests.ports import offset_of

from petitbleu.junior_guard.v1 import junior_guard_pb2, junior_guard_pb2_grpc
from petitbleu.store.v1 import filing_pb2
from petitbleu_dev.stack import Stack
from petitbleu_kit.ids import new_blob_id

OFFSET = offset_of(510)
STRANGER = "stranger@else.test"
FRIEND = "Aunt.Canary7531@else.test"


@pytest.fixture(scope="module")
def gate_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(tmp_path_factory.mktemp("gate") / "data", OFFSET) as stack:
        yield stack


@pytest.fixture
async def world(gate_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(gate_stack) as made:
        yield made


@pytest.fixture
async def family(world: DeliveryWorld) -> tuple[str, int, str, int]:
    """A child and its mother: address and account of each."""
    mother, mother_id = await world.person("mother")
    child, child_id = await world.person("child", guarded=True, guardians=(mother,))
    return child, child_id, mother, mother_id


async def own_database(stack: Stack) -> asyncpg.Connection[asyncpg.Record]:
    """A connection as the database's administrator, looking at junior-guard's tables."""
    return await asyncpg.connect(
        user="postgres",
        password=(stack.layout.secrets / "postgres-postgres").read_text().strip(),
        database="petitbleu",
        host=str(stack.layout.run / "pg"),
        server_settings={"search_path": "junior_guard"},
    )


async def test_only_approved_and_authenticated_mail_is_filed(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    child, child_id, mother, _ = family
    await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=child_id, address=FRIEND))
    filed = await world.accept(child, mail_from=mother, authenticated=True)
    filed += await world.accept(child, mail_from=FRIEND.lower(), authenticated=True)
    held = await world.accept(child, mail_from=FRIEND, authenticated=False)
    held += await world.accept(child, mail_from=STRANGER, authenticated=True)
    held += await world.accept(child, mail_from="", authenticated=True)
    held += await world.accept(child.replace("@", "+x@"), mail_from=STRANGER)
    await world.settled(filed + held)
    assert len(await world.messages(child_id)) == len(filed)
    assert not set(filed + held) & set(await world.parked())


async def test_a_person_releases_or_destroys_what_is_held(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    child, child_id, *_ = family
    good, bad = await world.accept(child, mail_from=STRANGER, count=2)
    await world.settled([good, bad])
    assert await world.messages(child_id) == []
    release = junior_guard_pb2.DecideRequest(account_id=child_id, accepted_id=good, deliver=True)
    destroy = junior_guard_pb2.DecideRequest(account_id=child_id, accepted_id=bad, deliver=False)
    for _ in range(2):  # a repeat changes nothing
        await world.guard_admin("Decide", release)
        await world.guard_admin("Decide", destroy)
    (message,) = await world.messages(child_id)
    assert (await world.text(child_id, message)).startswith(b"Return-Path: <stranger@else.test>\r\n")
    for wrong, code in (
        (junior_guard_pb2.DecideRequest(account_id=child_id, accepted_id=bad, deliver=True), "FAILED_PRECONDITION"),
        (junior_guard_pb2.DecideRequest(account_id=child_id, accepted_id=os.urandom(16), deliver=True), "NOT_FOUND"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.guard_admin("Decide", wrong)
        assert refused.value.code().name == code
    await world.replay_events(1)
    await world.quiet()
    assert len(await world.messages(child_id)) == 1


async def test_store_takes_no_decision_but_junior_guards_own_for_this_very_message(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    child, child_id, mother, mother_id = family
    world.stack.stop_process("delivery")
    try:
        mine, other = await world.accept(child, mail_from=mother, authenticated=True, count=2)
        claims = {"use": "decision", "account": child_id, "accepted": mine.hex(), "verdict": "deliver"}
        own = await world.check(child_id, other, mother, authenticated=True)
        assert own.verdict == junior_guard_pb2.VERDICT_DELIVER
        guard = world.signer("junior-guard")
        for token in (
            "",
            "rubbish",
            own.token,  # for another message
            world.signer("delivery").sign("store", claims, 60),
            world.signer("accounts").sign("store", claims, 60),
            guard.sign("store", claims, -60),
            guard.sign("delivery", claims, 60),
            guard.sign("store", {**claims, "account": mother_id}, 60),
            guard.sign("store", {**claims, "use": "service"}, 60),
        ):
            assert await world.file(child_id, mine, token) == filing_pb2.FILE_STATUS_DECISION_REQUIRED
        assert await world.messages(child_id) == []
        decided = await world.check(child_id, mine, mother, authenticated=True)
        assert await world.file(child_id, mine, decided.token) == filing_pb2.FILE_STATUS_FILED
        assert len(await world.messages(child_id)) == 1
    finally:
        world.stack.start_process("delivery")
    await world.settled([mine, other])
    assert len(await world.messages(child_id)) == 2


async def test_groups_and_aliases_do_not_go_round_the_gate(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    child, child_id, mother, mother_id = family
    await world.alias(f"family{child_id}@{DOMAIN}", child, mother)
    await world.alias(f"nick{child_id}@{DOMAIN}", child)
    ids = await world.accept(f"family{child_id}@{DOMAIN}", mail_from=STRANGER)
    ids += await world.accept(f"nick{child_id}@{DOMAIN}", child, mail_from=STRANGER)
    await world.settled(ids)
    assert await world.messages(child_id) == []
    assert len(await world.messages(mother_id)) == 1


async def test_a_child_that_junior_guard_does_not_know_is_held_from(world: DeliveryWorld) -> None:
    _, account = await world.person()
    decision = await world.check(account, new_blob_id(1, 0).bytes, FRIEND, authenticated=True)
    assert decision.verdict == junior_guard_pb2.VERDICT_HOLD


async def test_without_the_guard_a_childs_mail_waits_and_no_one_elses(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    child, child_id, mother, mother_id = family
    world.stack.stop_process("junior-guard")
    try:
        waits = await world.accept(child, mail_from=mother, authenticated=True)
        waits += await world.accept(child, mail_from=STRANGER)
        others = await world.accept(mother, mail_from=STRANGER, count=5)
        await world.settled(others, 15)
        assert len(await world.messages(mother_id)) == 5
        deadline = time.monotonic() + 15
        while (await world.status()).waiting_for_guard < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert set(await world.still_open(waits)) == {(one, 0) for one in waits}
        assert await world.messages(child_id) == []
    finally:
        world.stack.start_process("junior-guard")
    await world.settled(waits, 60)
    assert len(await world.messages(child_id)) == 1
    assert (await world.status()).waiting_for_guard == 0


async def test_who_may_ask_what_of_junior_guard(world: DeliveryWorld) -> None:
    for caller, stub, method, request in (
        ("operator", junior_guard_pb2_grpc.GuardServiceStub, "Check", junior_guard_pb2.CheckRequest()),
        ("delivery", junior_guard_pb2_grpc.GuardServiceStub, "RegisterChild", junior_guard_pb2.RegisterChildRequest()),
        ("delivery", junior_guard_pb2_grpc.AdminServiceStub, "Approve", junior_guard_pb2.ApproveRequest()),
        ("accounts", junior_guard_pb2_grpc.AdminServiceStub, "Decide", junior_guard_pb2.DecideRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.call("junior-guard", caller, stub, method, request)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_correspondents_are_not_in_clear_and_the_audit_only_grows(
    world: DeliveryWorld, gate_stack: Stack, family: tuple[str, int, str, int]
) -> None:
    _, child_id, mother, _ = family
    for _ in range(2):
        await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=child_id, address=FRIEND))
    connection = await own_database(gate_stack)
    try:
        rows = []
        for table in (
            "child",
            "guardian",
            "address",
            "voice",
            "circle",
            "circle_member",
            "standing",
            "decision",
            "audit",
        ):
            rows += await connection.fetch(f"/* cold:test.dump */ SELECT {table}::text AS row FROM {table}")
        text = "\n".join(row["row"] for row in rows).lower()
        for secret in (FRIEND.lower(), mother.lower()):
            assert secret not in text
            assert secret.encode().hex() not in text
        done = await connection.fetch(
            "/* cold:test.audit */ SELECT actor, action FROM audit WHERE account_id = $1 ORDER BY done_at", child_id
        )
        assert sorted(map(tuple, done)) == [
            ("accounts", "guardian-added"), ("accounts", "register"), ("operator", "approve"), ("registration", "approve"),
        ]  # fmt: skip
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"/* cold:test.tamper */ {statement}")
    finally:
        await connection.close()


async def test_without_its_database_junior_guard_says_so_and_decides_nothing(
    world: DeliveryWorld, family: tuple[str, int, str, int]
) -> None:
    _, child_id, mother, _ = family
    world.stack.stop_process("postgres")
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.check(child_id, new_blob_id(1, 0).bytes, mother, authenticated=True)
        assert refused.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    finally:
        world.stack.start_process("postgres")
    world.stack.wait_ready()
    decision = await world.check(child_id, new_blob_id(1, 0).bytes, mother, authenticated=True)
    assert decision.verdict == junior_guard_pb2.VERDICT_DELIVER
