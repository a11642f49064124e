"""Links of alerts: guessed, replayed, used by the other parent, by the child, by strangers and across tenants, they open nothing."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterator

import asyncpg
import grpc
import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack
from tests.integration.junior.conftest import Family, switch_off
from tests.integration.junior.hands import Hands, refused
from tests.integration.junior.test_junior_waiting import PASSES, STRANGER, listed, settled
from tests.ports import offset_of

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu_dev.stack import Stack

# alerts are written at once here
QUICK = {"PETITBLEU_JUNIOR_GUARD_ALERT_SECONDS": "0.3", "PETITBLEU_JUNIOR_GUARD_UPKEEP_SECONDS": "0.5"}
LINK = re.compile(rb"http://localhost:\d+/#/family/at/([A-Za-z0-9_-]{22})\r\n")


@pytest.fixture(scope="module")
def junior_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(tmp_path_factory.mktemp("links") / "data", offset_of(501), QUICK) as stack:
        switch_off(stack)
        yield stack


async def link_of(world: DeliveryWorld, account_id: int) -> str:
    """What the link in somebody's alert ends in."""
    deadline = time.monotonic() + 30
    while not (found := await world.messages(account_id)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    tokens = LINK.findall((await world.text(account_id, found[0])).replace(b"=\r\n", b"").replace(b"=3D", b"="))
    assert len(tokens) == 1
    return str(tokens[0].decode())


def opening(token: str) -> pb.OpenAlertLinkRequest:
    return pb.OpenAlertLinkRequest(token=token)


@pytest.fixture
async def links(world: DeliveryWorld, family: Family) -> tuple[str, str]:
    """The mother's and the father's."""
    await settled(world, family, STRANGER, verdicts=PASSES)
    return await link_of(world, family.mother_id), await link_of(world, family.father_id)


async def test_a_link_leads_its_guardian_to_the_child_once_and_decides_nothing(
    world: DeliveryWorld, hands: Hands, family: Family, links: tuple[str, str]
) -> None:
    mine, other = links
    assert mine != other
    found = await hands.ask(family.mother_id, "OpenAlertLink", opening(mine))
    assert found.account_id == family.child_id
    assert len((await listed(hands, family.mother_id, family.child_id)).senders) == 1
    assert await world.messages(family.child_id) == []
    # replayed
    for _ in range(2):
        assert await refused(hands.ask(family.mother_id, "OpenAlertLink", opening(mine))) is grpc.StatusCode.NOT_FOUND


async def test_a_link_is_nobody_elses(
    world: DeliveryWorld, hands: Hands, family: Family, links: tuple[str, str]
) -> None:
    mine, _ = links
    _, stranger = await world.person("stranger")
    for who, more in (
        (family.father_id, {}), (family.child_id, {"guarded": True}), (family.child_id, {}), (stranger, {}), (family.mother_id, {"tenant_id": 1}),
    ):  # fmt: skip
        code = await refused(hands.ask(who, "OpenAlertLink", opening(mine), **more))
        assert code is grpc.StatusCode.NOT_FOUND, who


async def test_a_link_is_not_guessed(hands: Hands, family: Family, links: tuple[str, str]) -> None:
    mine, _ = links
    wrong = [mine[:at] + ("A" if mine[at] != "A" else "B") + mine[at + 1 :] for at in range(len(mine))]
    for token in [
        "",
        "x",
        mine + "A",
        mine[:-1],
        "é" * 22,
        "%" * 22,
        "A" * 5000,
        *wrong,
        *(secrets.token_urlsafe(16) for _ in range(50)),
    ]:
        code = await refused(hands.ask(family.mother_id, "OpenAlertLink", opening(token)))
        assert code is grpc.StatusCode.NOT_FOUND, token
    assert (await hands.ask(family.mother_id, "OpenAlertLink", opening(mine))).account_id == family.child_id


async def test_of_many_at_once_one_opens_it(hands: Hands, family: Family, links: tuple[str, str]) -> None:
    tries = [hands.ask(family.mother_id, "OpenAlertLink", opening(links[0])) for _ in range(8)]
    got = await asyncio.gather(*tries, return_exceptions=True)
    assert [isinstance(one, Exception) for one in got].count(False) == 1


async def test_a_link_ends_and_ends_with_the_guardianship(
    hands: Hands, family: Family, own: asyncpg.Connection[asyncpg.Record], links: tuple[str, str]
) -> None:
    await own.execute("DELETE FROM guardian WHERE guardian_account_id = $1", family.father_id)
    assert await refused(hands.ask(family.father_id, "OpenAlertLink", opening(links[1]))) is grpc.StatusCode.NOT_FOUND
    await own.execute("UPDATE alert_link SET ends_at = now() WHERE guardian_account_id = $1", family.mother_id)
    assert await refused(hands.ask(family.mother_id, "OpenAlertLink", opening(links[0]))) is grpc.StatusCode.NOT_FOUND
