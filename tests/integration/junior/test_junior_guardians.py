"""What guardians and children do themselves, with real services: voices, groups, levels, the audit, and who may not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands, refused

from petitbleu.junior_guard.v1 import family_pb2 as pb

FRIEND, TWIN = "aunt.mary@else.test", "aunt.rnary@else.test"
HOUR_MS = 3_600_000


async def test_a_refusal_outweighs_every_approval_until_its_speaker_takes_it_back(hands: Hands, family: Family) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    stands = await hands.say(mother, child, FRIEND, "APPROVE")
    assert (stands.state, stands.let_in) == (pb.CORRESPONDENT_STATE_APPROVED, True)
    assert await hands.passes(child, FRIEND)
    stands = await hands.say(father, child, FRIEND, "REFUSE")
    assert (stands.state, stands.let_in) == (pb.CORRESPONDENT_STATE_REFUSED, False)
    assert {(one.party, one.kind) for one in stands.voices} == {
        (mother, pb.VOICE_KIND_APPROVED), (father, pb.VOICE_KIND_REFUSED),
    }  # fmt: skip
    for action in ("TAKE_BACK", "APPROVE", "UNDO"):  # nothing that the mother does lifts it
        assert not (await hands.say(mother, child, FRIEND, action)).let_in
        assert not await hands.passes(child, FRIEND)
    await hands.say(father, child, FRIEND, "TAKE_BACK")
    assert await hands.passes(child, FRIEND)


async def test_an_approval_ends_when_it_was_to_end(hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    now = int(time.time() * 1000)
    ends = now + 1500
    await hands.say(mother, child, FRIEND, "APPROVE", ends_at_ms=ends)
    assert await hands.passes(child, FRIEND) or time.time() * 1000 > ends
    while time.time() * 1000 <= ends:
        await asyncio.sleep(0.1)
    assert not await hands.passes(child, FRIEND)
    past = hands.say(mother, child, FRIEND, "APPROVE", ends_at_ms=now - HOUR_MS)
    assert await refused(past) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_look_alike_is_not_approved_by_mistake(hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    await hands.say(mother, child, FRIEND, "APPROVE")
    assert not await hands.passes(child, TWIN)
    assert await refused(hands.say(mother, child, TWIN, "APPROVE")) is grpc.StatusCode.FAILED_PRECONDITION
    assert not await hands.passes(child, TWIN)
    assert (await hands.say(mother, child, TWIN, "APPROVE", although_alike=True)).let_in


async def test_groups_let_their_members_in_at_their_level(hands: Hands, family: Family) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    grandmother, pupil = "nan@else.test", "pupil@school.test"

    async def put(kind: pb.GroupKind.ValueType, name: str, *addresses: str, group_id: int = 0) -> int:
        group = pb.Group(group_id=group_id, kind=kind, name=name, addresses=addresses)
        made = await hands.ask(mother, "PutGroup", pb.PutGroupRequest(account_id=child, group=group))
        return int(made.group_id)

    family_id = await put(pb.GROUP_KIND_FAMILY, "Us", grandmother)
    class_id = await put(pb.GROUP_KIND_CLASS, "CM1", pupil, FRIEND)
    for level, came in ((1, {grandmother}), (2, {grandmother}), (3, {grandmother, pupil, FRIEND})):
        await hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=level))
        assert {one for one in (grandmother, pupil, FRIEND) if await hands.passes(child, one)} == came
    await hands.say(father, child, pupil, "BLOCK")
    assert not await hands.passes(child, pupil)
    assert await put(pb.GROUP_KIND_CLASS, "CM2", pupil, group_id=class_id) == class_id
    assert not await hands.passes(child, FRIEND)
    refuse = pb.SetGroupVoiceRequest(account_id=child, group_id=family_id, action=pb.VOICE_ACTION_REFUSE)
    await hands.ask(father, "SetGroupVoice", refuse)
    assert not await hands.passes(child, grandmother)
    groups = (await hands.ask(father, "ListGroups", pb.ListGroupsRequest(account_id=child))).groups
    assert {(one.group_id, one.name, tuple(one.addresses), one.approved) for one in groups} == {
        (family_id, "Us", (grandmother,), False), (class_id, "CM2", (pupil,), True),
    }  # fmt: skip
    unknown = pb.SetGroupVoiceRequest(account_id=child, group_id=1, action=pb.VOICE_ACTION_REFUSE)
    assert await refused(hands.ask(father, "SetGroupVoice", unknown)) is grpc.StatusCode.NOT_FOUND


async def test_a_child_asks_and_from_level_three_adds_and_a_guardian_undoes(hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id

    async def asks(address: str) -> pb.Correspondent:
        answer = await hands.ask(child, "AskFor", pb.AskForRequest(address=address), guarded=True)
        stands: pb.Correspondent = answer.correspondent
        return stands

    asked = await asks(FRIEND)
    assert (asked.state, asked.let_in, list(asked.voices)) == (pb.CORRESPONDENT_STATE_ASKED, False, [])
    await hands.ask(mother, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=3))
    assert not await hands.passes(child, FRIEND)  # what was asked for at level 2 waits for a guardian
    added = await asks("pal@else.test")
    assert (added.state, added.let_in) == (pb.CORRESPONDENT_STATE_ADDED, True)
    assert await hands.passes(child, "pal@else.test")
    assert (await asks("pa1@else.test")).state == pb.CORRESPONDENT_STATE_ASKED  # a twin is never added
    await hands.say(mother, child, "pal@else.test", "UNDO")
    assert not await hands.passes(child, "pal@else.test")
    await hands.say(mother, child, "pal@else.test", "BLOCK")
    assert (await asks("pal@else.test")).state == pb.CORRESPONDENT_STATE_REFUSED
    assert not await hands.passes(child, "pal@else.test")
    await hands.say(mother, child, "unseen@else.test", "REFUSE")
    mine = await hands.ask(child, "GetMine", pb.GetMineRequest(), guarded=True)
    assert mine.level == 3
    assert {one.address for one in mine.correspondents} == {FRIEND, "pa1@else.test", family.mother, family.father}


async def test_guardians_see_their_children_and_who_did_what(hands: Hands, family: Family) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    await hands.say(mother, child, FRIEND, "APPROVE")
    await hands.ask(father, "MoveLevel", pb.MoveLevelRequest(account_id=child, level=1))
    (mine,) = (await hands.ask(mother, "ListChildren", pb.ListChildrenRequest())).children
    assert (mine.account_id, mine.level, sorted(mine.guardian_account_ids)) == (child, 1, sorted([mother, father]))
    entries = (await hands.ask(father, "ListAudit", pb.ListAuditRequest(account_id=child, limit=2))).entries
    assert [(one.actor, one.action, one.address, one.subject) for one in entries] == [
        (str(father), "level", "", "2-1"), (str(mother), "approve", FRIEND, ""),
    ]  # fmt: skip
    found = (
        await hands.ask(father, "ListCorrespondents", pb.ListCorrespondentsRequest(account_id=child))
    ).correspondents
    assert {(one.address, one.state, one.let_in) for one in found} == {
        (family.mother, pb.CORRESPONDENT_STATE_FAMILY, True), (family.father, pb.CORRESPONDENT_STATE_FAMILY, True),
        (FRIEND, pb.CORRESPONDENT_STATE_APPROVED, False),
    }  # fmt: skip


async def test_nobody_else_decides_for_a_child(world: DeliveryWorld, hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    _, stranger = await world.person("stranger")
    _, other_parent = await world.person("other")
    await world.person("kid", guarded=True, guardians=((await world.person("third"))[0],))
    tenant = world._tenants[mother]
    persons: tuple[tuple[int, dict[str, Any], grpc.StatusCode], ...] = (
        (stranger, {}, grpc.StatusCode.NOT_FOUND),
        (other_parent, {}, grpc.StatusCode.NOT_FOUND),
        (child, {"guarded": True}, grpc.StatusCode.NOT_FOUND),
        (child, {}, grpc.StatusCode.NOT_FOUND),
        (mother, {"tenant_id": tenant + 1}, grpc.StatusCode.NOT_FOUND),
        (mother, {"guarded": True}, grpc.StatusCode.NOT_FOUND),
    )
    requests = {
        "MoveLevel": pb.MoveLevelRequest(account_id=child, level=4),
        "SetVoice": pb.SetVoiceRequest(account_id=child, address=FRIEND, action=pb.VOICE_ACTION_APPROVE),
        "ListCorrespondents": pb.ListCorrespondentsRequest(account_id=child),
        "PutGroup": pb.PutGroupRequest(
            account_id=child, group=pb.Group(kind=pb.GROUP_KIND_FAMILY, name="x", addresses=[FRIEND])
        ),
        "SetGroupVoice": pb.SetGroupVoiceRequest(account_id=child, group_id=1, action=pb.VOICE_ACTION_APPROVE),
        "ListGroups": pb.ListGroupsRequest(account_id=child),
        "ListWaiting": pb.ListWaitingRequest(account_id=child),
        "DecideSender": pb.DecideSenderRequest(
            account_id=child,
            sender_id=b"x",
            authentication=pb.AUTHENTICATION_CONFIRMED,
            action=pb.SENDER_ACTION_DELIVER_AND_APPROVE,
        ),
        "ListAudit": pb.ListAuditRequest(account_id=child),
        "ListPendingChanges": pb.ListPendingChangesRequest(account_id=child),
        "CancelPendingChange": pb.CancelPendingChangeRequest(account_id=child, change_id=1),
        "OpenAlertLink": pb.OpenAlertLinkRequest(token="A" * 22),
    }
    methods = set(pb.DESCRIPTOR.services_by_name["FamilyService"].methods_by_name)
    assert set(requests) >= methods - {"ListChildren"}
    for method, request in requests.items():
        for account, who, code in persons:
            assert await refused(hands.ask(account, method, request, **who)) is code, (method, account, who)
        for caller in ("delivery", "operator", "ingest"):
            done = await refused(hands.ask(mother, method, request, caller=caller))
            assert done is grpc.StatusCode.PERMISSION_DENIED
    assert not (await hands.ask(stranger, "ListChildren", pb.ListChildrenRequest())).children
    adults = hands.ask(mother, "AskFor", pb.AskForRequest(address=FRIEND))
    assert await refused(adults) is grpc.StatusCode.FAILED_PRECONDITION
    assert not await hands.passes(child, FRIEND)
    (mine,) = (await hands.ask(mother, "ListChildren", pb.ListChildrenRequest())).children
    assert mine.level == 2
