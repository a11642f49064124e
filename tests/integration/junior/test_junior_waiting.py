"""Waiting senders with real services: what is shown, one decision for all of a sender's, limits, expiry, and repeated work."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands, refused

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack

STRANGER = "Stranger@else.test"
PASSES = accept_pb2.AuthenticationVerdicts(from_authenticated=True, dmarc=accept_pb2.VERDICT_PASS)
FAILS = accept_pb2.AuthenticationVerdicts(dmarc=accept_pb2.VERDICT_FAIL)
JUNK = accept_pb2.AuthenticationVerdicts(from_authenticated=True, treatment=accept_pb2.TREATMENT_JUNK)
CONFIRMED, UNCONFIRMED = pb.AUTHENTICATION_CONFIRMED, pb.AUTHENTICATION_UNCONFIRMED


async def listed(hands: Hands, guardian: int, child: int) -> Any:
    return await hands.ask(guardian, "ListWaiting", pb.ListWaitingRequest(account_id=child))


async def decide(
    hands: Hands, guardian: int, child: int, sender: Any, action: str, **more: Any
) -> pb.DecideSenderResponse:
    request = pb.DecideSenderRequest(
        account_id=child, sender_id=sender.sender_id, authentication=sender.authentication,
        action=pb.SenderAction.Value(f"SENDER_ACTION_{action}"), **more,
    )  # fmt: skip
    done: pb.DecideSenderResponse = await hands.ask(guardian, "DecideSender", request)
    return done


async def settled(world: DeliveryWorld, family: Family, sender: str, count: int = 1, **more: Any) -> list[bytes]:
    ids = await world.accept(family.child, mail_from=sender, count=count, **more)
    await world.settled(ids)
    return ids


async def until(world: DeliveryWorld, family: Family, messages: int) -> None:
    deadline = time.monotonic() + 30
    while len(await world.messages(family.child_id)) != messages:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_guardians_see_senders_and_numbers_and_nothing_more(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    await settled(world, family, STRANGER, 2, verdicts=PASSES)
    await settled(world, family, STRANGER, 1)
    for verdicts in (FAILS, JUNK):
        await settled(world, family, "spam@else.test", 1, verdicts=verdicts)
    await settled(world, family, "", 1, verdicts=PASSES)
    found = await listed(hands, family.father_id, family.child_id)
    assert {(one.address, one.authentication, one.messages, one.looks_alike) for one in found.senders} == {
        ("stranger@else.test", CONFIRMED, 2, False), ("stranger@else.test", UNCONFIRMED, 1, False),
    }  # fmt: skip
    assert all(0 < one.first_at_ms <= one.last_at_ms for one in found.senders)
    assert (found.unannounced, found.dropped, found.expired) == (3, 0, 0)
    assert {field.name for field in pb.WaitingSender.DESCRIPTOR.fields} == {
        "sender_id", "address", "authentication", "looks_alike", "first_at_ms", "last_at_ms", "messages",
    }  # fmt: skip


async def test_one_decision_delivers_all_that_is_confirmed_and_never_what_is_forged(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    await settled(world, family, STRANGER, 3, verdicts=PASSES)
    await settled(world, family, STRANGER, 2)  # somebody else, in that name
    mother, father, child = family.mother_id, family.father_id, family.child_id
    confirmed = next(one for one in (await listed(hands, mother, child)).senders if one.authentication == CONFIRMED)
    done = await decide(hands, mother, child, confirmed, "DELIVER_AND_APPROVE")
    assert (done.messages, done.decided_by) == (3, mother)
    await until(world, family, 3)
    late = await decide(hands, father, child, confirmed, "DELIVER_ONCE")
    assert (late.messages, late.decided_by, late.decided_action) == (
        0, mother, pb.SENDER_ACTION_DELIVER_AND_APPROVE,
    )  # fmt: skip
    (left,) = (await listed(hands, mother, child)).senders
    assert (left.authentication, left.messages) == (UNCONFIRMED, 2)
    await settled(world, family, STRANGER, 1, verdicts=PASSES)
    await until(world, family, 4)


async def test_a_refusal_destroys_all_of_a_sender_and_a_block_announces_no_more(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    mother, father, child = family.mother_id, family.father_id, family.child_id
    await settled(world, family, STRANGER, 2, verdicts=PASSES)
    await settled(world, family, STRANGER, 1)
    sender = (await listed(hands, mother, child)).senders[0]
    assert (await decide(hands, mother, child, sender, "REFUSE")).messages == 3
    assert not (await listed(hands, mother, child)).senders
    await settled(world, family, STRANGER, 1, verdicts=PASSES)
    found = await listed(hands, father, child)
    assert (len(found.senders), found.unannounced) == (0, 1)
    late = decide(hands, father, child, sender, "DELIVER_AND_APPROVE")
    assert await refused(late) is grpc.StatusCode.FAILED_PRECONDITION
    assert (await decide(hands, father, child, sender, "BLOCK")).messages == 1
    assert await world.messages(child) == []


async def test_two_guardians_at_once_and_one_is_first(world: DeliveryWorld, hands: Hands, family: Family) -> None:
    await settled(world, family, STRANGER, 4, verdicts=PASSES)
    (sender,) = (await listed(hands, family.mother_id, family.child_id)).senders
    both = await asyncio.gather(
        decide(hands, family.mother_id, family.child_id, sender, "DELIVER_ONCE"),
        decide(hands, family.father_id, family.child_id, sender, "DELIVER_ONCE"),
    )
    assert sorted(one.messages for one in both) == [0, 4]
    assert len({one.decided_by for one in both}) == 1
    await until(world, family, 4)
    await settled(world, family, STRANGER, 1, verdicts=PASSES)  # once is once
    assert len(await world.messages(family.child_id)) == 4


async def test_who_looks_like_a_friend_is_marked_and_approved_on_purpose_only(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    mother, child = family.mother_id, family.child_id
    await hands.say(mother, child, "aunt.mary@else.test", "APPROVE")
    await settled(world, family, "aunt.rnary@else.test", 1, verdicts=PASSES)
    (sender,) = (await listed(hands, mother, child)).senders
    assert sender.looks_alike
    early = decide(hands, mother, child, sender, "DELIVER_AND_APPROVE")
    assert await refused(early) is grpc.StatusCode.FAILED_PRECONDITION
    assert (await listed(hands, mother, child)).senders[0].messages == 1
    assert (await decide(hands, mother, child, sender, "DELIVER_AND_APPROVE", although_alike=True)).messages == 1
    await until(world, family, 1)


async def test_no_more_waits_than_is_kept_and_its_sender_notices_nothing(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    ids = await world.accept(family.child, mail_from=STRANGER, count=25, verdicts=PASSES)
    await world.settled(ids)
    found = await listed(hands, family.mother_id, family.child_id)
    assert ([one.messages for one in found.senders], found.dropped) == ([20], 5)
    assert not set(ids) & set(await world.parked())
    await world.replay_events(1)
    await world.quiet()
    again = await listed(hands, family.mother_id, family.child_id)
    assert ([one.messages for one in again.senders], again.dropped) == ([20], 5)
    (sender,) = found.senders
    await decide(hands, family.mother_id, family.child_id, sender, "DELIVER_ONCE")
    await until(world, family, 20)


async def test_what_nobody_decides_on_expires(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    await settled(world, family, STRANGER, 2, verdicts=PASSES)
    old = await settled(world, family, "old@else.test", 2, verdicts=PASSES)
    await own.execute(
        "/* cold:test.age */ UPDATE decision SET held_at = held_at - interval '31 days' WHERE account_id = $1 AND accepted_id = ANY($2)",
        family.child_id, [UUID(bytes=one) for one in old],
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while (found := await listed(hands, family.mother_id, family.child_id)).expired < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert [one.address for one in found.senders] == ["stranger@else.test"]
    while await own.fetchval("/* cold:test.due */ SELECT count(*) FROM decision WHERE carry_after IS NOT NULL"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert await world.messages(family.child_id) == []


async def test_a_decision_that_store_did_not_hear_of_is_carried_out_later(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record], junior_stack: Stack
) -> None:
    await settled(world, family, STRANGER, 2, verdicts=PASSES)
    (sender,) = (await listed(hands, family.mother_id, family.child_id)).senders
    junior_stack.stop_process("store")
    try:
        done = await decide(hands, family.mother_id, family.child_id, sender, "DELIVER_ONCE")
        assert done.messages == 2
    finally:
        junior_stack.start_process("store")
    junior_stack.wait_ready()
    deadline = time.monotonic() + 60
    while len(await world.messages(family.child_id)) != 2:
        assert time.monotonic() < deadline
        await own.execute("/* cold:test.now */ UPDATE decision SET carry_after = now() WHERE carry_after IS NOT NULL")
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("action", ["DELIVER_ONCE", "REFUSE"])
async def test_a_sender_that_never_was_is_none(hands: Hands, family: Family, action: str) -> None:
    nobody = pb.WaitingSender(sender_id=b"x" * 32, authentication=CONFIRMED)
    done = decide(hands, family.mother_id, family.child_id, nobody, action)
    assert await refused(done) is grpc.StatusCode.NOT_FOUND
