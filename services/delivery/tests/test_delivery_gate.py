"""The gate: nothing reaches a child without a decision, and its wait is nobody else's."""

from __future__ import annotations

from services.delivery.tests.delivery_fakes import World

from petitbleu_delivery.domain.model import Outcome, Reason


def family() -> World:
    world = World()
    world.store.guarded.add(9)
    world.directory.add("kid@x.test", 9, guarded=[9])
    world.directory.add("mum@x.test", 1)
    world.directory.add("family@x.test", 1, 9, guarded=[9], via=True)
    return world


async def test_an_approved_sender_is_filed_and_a_stranger_held() -> None:
    world = family()
    world.guard.approved.add("mum@x.test")
    good = world.store.accept("kid@x.test", mail_from="mum@x.test")
    bad = world.store.accept("kid@x.test", mail_from="stranger@else.test")
    await world.rounds.deliver([good, bad])
    assert world.store.outcome(good).outcome is Outcome.FILED
    assert world.store.outcome(bad).outcome is Outcome.HELD
    assert world.guard.calls == [2]


async def test_a_silent_guard_makes_its_mail_wait_and_no_other() -> None:
    world = family()
    world.guard.down = True
    kid, mum = world.store.accept("kid@x.test"), world.store.accept("mum@x.test")
    await world.rounds.deliver([kid, mum])
    assert world.store.outcome(mum).outcome is Outcome.FILED
    assert world.store.later[kid, 0].reason is Reason.WAITS_FOR_GUARD
    assert world.tally.waiting_for_guard == 1
    assert 9 not in world.store.mailboxes
    # it is not asked again at once
    await world.rounds.deliver([kid])
    assert world.guard.calls == [1]
    world.clock.now += 60
    world.guard.down = False
    await world.rounds.deliver([kid])
    assert world.store.outcome(kid).outcome is Outcome.HELD
    assert world.tally.waiting_for_guard == 0


async def test_waiting_for_the_guard_never_parks() -> None:
    world = family()
    world.guard.down = True
    kid = world.store.accept("kid@x.test")
    for _ in range(200):
        world.clock.now += 60
        await world.rounds.deliver([kid])
    assert (kid, 0) in world.store.open
    assert world.store.later[kid, 0].retry_seconds == 60


async def test_store_knows_of_a_guard_that_the_directory_does_not() -> None:
    world = family()
    world.directory.add("new@x.test", 10)  # an old answer: not guarded
    world.store.guarded.add(10)
    accepted = world.store.accept("new@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted).outcome is Outcome.HELD
    assert world.guard.calls == [1]


async def test_a_stale_decision_is_asked_for_again_and_then_waits() -> None:
    world = family()
    world.guard.stale = True
    kid = world.store.accept("kid@x.test")
    await world.rounds.deliver([kid])
    assert world.guard.calls == [1, 1]
    assert world.store.later[kid, 0].reason is Reason.WAITS_FOR_GUARD
    assert not world.store.mailboxes.get(9)


async def test_a_family_address_is_filed_for_adults_and_held_for_the_child() -> None:
    world = family()
    accepted = world.store.accept("family@x.test")
    await world.rounds.deliver([accepted])
    settled = world.store.outcome(accepted)
    assert (settled.outcome, settled.reason, settled.account_ids) == (Outcome.FILED, Reason.PARTLY_HELD, (1, 9))
    assert world.store.mailboxes[1][accepted] == "filed"
    assert world.store.mailboxes[9][accepted] == "held"


async def test_a_family_address_waits_as_a_whole_and_adults_have_it_meanwhile() -> None:
    world = family()
    world.guard.down = True
    accepted = world.store.accept("family@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.mailboxes == {1: {accepted: "filed"}}
    assert (accepted, 0) in world.store.open
    world.guard.down = False
    world.clock.now += 60
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted).outcome is Outcome.FILED


async def test_one_item_that_the_guard_refuses_does_not_stop_the_others() -> None:
    world = family()
    world.store.guarded.add(8)
    world.directory.add("odd@x.test", 8, guarded=[8])
    world.guard.refuses.add(8)
    kid, odd = world.store.accept("kid@x.test"), world.store.accept("odd@x.test")
    await world.rounds.deliver([kid, odd])
    assert world.store.outcome(kid).outcome is Outcome.HELD
    assert world.store.later[odd, 0].reason is Reason.GUARD_REFUSED
    assert 8 not in world.store.mailboxes
