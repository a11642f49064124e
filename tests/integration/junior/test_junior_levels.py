"""Levels 1 to 4 with real services: who comes in at each, and what never does."""

from __future__ import annotations

import asyncpg
import pytest
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family

from petitbleu.junior_guard.v1 import junior_guard_pb2
from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack
from petitbleu_junior_guard.adapters.key_file import read_key
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_kit.ids import new_blob_id, partition_of_account

FRIEND = "aunt.mary@else.test"
TWIN = "aunt.rnary@else.test"
PASSES = accept_pb2.AuthenticationVerdicts(from_authenticated=True, dmarc=accept_pb2.VERDICT_PASS)


async def level(world: DeliveryWorld, family: Family, number: int) -> None:
    await world.guard_admin("SetLevel", junior_guard_pb2.SetLevelRequest(account_id=family.child_id, level=number))


@pytest.mark.parametrize(
    ("number", "came"), [(1, ["mother"]), (2, ["mother", "friend"]), (4, ["mother", "friend", "new"])]
)
async def test_each_level_lets_in_what_it_says(
    world: DeliveryWorld, family: Family, number: int, came: list[str]
) -> None:
    await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=family.child_id, address=FRIEND))
    await level(world, family, number)
    senders = {"mother": family.mother, "friend": FRIEND, "new": "new@else.test", "twin": TWIN}
    ids = []
    for sender in senders.values():
        ids += await world.accept(family.child, mail_from=sender, verdicts=PASSES)
    await world.settled(ids)
    texts = [await world.text(family.child_id, one) for one in await world.messages(family.child_id)]
    assert sorted(name for name, sender in senders.items() if any(sender.encode() in text for text in texts)) == sorted(
        came
    )


async def test_what_is_not_authenticated_junk_or_a_failure_of_dmarc_is_held_at_every_level(
    world: DeliveryWorld, family: Family
) -> None:
    await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=family.child_id, address=FRIEND))
    ids = []
    for number in (1, 2, 3, 4):
        await level(world, family, number)
        for sender in (family.mother, FRIEND, "new@else.test"):
            for verdicts in (
                accept_pb2.AuthenticationVerdicts(from_authenticated=False),
                accept_pb2.AuthenticationVerdicts(from_authenticated=True, treatment=accept_pb2.TREATMENT_JUNK),
                accept_pb2.AuthenticationVerdicts(from_authenticated=True, dmarc=accept_pb2.VERDICT_FAIL),
            ):
                ids += await world.accept(family.child, mail_from=sender, verdicts=verdicts)
        await world.settled(ids)
    assert await world.messages(family.child_id) == []


async def test_a_newcomers_message_is_flagged_and_a_friends_is_not(world: DeliveryWorld, family: Family) -> None:
    await level(world, family, 4)
    ids = await world.accept(family.child, mail_from=family.mother, verdicts=PASSES)
    await world.settled(ids)
    ids = await world.accept(family.child, mail_from="new@else.test", verdicts=PASSES)
    await world.settled(ids)
    newest, oldest = await world.messages(family.child_id)
    found = await world.mailbox("GetMessages", family.child_id, message_ids=[newest, oldest])
    flagged = {one.message_id: "newcomer" in one.keywords for one in found.messages}
    assert flagged == {newest: True, oldest: False}


async def test_what_the_version_before_approves_is_approved(
    world: DeliveryWorld, family: Family, junior_stack: Stack, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    seal = Seal(read_key(junior_stack.layout.data / "keys" / "junior-guard.key", may_make=False))
    await own.execute(
        "/* cold:test.before */ INSERT INTO correspondent (partition, account_id, address_hash, sealed, approved_by) "
        "VALUES ($1, $2, $3, $4, 'operator')",
        partition_of_account(family.child_id), family.child_id, seal.hash(family.child_id, FRIEND),
        seal.seal(family.child_id, FRIEND),
    )  # fmt: skip
    decided = await world.check(family.child_id, new_blob_id(1, 0).bytes, FRIEND, authenticated=True)
    assert decided.verdict == junior_guard_pb2.VERDICT_DELIVER
    await level(world, family, 1)
    decided = await world.check(family.child_id, new_blob_id(1, 0).bytes, FRIEND, authenticated=True)
    assert decided.verdict == junior_guard_pb2.VERDICT_HOLD
