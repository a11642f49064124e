"""Who guards: a second guardian by invitation, one who leaves by agreement, and who tries to become one without either."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import grpc
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands, refused

from petitbleu.junior_guard.v1 import family_pb2, guardians_pb2_grpc
from petitbleu.junior_guard.v1 import guardians_pb2 as pb

NOT_FOUND = grpc.StatusCode.NOT_FOUND
DAY = 86_400.0


async def ask(world: DeliveryWorld, hands: Hands, who: int, method: str, request: Any, **more: Any) -> Any:
    principal = hands.principal(who, **more)
    return await world.call(
        "junior-guard", "gateway", guardians_pb2_grpc.GuardiansServiceStub, method, request, principal
    )


async def children(hands: Hands, who: int) -> list[int]:
    return [one.account_id for one in (await hands.ask(who, "ListChildren", family_pb2.ListChildrenRequest())).children]


async def invited(world: DeliveryWorld, hands: Hands, who: int) -> list[Any]:
    found = await ask(world, hands, who, "ListMyInvitations", pb.ListMyInvitationsRequest())
    return list(found.invitations)


async def test_who_is_invited_and_accepts_guards_and_may_be_written_with(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    child, mother = family.child_id, family.mother_id
    address, aunt = await world.person("aunt")
    assert await invited(world, hands, aunt) == []
    invite = pb.InviteGuardianRequest(account_id=child, address=address.upper())
    await ask(world, hands, mother, "InviteGuardian", invite)
    await ask(world, hands, mother, "InviteGuardian", invite)  # the same again
    (one,) = await invited(world, hands, aunt)
    assert (one.account_id, one.invited_by, one.address) == (child, mother, "")
    assert await children(hands, aunt) == []  # not yet
    answer = pb.AnswerInvitationRequest(account_id=child, invitation_id=one.invitation_id, accept=True)
    await ask(world, hands, aunt, "AnswerInvitation", answer)
    assert await children(hands, aunt) == [child]
    assert await hands.passes(child, address)
    assert await refused(ask(world, hands, aunt, "AnswerInvitation", answer)) is NOT_FOUND  # it is used up
    assert await invited(world, hands, aunt) == []


async def test_an_invitation_is_for_who_is_invited_alone(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    address, aunt = await world.person("aunt")
    _, thief = await world.person("thief")
    await ask(world, hands, mother, "InviteGuardian", pb.InviteGuardianRequest(account_id=child, address=address))
    (one,) = await invited(world, hands, aunt)
    answer = pb.AnswerInvitationRequest(account_id=child, invitation_id=one.invitation_id, accept=True)
    for who, more in (
        (thief, {}),
        (mother, {}),
        (child, {"guarded": True}),
        (aunt, {"tenant_id": 1}),
        (aunt, {"guarded": True}),
    ):
        assert await refused(ask(world, hands, who, "AnswerInvitation", answer, **more)) is NOT_FOUND, who
    for number in (0, one.invitation_id + 1, -1):
        wrong = pb.AnswerInvitationRequest(account_id=child, invitation_id=number, accept=True)
        assert await refused(ask(world, hands, aunt, "AnswerInvitation", wrong)) is NOT_FOUND
    assert (
        await refused(
            ask(world, hands, thief, "InviteGuardian", pb.InviteGuardianRequest(account_id=child, address="a@b.test"))
        )
        is NOT_FOUND
    )
    # nobody learns whether an address exists
    same = [
        await ask(world, hands, mother, "InviteGuardian", pb.InviteGuardianRequest(account_id=child, address=one))
        for one in (family.father, "nobody@route.test", "elsewhere@else.test")
    ]
    assert {one.SerializeToString() for one in same} == {b""}
    # taken back by the other guardian
    await ask(
        world,
        hands,
        father,
        "WithdrawInvitation",
        pb.WithdrawInvitationRequest(account_id=child, invitation_id=one.invitation_id),
    )
    assert await refused(ask(world, hands, aunt, "AnswerInvitation", answer)) is NOT_FOUND
    # over
    await ask(world, hands, mother, "InviteGuardian", pb.InviteGuardianRequest(account_id=child, address=address))
    await own.execute("UPDATE guardian_invitation SET ends_at = now() WHERE account_id = $1", child)
    late = pb.AnswerInvitationRequest(
        account_id=child, accept=True,
        invitation_id=await own.fetchval("SELECT max(invitation_id) FROM guardian_invitation WHERE account_id = $1", child),
    )  # fmt: skip
    assert await refused(ask(world, hands, aunt, "AnswerInvitation", late)) is NOT_FOUND
    assert await children(hands, aunt) == []


async def test_nobody_else_says_who_guards(world: DeliveryWorld, hands: Hands, family: Family) -> None:
    child, mother = family.child_id, family.mother_id
    _, stranger = await world.person("stranger")
    requests = {
        "InviteGuardian": pb.InviteGuardianRequest(account_id=child, address="a@b.test"),
        "ListGuardians": pb.ListGuardiansRequest(account_id=child),
        "WithdrawInvitation": pb.WithdrawInvitationRequest(account_id=child, invitation_id=1),
        "AnswerInvitation": pb.AnswerInvitationRequest(account_id=child, invitation_id=1, accept=True),
        "AgreeToLeaving": pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=mother),
        "ForgetLeaving": pb.ForgetLeavingRequest(account_id=child, guardian_account_id=mother),
    }
    assert set(requests) == set(pb.DESCRIPTOR.services_by_name["GuardiansService"].methods_by_name) - {
        "ListMyInvitations"
    }
    persons: tuple[tuple[int, dict[str, Any]], ...] = (
        (stranger, {}), (child, {"guarded": True}), (child, {}), (mother, {"tenant_id": 1}), (mother, {"guarded": True}),
    )  # fmt: skip
    for method, request in requests.items():
        for who, more in persons:
            assert await refused(ask(world, hands, who, method, request, **more)) is NOT_FOUND, (method, who)
        for caller in ("delivery", "operator", "ingest"):
            stub = guardians_pb2_grpc.GuardiansServiceStub
            denied = world.call("junior-guard", caller, stub, method, request, hands.principal(mother))
            assert await refused(denied) is grpc.StatusCode.PERMISSION_DENIED, (method, caller)


async def test_who_may_be_somebody_else_invites_nobody_for_a_day(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    address, thief = await world.person("thief")
    invite = pb.InviteGuardianRequest(account_id=child, address=address)
    waits = await ask(world, hands, mother, "InviteGuardian", invite, cooling=DAY)
    assert waits.waits_until_ms > 0
    assert await invited(world, hands, thief) == []
    leaving = pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=father)
    assert (await ask(world, hands, mother, "AgreeToLeaving", leaving, cooling=DAY)).waits_until_ms > 0
    found = await hands.ask(father, "ListPendingChanges", family_pb2.ListPendingChangesRequest(account_id=child))
    assert {(one.kind, one.about) for one in found.changes} == {("invitation", address), ("leaving", str(father))}


async def test_a_guardian_leaves_when_both_agree_and_never_the_last(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    leaving = pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=father)
    for _ in range(2):
        assert not (await ask(world, hands, mother, "AgreeToLeaving", leaving)).done  # she alone puts nobody out
    assert await children(hands, father) == [child]
    found = await ask(world, hands, father, "ListGuardians", pb.ListGuardiansRequest(account_id=child))
    assert [(one.guardian_account_id, one.agreed_by) for one in found.leavings] == [(father, mother)]
    # he stays, and what she agreed to is forgotten
    await ask(
        world, hands, father, "ForgetLeaving", pb.ForgetLeavingRequest(account_id=child, guardian_account_id=father)
    )
    assert not (await ask(world, hands, father, "AgreeToLeaving", leaving)).done
    assert (await ask(world, hands, mother, "AgreeToLeaving", leaving)).done
    assert await children(hands, father) == []
    assert await refused(hands.say(father, child, "a@b.test", "APPROVE")) is NOT_FOUND
    assert await hands.passes(child, family.father)  # whom the child may write to still
    last = pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=mother)
    assert await refused(ask(world, hands, mother, "AgreeToLeaving", last)) is grpc.StatusCode.FAILED_PRECONDITION
    _, stranger = await world.person("stranger")
    assert await refused(ask(world, hands, stranger, "AgreeToLeaving", last)) is NOT_FOUND


async def test_two_third_parties_put_nobody_out(world: DeliveryWorld, hands: Hands, family: Family) -> None:
    child, mother, father = family.child_id, family.mother_id, family.father_id
    address, aunt = await world.person("aunt")
    await ask(world, hands, mother, "InviteGuardian", pb.InviteGuardianRequest(account_id=child, address=address))
    (one,) = await invited(world, hands, aunt)
    await ask(
        world,
        hands,
        aunt,
        "AnswerInvitation",
        pb.AnswerInvitationRequest(account_id=child, invitation_id=one.invitation_id, accept=True),
    )
    leaving = pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=father)
    for who in (mother, aunt):
        assert not (await ask(world, hands, who, "AgreeToLeaving", leaving)).done
    assert child in await children(hands, father)
    # two at once leave one of them
    both = [
        ask(world, hands, who, "AgreeToLeaving", pb.AgreeToLeavingRequest(account_id=child, guardian_account_id=other))
        for who, other in (
            (mother, mother),
            (aunt, mother),
            (mother, aunt),
            (aunt, aunt),
            (father, father),
            (mother, father),
        )
    ]
    await asyncio.gather(*both, return_exceptions=True)
    left = [who for who in (mother, father, aunt) if child in await children(hands, who)]
    assert left
