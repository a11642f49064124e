"""Events: ids are delivered in one call, what cannot be read is skipped and counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from services.delivery.tests.delivery_fakes import World

from petitbleu.events.v1 import events_pb2 as pb
from petitbleu_delivery.consumers import AcceptedMail
from petitbleu_kit.bus import Event


def event(*ids: bytes) -> Event:
    return Event("mail.message.accepted.v1.1", pb.MessageAccepted(partition=1, accepted_ids=ids).SerializeToString(), 1)


async def test_all_events_that_are_ready_make_one_round() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(6)]
    await AcceptedMail(world.rounds).handle([event(*ids[:2]), event(*ids[2:5]), event(ids[5]), event(ids[0])])
    assert world.store.calls == [("list", 6), ("file", 6), ("settle", 6)]


@given(st.binary(max_size=80))
async def test_rubbish_on_the_bus_stops_nobody(rubbish: bytes) -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    accepted = world.store.accept("a@x.test")
    await AcceptedMail(world.rounds).handle([Event("mail.message.accepted.v1.1", rubbish, 1), event(accepted)])
    assert not world.store.open
