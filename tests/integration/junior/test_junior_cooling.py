"""Somebody took a parent's place: whoever comes by a new password or from a new device opens no door for a day, and closes any at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import grpc
import pytest
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands, refused
from tests.integration.junior.test_junior_waiting import PASSES, STRANGER, listed, settled, until

from petitbleu.junior_guard.v1 import family_pb2 as pb

THIEF, FRIEND = "thief@else.test", "aunt.mary@else.test"
DAY = 86_400.0


def voice(child: int, address: str, action: str) -> pb.SetVoiceRequest:
    return pb.SetVoiceRequest(account_id=child, address=address, action=pb.VoiceAction.Value(f"VOICE_ACTION_{action}"))


async def pending(hands: Hands, guardian: int, child: int) -> list[Any]:
    found = await hands.ask(guardian, "ListPendingChanges", pb.ListPendingChangesRequest(account_id=child))
    return list(found.changes)


async def become_due(own: Any, child: int) -> None:
    """Let the day be over."""
    await own.execute("UPDATE pending_change SET due_at = now() - interval '1 second' WHERE account_id = $1", child)


async def gone(own: Any, child: int) -> None:
    deadline = time.monotonic() + 30
    while await own.fetchval("SELECT count(*) FROM pending_change WHERE account_id = $1", child):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("what", ["approve", "take-back", "level", "group", "group-voice", "deliver", "deliver-once"])
async def test_nothing_that_opens_a_door_is_done_before_the_day_is_over(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record], what: str
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    members = pb.Group(kind=pb.GROUP_KIND_FAMILY, name="Us", addresses=[THIEF])
    await hands.say(mother, child, FRIEND, "REFUSE")
    await hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=1))
    made = await hands.ask(
        mother,
        "PutGroup",
        pb.PutGroupRequest(account_id=child, group=pb.Group(kind=pb.GROUP_KIND_FAMILY, name="Old", addresses=[THIEF])),
    )
    refuse = pb.SetGroupVoiceRequest(account_id=child, group_id=made.group_id, action=pb.VOICE_ACTION_REFUSE)
    await hands.ask(mother, "SetGroupVoice", refuse)
    await settled(world, family, STRANGER, verdicts=PASSES)
    (sender,) = (await listed(hands, mother, child)).senders
    decision = {"account_id": child, "sender_id": sender.sender_id, "authentication": sender.authentication}
    method, request = {
        "approve": ("SetVoice", voice(child, THIEF, "APPROVE")),
        "take-back": ("SetVoice", voice(child, FRIEND, "TAKE_BACK")),
        "level": ("MoveLevel", pb.MoveLevelRequest(account_id=child, level=4)),
        "group": ("PutGroup", pb.PutGroupRequest(account_id=child, group=members)),
        "group-voice": (
            "SetGroupVoice",
            pb.SetGroupVoiceRequest(account_id=child, group_id=made.group_id, action=pb.VOICE_ACTION_APPROVE),
        ),
        "deliver": ("DecideSender", pb.DecideSenderRequest(action=pb.SENDER_ACTION_DELIVER_AND_APPROVE, **decision)),
        "deliver-once": ("DecideSender", pb.DecideSenderRequest(action=pb.SENDER_ACTION_DELIVER_ONCE, **decision)),
    }[what]
    before = await own.fetch("SELECT * FROM standing WHERE account_id = $1 ORDER BY address_hash", child)
    answer = await hands.ask(mother, method, request, cooling=DAY)
    assert abs(answer.waits_until_ms / 1000 - time.time() - DAY) < 60
    again = await hands.ask(mother, method, request, cooling=2 * DAY)
    assert again.waits_until_ms == answer.waits_until_ms  # to ask again does not move it, nor make another of it
    (one,) = await pending(hands, father, child)
    assert one.guardian_account_id == mother
    assert await own.fetch("SELECT * FROM standing WHERE account_id = $1 ORDER BY address_hash", child) == before
    assert await own.fetchval("SELECT level FROM child WHERE account_id = $1", child) == 1
    assert not await hands.passes(child, THIEF)
    assert await world.messages(child) == []
    # both are written to, and the father cancels it
    assert await own.fetchval("SELECT count(*) FROM news WHERE account_id = $1 AND kind = 6", child) == 2
    await hands.ask(
        father, "CancelPendingChange", pb.CancelPendingChangeRequest(account_id=child, change_id=one.change_id)
    )
    assert await pending(hands, mother, child) == []
    actions = [
        row["action"]
        for row in await own.fetch("SELECT action FROM audit WHERE account_id = $1 ORDER BY done_at", child)
    ]
    assert actions[-2:] == ["waits", "cancelled"]


async def test_what_closes_a_door_is_done_at_once(hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.say(mother, child, FRIEND, "APPROVE")
    assert await hands.passes(child, FRIEND)
    done = await hands.ask(mother, "SetVoice", voice(child, FRIEND, "BLOCK"), cooling=DAY)
    assert done.waits_until_ms == 0
    assert not await hands.passes(child, FRIEND)
    done = await hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=1), cooling=DAY)
    assert done.waits_until_ms == 0


async def test_it_is_done_when_the_day_is_over(
    hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.ask(mother, "SetVoice", voice(child, FRIEND, "APPROVE"), cooling=DAY)
    await hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=3), cooling=DAY)
    assert {(one.kind, one.about) for one in await pending(hands, mother, child)} == {("voice", FRIEND), ("level", "3")}
    await become_due(own, child)
    await gone(own, child)
    assert await hands.passes(child, FRIEND)
    assert await own.fetchval("SELECT level FROM child WHERE account_id = $1", child) == 3


async def test_a_guardian_who_is_sure_again_does_not_wait(hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.ask(mother, "SetVoice", voice(child, FRIEND, "APPROVE"), cooling=DAY)
    assert not await hands.passes(child, FRIEND)
    await hands.ask(mother, "SetVoice", voice(child, FRIEND, "APPROVE"))
    assert await hands.passes(child, FRIEND)
    assert await pending(hands, mother, child) == []


@pytest.mark.parametrize("who", ["herself", "the other"])
async def test_a_refusal_ends_what_waits_whoever_asked_for_it(
    hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record], who: str
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    await hands.ask(mother, "SetVoice", voice(child, THIEF, "APPROVE"), cooling=DAY)
    await hands.say(mother if who == "herself" else father, child, THIEF, "REFUSE")
    assert await pending(hands, mother, child) == []
    await become_due(own, child)
    assert not await hands.passes(child, THIEF)


async def test_what_waits_of_who_is_a_guardian_no_more_comes_to_nothing(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    await hands.ask(mother, "SetVoice", voice(child, THIEF, "APPROVE"), cooling=DAY)
    await own.execute("DELETE FROM guardian WHERE account_id = $1 AND guardian_account_id = $2", child, mother)
    await become_due(own, child)
    await gone(own, child)
    assert not await hands.passes(child, THIEF)
    last = await own.fetchrow(
        "SELECT actor, action FROM audit WHERE account_id = $1 ORDER BY done_at DESC LIMIT 1", child
    )
    assert last is not None
    assert tuple(last) == ("rule", "void")
    assert father


async def test_what_cannot_be_read_keeps_nothing_else_waiting(
    hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.ask(mother, "SetVoice", voice(child, THIEF, "APPROVE"), cooling=DAY)
    await hands.ask(mother, "SetVoice", voice(child, FRIEND, "APPROVE"), cooling=DAY)
    first = await own.fetchval(
        "SELECT change_id FROM pending_change WHERE account_id = $1 ORDER BY asked_at LIMIT 1", child
    )
    await own.execute("UPDATE pending_change SET sealed = 'damaged' WHERE change_id = $1", first)
    await become_due(own, child)
    await gone(own, child)
    assert [await hands.passes(child, one) for one in (THIEF, FRIEND)] == [False, True]


async def test_only_guardians_of_the_child_see_and_cancel_what_waits(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.ask(mother, "SetVoice", voice(child, FRIEND, "APPROVE"), cooling=DAY)
    (one,) = await pending(hands, mother, child)
    _, other = await world.person("other")
    cancel = pb.CancelPendingChangeRequest(account_id=child, change_id=one.change_id)
    for who, more in ((other, {}), (child, {"guarded": True}), (mother, {"tenant_id": 1})):
        assert await refused(hands.ask(who, "CancelPendingChange", cancel, **more)) is grpc.StatusCode.NOT_FOUND
        listing = pb.ListPendingChangesRequest(account_id=child)
        assert await refused(hands.ask(who, "ListPendingChanges", listing, **more)) is grpc.StatusCode.NOT_FOUND
    wrong = pb.CancelPendingChangeRequest(account_id=child, change_id=one.change_id + 1)
    assert await refused(hands.ask(mother, "CancelPendingChange", wrong)) is grpc.StatusCode.NOT_FOUND
    assert len(await pending(hands, mother, child)) == 1


async def test_mail_that_waits_is_delivered_when_the_day_is_over(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, mother = family.child_id, family.mother_id
    await settled(world, family, STRANGER, verdicts=PASSES)
    (sender,) = (await listed(hands, mother, child)).senders
    request = pb.DecideSenderRequest(
        account_id=child, sender_id=sender.sender_id, authentication=sender.authentication,
        action=pb.SENDER_ACTION_DELIVER_ONCE,
    )  # fmt: skip
    answer = await hands.ask(mother, "DecideSender", request, cooling=DAY)
    assert (answer.messages, answer.waits_until_ms > 0) == (0, True)
    assert [one.about for one in await pending(hands, mother, child)] == [STRANGER.lower()]
    assert await world.messages(child) == []
    await become_due(own, child)
    await until(world, family, 1)


async def test_a_dispute_stays_closed_whatever_the_one_parent_tries(hands: Hands, family: Family) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    await hands.say(father, child, FRIEND, "REFUSE")
    group = pb.Group(kind=pb.GROUP_KIND_FAMILY, name="Mine", addresses=[FRIEND])
    for work in (
        hands.say(mother, child, FRIEND, "APPROVE"), hands.say(mother, child, FRIEND, "TAKE_BACK"), hands.say(mother, child, FRIEND, "UNDO"),
        hands.ask(mother, "PutGroup", pb.PutGroupRequest(account_id=child, group=group)),
        hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=4)),
        hands.say(mother, child, FRIEND, "REFUSE"), hands.say(mother, child, FRIEND, "TAKE_BACK"), hands.say(mother, child, FRIEND, "APPROVE"),
    ):  # fmt: skip
        await work
        assert not await hands.passes(child, FRIEND)
    # neither does the child lift it, nor asking
    await hands.ask(child, "AskFor", pb.AskForRequest(address=FRIEND), guarded=True)
    assert not await hands.passes(child, FRIEND)
    await hands.say(father, child, FRIEND, "TAKE_BACK")
    assert await hands.passes(child, FRIEND)
