"""A process that was silent: it begins nothing, ends nothing, and what it had in hand is not its own any more."""

from __future__ import annotations

import asyncio

import pytest
from services.delivery.tests.delivery_fakes import Clock, HeardRows
from services.delivery.tests.test_delivery_sending import Scene

from petitbleu_delivery.adapters.queue_rows import Unit
from petitbleu_delivery.domain.outbound import Answer, Letter, NotInHandError
from petitbleu_delivery.service.outbound.presence import Presence


class Others:
    """A process, the database's clock, and its own."""

    def __init__(self) -> None:
        self.clock, self.database = Clock(), Clock()
        self.rows = HeardRows(self.database)
        self.presence = Presence(self.rows, 30, self.clock)

    def holds(self, unit: Unit) -> bool:
        return self.presence.sure and self.presence.holds(unit)

    def pass_(self, seconds: float) -> None:
        self.clock.now += seconds
        self.database.now += seconds


async def test_a_process_that_is_heard_of_keeps_its_name_and_begins() -> None:
    others = Others()
    assert not others.presence.sure
    assert not await others.presence.beat()
    name = others.presence.worker
    for _ in range(10):
        others.pass_(5)
        assert await others.presence.beat()
        assert others.presence.sure
    assert others.presence.worker == name
    assert others.presence.settled


async def test_a_process_that_is_not_heard_of_begins_nothing_and_goes_on_under_another_name() -> None:
    others = Others()
    await others.presence.beat()
    name = others.presence.worker
    scene = Scene()
    unit = scene.unit()
    unit.worker = name
    assert others.holds(unit)
    others.pass_(16)
    assert not others.holds(unit)
    # back in time: it is still the same
    assert await others.presence.beat()
    assert others.holds(unit)
    others.pass_(31)
    assert not await others.presence.beat()
    assert others.presence.worker != name
    assert not others.presence.holds(unit)
    # others that were cut off with it have the time to come back before it takes what was theirs
    assert not others.presence.settled
    others.pass_(31)
    assert others.presence.settled


async def test_the_database_says_who_was_silent_whatever_the_own_clock_says() -> None:
    others = Others()
    await others.presence.beat()
    name = others.presence.worker
    others.database.now += 30
    assert not await others.presence.beat()
    assert others.presence.worker != name


async def test_nobody_takes_a_new_name_that_the_others_do_not_know() -> None:
    others = Others()
    await others.presence.beat()
    name = others.presence.worker
    others.pass_(40)
    others.rows.away = True
    with pytest.raises(ConnectionRefusedError):
        await others.presence.beat()
    assert others.presence.worker == name and not others.presence.sure


async def test_what_waits_in_hand_after_a_silence_is_given_back_and_not_sent() -> None:
    scene = Scene(connections=1)
    gate = asyncio.Event()
    answering = scene.transport.answering

    async def held(destination: str, letter: Letter) -> list[Answer]:
        await gate.wait()
        if not letter.current():  # as a session asks before the end of a letter
            raise NotInHandError
        scene.transport.delivered.append(destination)
        return [answering(destination, letter)]

    scene.transport.deliver = held  # type: ignore[method-assign]
    scene.sender.take([scene.unit(f"d{number}.test") for number in range(5)])
    await asyncio.sleep(0.01)
    scene.present.lost = True
    gate.set()
    await scene.settled(lambda: scene.sender.in_hand == 4)
    scene.sender.go_on()
    await asyncio.sleep(0.01)
    assert scene.transport.delivered == []
    # heard of again, under another name: none of it is its own
    scene.present.worker, scene.present.lost = 9, False
    scene.sender.give_up()
    scene.sender.go_on()
    await scene.settled(lambda: scene.sender.in_hand == 0)
    assert scene.transport.delivered == []
    assert {(one.unit.worker, one.attempts, one.after) for one in scene.rows.deferred} == {(0, 0, 0.0)}
    assert len(scene.rows.deferred) == 5
    fresh = scene.unit()
    fresh.worker = 9
    scene.sender.take([fresh])
    await scene.settled(lambda: scene.rows.finished == [fresh])


async def test_a_unit_that_is_on_its_way_is_not_begun_again_under_the_new_name() -> None:
    scene = Scene()
    scene.transport.hangs = {"else.test"}
    unit = scene.unit()
    scene.sender.take([unit])
    await scene.settled(lambda: scene.transport.active == 1)
    again = scene.unit()
    again.accepted_id, again.worker = unit.accepted_id, 9
    scene.present.worker = 9
    scene.sender.take([again])
    await asyncio.sleep(0.01)
    assert scene.transport.active == 1
    await scene.sender.drain(0)
