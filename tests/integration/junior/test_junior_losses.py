"""What is lost around the guard costs no child anything: Redis emptied, the bus wiped, the guard killed, deciders who are two."""

from __future__ import annotations

import asyncio

import nats
from redis.asyncio import Redis
from tests.integration.delivery_world import DeliveryWorld
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands
from tests.integration.junior.test_junior_waiting import PASSES, STRANGER, decide, listed

from petitbleu.junior_guard.v1 import junior_guard_pb2

FRIEND = "friend@else.test"


async def _empty_redis(world: DeliveryWorld) -> None:
    client: Redis = Redis.from_url(f"unix://{world.stack.layout.redis_socket}")
    await client.flushall()
    await client.aclose()


async def _wipe_bus(world: DeliveryWorld) -> None:
    user, password = world.stack.nats_administrator
    client = await nats.connect(f"nats://127.0.0.1:{world.stack.port('nats')}", user=user, password=password)
    for stream in await client.jetstream().streams_info():
        await client.jetstream().delete_stream(stream.config.name or "")
    await client.close()


async def _mail(world: DeliveryWorld, family: Family, adult: str, count: int) -> list[bytes]:
    """As many from a friend and from a stranger to the child, and from the stranger to an adult."""
    mail = await asyncio.gather(
        world.accept(family.child, mail_from=FRIEND, count=count, verdicts=PASSES),
        world.accept(family.child, mail_from=STRANGER, count=count, verdicts=PASSES),
        world.accept(adult, mail_from=STRANGER, count=count, verdicts=PASSES),
    )
    return [one for part in mail for one in part]


async def _came(world: DeliveryWorld, hands: Hands, family: Family, adult_id: int, count: int) -> None:
    """The friend's mail is there once, the adult's too, and the stranger's waits, each once."""
    assert len(await world.messages(family.child_id)) == count
    assert len(await world.messages(adult_id)) == count
    (sender,) = (await listed(hands, family.mother_id, family.child_id)).senders
    assert sender.messages == count


async def _friend(world: DeliveryWorld, family: Family) -> None:
    await world.guard_admin("Approve", junior_guard_pb2.ApproveRequest(account_id=family.child_id, address=FRIEND))


async def test_redis_emptied_and_the_bus_wiped_while_mail_comes(
    world: DeliveryWorld, hands: Hands, family: Family
) -> None:
    await _friend(world, family)
    adult, adult_id = await world.person("adult")
    ids = await _mail(world, family, adult, 4)
    await asyncio.gather(_empty_redis(world), _wipe_bus(world))
    ids += await _mail(world, family, adult, 3)
    await asyncio.gather(_wipe_bus(world), _empty_redis(world))
    await world.settled(ids, 120)
    await _came(world, hands, family, adult_id, 7)
    # two decide at once, the bus gone again between the decision and what follows
    (sender,) = (await listed(hands, family.mother_id, family.child_id)).senders
    both = await asyncio.gather(
        decide(hands, family.mother_id, family.child_id, sender, "DELIVER_ONCE"),
        decide(hands, family.father_id, family.child_id, sender, "DELIVER_ONCE"),
        _wipe_bus(world),
    )
    assert sorted(one.messages for one in both[:2]) == [0, 7]
    async with asyncio.timeout(60):
        while len(await world.messages(family.child_id)) < 14:
            await asyncio.sleep(0.1)
    assert len(await world.messages(family.child_id)) == 14


async def test_the_guard_killed_while_mail_comes(world: DeliveryWorld, hands: Hands, family: Family) -> None:
    await _friend(world, family)
    adult, adult_id = await world.person("adult")
    world.stack.kill("junior-guard")
    ids = await _mail(world, family, adult, 5)
    await world.settled(ids, 120)
    await _came(world, hands, family, adult_id, 5)
