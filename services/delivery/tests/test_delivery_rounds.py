"""A round: each open recipient gets the outcome it should, and no other recipient pays for its faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.delivery.tests.delivery_fakes import World

from petitbleu_delivery.domain.model import Outcome, Placement, Reason, Settlement
from petitbleu_delivery.domain.verdict import MAX_ATTEMPTS
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError


async def test_a_lone_message_costs_one_call_a_stage() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    accepted = world.store.accept("a@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted).outcome is Outcome.FILED
    assert world.store.outcome(accepted).account_ids == (1,)
    assert world.store.calls == [("list", 1), ("file", 1), ("settle", 1)]
    assert world.guard.calls == []


async def test_a_batch_costs_one_call_a_stage_and_known_addresses_none() -> None:
    world = World()
    ids = []
    for number in range(100):
        world.directory.add(f"u{number % 10}@x.test", 1 + number % 10)
        ids.append(world.store.accept(f"u{number % 10}@x.test"))
    await world.rounds.deliver(ids)
    assert world.store.calls == [("list", 100), ("file", 100), ("settle", 100)]
    assert [len(call) for call in world.directory.calls] == [10]
    again = world.store.accept("u3@x.test")
    await world.rounds.deliver([again])
    assert len(world.directory.calls) == 1


async def test_the_first_of_many_wait_for_few_of_the_others() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(1000)]
    await world.rounds.deliver(ids)
    sizes = [size for stage, size in world.store.calls if stage == "list"]
    assert sizes == [128, 256, 256, 256, 104]
    assert all(world.store.outcome(one).outcome is Outcome.FILED for one in ids)


async def test_a_store_that_records_outcomes_as_it_files_is_not_asked_to_settle() -> None:
    world = World()
    world.store.settles = True
    world.directory.add("a@x.test", 1)
    world.directory.add("both@x.test", 1, 2, via=True)
    accepted = world.store.accept("a@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.calls == [("list", 1), ("file", 1)]
    group = world.store.accept("both@x.test", "a@x.test", "gone@x.test")
    await world.rounds.deliver([group])
    assert world.store.calls[2:] == [("list", 1), ("file", 3), ("settle", 2)]
    assert world.store.outcome(group, 0).account_ids == (1, 2)
    assert not world.store.open
    assert (world.tally.settled, world.tally.parked) == (4, 1)


async def test_doubles_and_settled_messages_cost_nothing_more() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    accepted = world.store.accept("a@x.test")
    await world.rounds.deliver([accepted, accepted])
    await world.rounds.deliver([accepted])
    assert world.store.mailboxes[1] == {accepted: "filed"}
    assert world.store.calls.count(("file", 1)) == 1


async def test_two_addresses_of_one_account_give_one_message() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    world.directory.add("alias@x.test", 1, via=True)
    accepted = world.store.accept("a@x.test", "alias@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.calls == [("list", 1), ("file", 2), ("settle", 2)]
    assert world.store.mailboxes == {1: {accepted: "filed"}}
    assert world.store.outcome(accepted, 0).outcome is Outcome.FILED
    assert world.store.outcome(accepted, 1).outcome is Outcome.FILED


@pytest.mark.parametrize(
    ("status", "reason"),
    [(2, Reason.NO_SUCH_ADDRESS), (3, Reason.ACCOUNT_DISABLED), (4, Reason.NOT_HOSTED), (1, Reason.NO_TARGET)],
)
async def test_what_leads_nowhere_is_parked_and_never_remembered(status: int, reason: Reason) -> None:
    from petitbleu_delivery.domain.model import Route, Status

    world = World()
    world.directory.routes["gone@x.test"] = Route(Status(status), (), 1)
    accepted = world.store.accept("gone@x.test")
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted) == Settlement(world.store.outcome(accepted).recipient, Outcome.PARKED, reason)
    assert world.tally.parked == 1
    # the address comes back: nothing old stands in its way
    world.directory.add("gone@x.test", 7)
    second = world.store.accept("gone@x.test")
    await world.rounds.deliver([second])
    assert world.store.outcome(second).outcome is Outcome.FILED


async def test_an_address_that_accounts_refuses_parks_alone() -> None:
    world = World()
    for name in ("a", "b", "c", "d", "e"):
        world.directory.add(f"{name}@x.test", ord(name))
    world.directory.refuses.add("c@x.test")
    ids = {name: world.store.accept(f"{name}@x.test") for name in "abcde"}
    await world.rounds.deliver(list(ids.values()))
    assert world.store.outcome(ids["c"]).reason is Reason.UNRESOLVABLE
    assert all(world.store.outcome(ids[name]).outcome is Outcome.FILED for name in "abde")


async def test_a_group_is_filed_everywhere_or_stays_open() -> None:
    world = World()
    world.directory.add("team@x.test", 1, 2, 3, via=True)
    world.store.unknown_accounts.add(2)
    accepted = world.store.accept("team@x.test")
    await world.rounds.deliver([accepted])
    assert (accepted, 0) in world.store.open
    assert world.store.later[accepted, 0].reason is Reason.NO_ACCOUNT
    assert world.store.mailboxes[1] == {accepted: "filed"}
    world.store.unknown_accounts.clear()
    await world.rounds.deliver([accepted])
    assert world.store.outcome(accepted).account_ids == (1, 2, 3)
    assert len(world.directory.calls) == 2  # a route that store contradicts is not believed again
    assert [len(box) for box in world.store.mailboxes.values()] == [1, 1, 1]


async def test_an_account_that_store_never_knows_parks_after_the_documented_attempts() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    world.store.unknown_accounts.add(1)
    accepted = world.store.accept("a@x.test")
    pauses = []
    while (accepted, 0) in world.store.open:
        await world.rounds.deliver([accepted])
        if (accepted, 0) in world.store.later:
            pauses.append(world.store.later[accepted, 0].retry_seconds)
    assert world.store.outcome(accepted).reason is Reason.NO_ACCOUNT
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert pauses == sorted(pauses)
    assert 15 * 60 < sum(pauses) < 40 * 60


async def test_an_unreadable_message_parks_and_the_others_do_not_notice() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(5)]
    world.store.unreadable.add(ids[2])
    await world.rounds.deliver(ids)
    assert [world.store.outcome(i).outcome for i in ids] == [2, 2, 6, 2, 2]
    assert world.store.outcome(ids[2]).reason is Reason.UNREADABLE


@pytest.mark.parametrize("lasting", [True, False])
async def test_a_batch_that_store_refuses_is_halved_until_the_bad_one_stands_alone(lasting: bool) -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(64)]
    bad = ids[37]

    def break_file(placement: Placement) -> None:
        if placement.recipient.message.accepted_id == bad:
            raise PeerRefusedError(Peer.STORE, "INTERNAL", lasting=lasting)

    world.store.break_file = break_file
    await world.rounds.deliver(ids)
    assert sum(1 for name, _ in world.store.calls if name == "file") == 1 + 2 * 6
    for accepted in ids:
        if accepted != bad:
            assert world.store.outcome(accepted).outcome is Outcome.FILED
    if lasting:
        assert world.store.outcome(bad).reason is Reason.STORE_REFUSED
    else:
        assert world.store.later[bad, 0].reason is Reason.STORE_FAILED


async def test_a_message_that_store_refuses_to_list_stays_open_alone() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(9)]

    def break_list(accepted_id: bytes) -> None:
        if accepted_id == ids[4]:
            raise PeerRefusedError(Peer.STORE, "DATA_LOSS", lasting=True)

    world.store.break_list = break_list
    await world.rounds.deliver(ids)
    assert [key[0] for key in world.store.open] == [ids[4]]


async def test_an_error_of_our_own_hits_only_who_causes_it() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(10)]

    def break_file(placement: Placement) -> None:
        if placement.recipient.message.accepted_id == ids[6]:
            raise KeyError("boom")

    world.store.break_file = break_file
    await world.rounds.deliver(ids)
    assert [key[0] for key in world.store.open] == [ids[6]]
    assert world.store.later[ids[6], 0].reason is Reason.DELIVERY_FAILED
    assert world.tally.in_flight == 0


async def test_a_store_that_is_away_leaves_all_open_and_raises() -> None:
    world = World()
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(3)]

    def away(_: object) -> None:
        raise PeerUnavailableError(Peer.STORE, "UNAVAILABLE")

    world.store.break_settle = away
    with pytest.raises(PeerUnavailableError):
        await world.rounds.deliver(ids)
    assert len(world.store.open) == 3
    world.store.break_settle = lambda _settlement: None
    await world.rounds.deliver(ids)
    assert world.store.mailboxes[1] == dict.fromkeys(ids, "filed")
    assert not world.store.open


async def test_accounts_away_raises_and_files_nothing() -> None:
    world = World()
    world.directory.down = True
    accepted = world.store.accept("a@x.test")
    with pytest.raises(PeerUnavailableError):
        await world.rounds.deliver([accepted])
    assert world.store.mailboxes == {}


async def test_a_round_that_failed_is_followed_by_smaller_ones() -> None:
    world = World(most=64)
    world.directory.add("a@x.test", 1)
    ids = [world.store.accept("a@x.test") for _ in range(100)]
    fails = [True]

    def once(_: object) -> None:
        if fails.pop() if fails else False:
            raise PeerUnavailableError(Peer.STORE, "DEADLINE_EXCEEDED")

    world.store.break_file = once
    with pytest.raises(PeerUnavailableError):
        await world.rounds.deliver(ids)
    world.store.calls.clear()
    await world.rounds.deliver(ids)
    assert [size for name, size in world.store.calls if name == "list"] == [32, 64, 4]


async def test_thousands_of_members_are_filed_in_bounded_commits() -> None:
    world = World()
    world.directory.add("all@x.test", *range(1, 2001), via=True)
    accepted = world.store.accept("all@x.test")
    await world.rounds.deliver([accepted])
    assert all(size <= 512 for name, size in world.store.calls if name == "file")
    assert len(world.store.outcome(accepted).account_ids) == 2000
    assert len(world.cache) == 0  # too large to be remembered


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_whatever_fails_when_it_is_over_all_is_filed_exactly_once(data: st.DataObject) -> None:
    """Duplicates, any order, and peers that fail at any call: nothing is lost, doubled, or filed past the gate."""
    world = World(most=data.draw(st.integers(1, 8)))
    world.store.settles = data.draw(st.booleans())
    world.store.guarded.add(3)
    world.guard.approved.add("friend@else.test")
    world.directory.add("a@x.test", 1)
    world.directory.add("both@x.test", 1, 2, via=True)
    world.directory.add("kid@x.test", 3, guarded=[3] if data.draw(st.booleans()) else [])
    world.directory.add("family@x.test", 1, 3, guarded=[3], via=True)
    names = ["a@x.test", "both@x.test", "kid@x.test", "family@x.test", "gone@x.test"]
    ids = [
        world.store.accept(
            *data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)),
            mail_from=data.draw(st.sampled_from(["friend@else.test", "stranger@else.test"])),
        )
        for _ in range(data.draw(st.integers(1, 10)))
    ]
    everything = list(world.store.open.values())
    failing = data.draw(st.lists(st.sampled_from(["", "", "away", "refused"]), max_size=12))

    def maybe(_: object) -> None:
        word = failing.pop() if failing else ""
        if word == "away":
            raise PeerUnavailableError(Peer.STORE, "UNAVAILABLE")
        if word == "refused":
            raise PeerRefusedError(Peer.STORE, "INTERNAL", lasting=False)

    world.store.break_file = world.store.break_settle = maybe
    world.guard.down = data.draw(st.booleans())
    for _ in range(60):
        order = data.draw(st.permutations(ids)) if failing else ids
        try:
            await world.rounds.deliver(list(order) + ids[:2])
        except PeerUnavailableError:
            continue
        finally:
            world.guard.down = False
            world.clock.now += 10
        if not world.store.open:
            break
    assert not world.store.open
    assert set(world.store.settled) == {(r.message.accepted_id, r.number) for r in everything}
    for recipient in everything:
        accepted = recipient.message.accepted_id
        settled = world.store.outcome(accepted, recipient.number)
        if recipient.address == "gone@x.test":
            assert settled.reason is Reason.NO_SUCH_ADDRESS
        elif recipient.address == "kid@x.test":
            friend = recipient.message.mail_from == "friend@else.test"
            assert settled.outcome is (Outcome.FILED if friend else Outcome.HELD)
            assert world.store.mailboxes[3][accepted] == ("filed" if friend else "held")
        else:
            assert settled.outcome is Outcome.FILED
            assert world.store.mailboxes[1][accepted] == "filed"
