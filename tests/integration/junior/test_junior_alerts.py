"""Alerts with real services: guardians hear by mail, once an hour at most, of what still waits, and once more after three days."""

from __future__ import annotations

import asyncio
import email
import email.policy
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.conftest import Family, own_database
from tests.integration.junior.hands import Hands
from tests.ports import offset_of

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2
from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack
from petitbleu_kit.ids import partition_of_account

PASSES = accept_pb2.AuthenticationVerdicts(from_authenticated=True)
JUNK = accept_pb2.AuthenticationVerdicts(from_authenticated=True, treatment=accept_pb2.TREATMENT_JUNK)


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    quick = {"PETITBLEU_JUNIOR_GUARD_ALERT_SECONDS": "0.3", "PETITBLEU_JUNIOR_GUARD_UPKEEP_SECONDS": "0.5"}
    with prepared_stack(tmp_path_factory.mktemp("alerts") / "data", offset_of(501), quick) as stack:
        yield stack


@pytest.fixture
async def world(alerting: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(alerting) as made:
        yield made


@pytest.fixture
async def own(alerting: Stack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with own_database(alerting) as connection:
        yield connection


@pytest.fixture
async def family(world: DeliveryWorld) -> Family:
    mother, father = await world.person("mother", language="fr"), await world.person("father", language="en")
    child = await world.person("child", guarded=True, guardians=(mother[0], father[0]))
    return Family(*child, *mother, *father)


async def mails(world: DeliveryWorld, account_id: int, wanted: int) -> list[str]:
    """The texts of an account's messages, newest first, once there are as many as wanted."""
    deadline = time.monotonic() + 30
    while len(found := await world.messages(account_id)) < wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    assert len(found) == wanted
    texts = []
    for one in found:
        message = email.message_from_bytes(await world.text(account_id, one), policy=email.policy.default)
        assert isinstance(message, email.message.EmailMessage)
        texts.append(f"{message['Subject']}\n{message.get_content()}")
    return texts


async def hour(own: asyncpg.Connection[asyncpg.Record]) -> None:
    """An hour passes for whoever was written to."""
    await own.execute("/* cold:test.hour */ UPDATE bell SET rung_at = rung_at - interval '61 minutes'")


async def settled(world: DeliveryWorld, family: Family, sender: str, count: int = 1, **more: object) -> list[bytes]:
    ids = await world.accept(family.child, mail_from=sender, count=count, **{"verdicts": PASSES, **more})  # type: ignore[arg-type]
    await world.settled(ids)
    return ids


async def test_each_guardian_hears_in_their_language_and_of_no_junk(world: DeliveryWorld, family: Family) -> None:
    await settled(world, family, "spam@else.test", verdicts=JUNK)
    await settled(
        world,
        family,
        "stranger@else.test",
        3,
        body=b"From: Evil Name <stranger@else.test>\r\nSubject: secret\r\n\r\nx\r\n",
    )
    (french,) = await mails(world, family.mother_id, 1)
    (english,) = await mails(world, family.father_id, 1)
    assert f"Courrier pour {family.child}" in french
    assert "stranger@else.test attend votre décision" in french
    assert "messages : 3; cela vient bien de cette adresse" in french
    assert "stranger@else.test waits for your decision" in english
    for text in (french, english):
        for word in ("Evil", "secret", "spam@else.test"):
            assert word not in text


async def test_once_an_hour_and_only_of_what_still_waits(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    await settled(world, family, "first@else.test")
    await mails(world, family.mother_id, 1)
    await settled(world, family, "second@else.test")
    await settled(world, family, "third@else.test")
    await settled(world, family, "first@else.test")
    await asyncio.sleep(1)
    await mails(world, family.mother_id, 1)
    listed = await hands.ask(family.father_id, "ListWaiting", pb.ListWaitingRequest(account_id=family.child_id))
    third = next(one for one in listed.senders if one.address == "third@else.test")
    request = pb.DecideSenderRequest(
        account_id=family.child_id, sender_id=third.sender_id, authentication=third.authentication,
        action=pb.SENDER_ACTION_REFUSE,
    )  # fmt: skip
    await hands.ask(family.father_id, "DecideSender", request)
    await hour(own)
    newest, _ = await mails(world, family.mother_id, 2)
    assert "second@else.test" in newest
    assert "third@else.test" not in newest
    assert "first@else.test" not in newest  # told already, and waits since


async def test_guardians_hear_once_more_after_three_days(
    world: DeliveryWorld, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    await settled(world, family, "stranger@else.test", 2)
    await mails(world, family.mother_id, 1)
    await hour(own)
    await own.execute(
        "/* cold:test.age */ UPDATE decision SET held_at = held_at - interval '73 hours' WHERE account_id = $1",
        family.child_id,
    )
    newest, _ = await mails(world, family.mother_id, 2)
    assert "stranger@else.test attend toujours votre décision" in newest
    await hour(own)
    await asyncio.sleep(1)
    await mails(world, family.mother_id, 2)


async def test_guardians_hear_of_newcomers_and_of_whom_the_child_adds_or_asks_for(
    world: DeliveryWorld, hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    async def asks(address: str) -> None:
        await hands.ask(family.child_id, "AskFor", pb.AskForRequest(address=address), guarded=True)

    await asks("asked@else.test")
    assert "asked@else.test is whom your child would like" in (await mails(world, family.father_id, 1))[0]
    level = junior_guard_pb2.SetLevelRequest(account_id=family.child_id, level=4)
    await world.guard_admin("SetLevel", level)
    await asks("added@else.test")
    await settled(world, family, "new@else.test", 2)
    await settled(world, family, "new@else.test")
    await hour(own)
    newest, _ = await mails(world, family.father_id, 2)
    assert "added@else.test was added by your child" in newest
    assert newest.count("new@else.test is new, and was delivered") == 1
    assert len(await world.messages(family.child_id)) == 3


async def test_a_letter_that_may_have_been_sent_is_sent_once(
    world: DeliveryWorld, family: Family, own: asyncpg.Connection[asyncpg.Record], alerting: Stack
) -> None:
    alerting.stop_process("store")
    try:
        await own.execute(
            "/* cold:test.news */ INSERT INTO news (partition, guardian_account_id, account_id, kind, address_hash, authenticated, sealed, since) "
            "SELECT g.partition, g.guardian_account_id, g.account_id, 4, a.address_hash, true, a.sealed, now() FROM guardian g "
            "JOIN address a ON a.account_id = g.account_id WHERE g.account_id = $1 AND g.guardian_account_id = $2 LIMIT 1",
            family.child_id, family.father_id,
        )  # fmt: skip
        # the partition of a news row is its guardian's
        await own.execute("/* cold:test.partition */ UPDATE news SET partition = $1 WHERE guardian_account_id = $2", partition_of_account(family.father_id), family.father_id)  # fmt: skip
        deadline = time.monotonic() + 30
        while not await own.fetchval("/* cold:test.bell */ SELECT letter FROM bell WHERE guardian_account_id = $1", family.father_id):  # fmt: skip
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    finally:
        alerting.start_process("store")
    alerting.wait_ready()
    deadline = time.monotonic() + 60
    while await own.fetchval("/* cold:test.bell */ SELECT letter FROM bell WHERE guardian_account_id = $1", family.father_id):  # fmt: skip
        assert time.monotonic() < deadline
        await own.execute("/* cold:test.due */ UPDATE bell SET due_at = now() WHERE letter IS NOT NULL")
        await asyncio.sleep(0.3)
    await mails(world, family.father_id, 1)
