"""Mail that rules send counts among what an account may send: whoever has a stolen password has its scripts, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.test_delivery_scripts import activate, arrived, boxes, delivered, mails
from tests.ports import offset_of

from petitbleu_dev.stack import Stack

OFFSET = offset_of(550)
LIMIT = 3


@pytest.fixture(scope="module")
def limited_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environment = {"PETITBLEU_PERMIT_ACCOUNT_HOUR": str(LIMIT)}
    with prepared_stack(tmp_path_factory.mktemp("limited") / "data", OFFSET, environment) as stack:
        yield stack


@pytest.fixture
async def world(limited_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(limited_stack) as made:
        yield made


async def test_what_is_sent_on_beyond_the_limit_is_kept_and_its_owner_told_once(world: DeliveryWorld) -> None:
    mine, account = await world.person()
    other, reached = await world.person()
    await activate(world, account, f'redirect "{other}";')
    for _ in range(LIMIT + 2):
        await delivered(world, mine)
    assert len(await arrived(world, reached, LIMIT)) == LIMIT
    found = await arrived(world, account, 3)  # two messages, and the word about them
    told = [one for one in found if one["Subject"] == "A rule of your mailbox failed"]
    assert len(told) == 1 and "may send" in told[0].get_payload()
    assert await boxes(world, account) == {"inbox": 3}
    assert len(await mails(world, reached)) == LIMIT


async def test_one_message_to_many_counts_each_of_them(world: DeliveryWorld) -> None:
    mine, account = await world.person()
    others = [await world.person() for _ in range(LIMIT + 1)]
    await activate(world, account, "".join(f'redirect "{address}";' for address, _ in others))
    await delivered(world, mine)
    assert len(await arrived(world, account, 2)) == 2
    assert [await mails(world, reached) for _, reached in others] == [[]] * len(others)


async def test_answers_and_notices_beyond_the_limit_are_not_sent(world: DeliveryWorld) -> None:
    mine, account = await world.person()
    told, reached = await world.person()
    await activate(world, account, f'require "enotify"; notify "mailto:{told}";')
    for _ in range(LIMIT + 2):
        await delivered(world, mine)
    assert len(await arrived(world, reached, LIMIT)) == LIMIT
    # the messages themselves are where the script wants them
    assert await boxes(world, account) == {"inbox": LIMIT + 2}
    sender, asking = await world.person()
    await activate(world, account, 'require "vacation"; vacation "away";', name="away")
    await delivered(world, mine, sender=sender)
    assert await boxes(world, account) == {"inbox": LIMIT + 3}
    assert await mails(world, asking) == []
    assert len(await mails(world, reached)) == LIMIT
