"""Who is told what and when: states folded, limits, credentials that end, and what no event told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu.store.v1 import sharing_pb2
from petitbleu_gateway.domain.push_subscriptions import told_message, told_state
from petitbleu_gateway.domain.state_changes import (
    NOTHING_SEEN,
    TYPES,
    AccountState,
    seen_state,
    seen_text,
    state_change,
)
from petitbleu_gateway.jmap.ids import account_id_text
from petitbleu_gateway.ports import AwayError, Credential, Identity, NewSession, Profile, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.push import FOLD_SECONDS, PushHub, PushLimits, Stream, TooManyStreamsError
from petitbleu_gateway.service.push_upkeep import PushUpkeep
from petitbleu_gateway.service.shared_accounts import SharedAccounts

ALICE = Credential("alice@demo.test", "right")
COUNTS = st.integers(min_value=0, max_value=10**18 - 1)


def person(account_id: int) -> Identity:
    return Identity(account_id, 3, "", "", (), 0, "", 1 << 40)


class _Shares:
    """Store and accounts where some account shares with everybody, or nobody does."""

    def __init__(self, *owners: int) -> None:
        self.owners: tuple[int, ...] = owners

    async def received(self, who: Identity) -> list[sharing_pb2.ReceivedShare]:
        return [sharing_pb2.ReceivedShare(account_id=one, rights=1, subscribed=True) for one in self.owners]

    async def notifications(self, who: Identity) -> sharing_pb2.ListNotificationsResponse:
        return sharing_pb2.ListNotificationsResponse()

    async def dismiss(
        self, who: Identity, notification_ids: Sequence[int], if_modseq: int
    ) -> sharing_pb2.DismissNotificationsResponse:
        return sharing_pb2.DismissNotificationsResponse()

    async def profiles(self, account_ids: Sequence[int]) -> list[Profile]:
        return [Profile(one, 3, f"{one}@demo.test", "", active=True, guarded=False) for one in account_ids]

    async def reached(self, address: str) -> list[int]:
        return []


def alone() -> SharedAccounts:
    return SharedAccounts(_Shares(), _Shares())


class _States:
    """Store, as far as pushing asks it."""

    def __init__(self) -> None:
        self.found: dict[int, AccountState] = {}
        self.asked: list[list[int]] = []

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        self.asked.append(list(account_ids))
        await asyncio.sleep(0)
        return {one: self.found.get(one, AccountState(1, 0)) for one in account_ids}


class _Accounts:
    """Who knows credentials; `wrong` are those that it refuses."""

    def __init__(self) -> None:
        self.wrong: set[Credential] = set()
        self.away = False
        self.asked = 0

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        del client_ip
        self.asked += 1
        if self.away:
            raise AwayError
        if credential in self.wrong:
            raise RefusedError
        return person(7)

    async def create_session(self, principal: str, label: str, client_ip: str, device: bytes = b"") -> NewSession:
        raise NotImplementedError

    async def revoke_session(self, principal: str, session_id: int) -> None:
        raise NotImplementedError


def hub_of(states: _States, streams_account: int = 10, streams: int = 100) -> PushHub:
    return PushHub(states, PushLimits(streams_account, streams))


async def opened(hub: PushHub, account_id: int = 7, credential: Credential = ALICE) -> Stream:
    stream = await hub.open("test", person(account_id), credential, "192.0.2.1")
    stream.types = TYPES
    return stream


async def told(hub: PushHub, stream: Stream, seconds: float, last: str = "") -> list[Any]:
    """Listen as a door does, for some time or until the state `last` is told."""
    found = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        try:
            await asyncio.wait_for(stream.wake.wait(), until - loop.time())
        except TimeoutError:
            break
        stream.wake.clear()
        change = hub.take(stream)
        if change is not None:
            found.append(change)
            if next(iter(change["changed"].values()))["Email"] == last:
                return found
    assert not last, "the last state is not told"
    return found


@given(st.integers(1, (1 << 63) - 1), COUNTS, COUNTS, COUNTS)
def test_rfc8620_7_3_event_ids_come_back_as_they_went(account_id: int, modseq: int, last_id: int, people: int) -> None:
    state = AccountState(modseq, last_id, people, last_id, modseq, people)
    assert seen_state(account_id, seen_text(account_id, state)) == state
    assert (
        seen_state(account_id + 1 if account_id < 9 else account_id - 1, seen_text(account_id, state)) == NOTHING_SEEN
    )


@given(st.text(max_size=60))
def test_rfc8620_7_3_event_ids_of_others_have_seen_nothing(text: str) -> None:
    assert seen_state(7, text) == NOTHING_SEEN or text.startswith("a")


def test_rfc8620_7_3_event_ids_from_before_there_were_identities_still_hold() -> None:
    assert seen_state(7, f"{account_id_text(7)}.12.3") == AccountState(12, 3, 0)
    assert seen_state(7, f"{account_id_text(7)}.12.3.4.5") == AccountState(12, 3, 4, 5)
    assert seen_state(7, f"{account_id_text(7)}.12.3.4.5.6.7.8.9") == NOTHING_SEEN


def test_rfc8620_7_1_rules_have_states_of_their_own() -> None:
    before, after = AccountState(5, 2, 3, 4, 8, 6), AccountState(5, 2, 3, 4, 9, 9)
    assert state_change(7, TYPES, before, after) == {
        "@type": "StateChange", "changed": {account_id_text(7): {"SieveScript": "9", "VacationResponse": "9"}},
    }  # fmt: skip
    assert state_change(7, TYPES - {"SieveScript", "VacationResponse"}, before, after) is None
    assert after.beyond(before)
    assert not before.beyond(after)
    assert told_state(told_message(after)) == after


def test_what_a_family_sees_is_pushed_to_whom_it_is_told() -> None:
    before, after = AccountState(5, 2), AccountState(5, 2, family=7)
    changed = dict.fromkeys(("GuardedChild", "WaitingSender", "Correspondent"), "7")
    assert state_change(7, TYPES, before, after) == {"@type": "StateChange", "changed": {account_id_text(7): changed}}
    assert state_change(7, TYPES - changed.keys(), before, after) is None
    assert state_change(7, TYPES, after, before) is None


def test_rfc8620_7_1_identities_have_a_state_of_their_own() -> None:
    before, after = AccountState(5, 2, 3), AccountState(5, 2, 4)
    assert state_change(7, TYPES, before, after) == {
        "@type": "StateChange", "changed": {account_id_text(7): {"Identity": "4"}},
    }  # fmt: skip
    assert state_change(7, TYPES - {"Identity"}, before, after) is None
    assert state_change(7, TYPES, after, before) is None
    # events of accounts and of store come in any order
    assert AccountState(0, 0, 4).later(AccountState(6, 3)) == AccountState(6, 3, 4)
    assert AccountState(0, 0, 4).beyond(AccountState(9, 9, 3))
    assert not AccountState(0, 0, 3).beyond(AccountState(9, 9, 3))


def test_rfc8621_1_5_email_delivery_has_a_state_of_its_own() -> None:
    assert state_change(7, TYPES, AccountState(5, 2), AccountState(5, 2)) is None
    found = state_change(7, TYPES, AccountState(5, 2), AccountState(6, 2))
    assert found is not None
    assert all("EmailDelivery" not in changed for changed in found["changed"].values())
    assert state_change(7, frozenset({"EmailDelivery"}), AccountState(5, 2), AccountState(6, 2)) is None
    assert state_change(7, frozenset({"EmailDelivery"}), AccountState(5, 2), AccountState(6, 3)) is not None


async def test_a_burst_is_one_event_every_tenth_of_a_second() -> None:
    hub = hub_of(_States())
    stream = await opened(hub)
    loop = asyncio.get_running_loop()
    began = loop.time()
    listening = asyncio.create_task(told(hub, stream, 60, last="309"))
    for number in range(300):
        hub.heard(7, AccountState(10 + number, number))
        await asyncio.sleep(0.001)
    found = await listening
    assert 2 <= len(found) <= (loop.time() - began) / FOLD_SECONDS + 2


async def test_a_slow_reader_is_told_the_last_state_and_holds_no_queue() -> None:
    hub = hub_of(_States())
    stream = await opened(hub)
    for number in range(1000):
        hub.heard(7, AccountState(10 + number, number))
    found = hub.take(stream)
    assert found is not None
    assert next(iter(found["changed"].values()))["Email"] == "1009"
    assert hub.take(stream) is None


async def test_events_that_come_late_or_twice_never_lead_back() -> None:
    hub = hub_of(_States())
    stream = await opened(hub)
    for modseq in (5, 9, 7, 9, 2):
        hub.heard(7, AccountState(modseq, 0))
    found = hub.take(stream)
    assert found is not None
    assert next(iter(found["changed"].values()))["Email"] == "9"
    hub.heard(7, AccountState(8, 0))
    assert hub.take(stream) is None


async def test_a_change_while_store_is_asked_where_the_account_stands_is_not_lost() -> None:
    states = _States()
    hub = hub_of(states)
    opening = asyncio.create_task(opened(hub))
    await asyncio.sleep(0)
    hub.heard(7, AccountState(4, 1))
    stream = await opening
    assert stream.seen == AccountState(4, 1)
    await hub.saw(stream, seen_text(7, AccountState(3, 1)))
    assert hub.take(stream) is not None


async def test_many_that_come_at_once_ask_store_once() -> None:
    states = _States()
    hub = hub_of(states, streams=2000)
    await asyncio.gather(*(opened(hub, account_id) for account_id in range(1, 501)))
    assert len(states.asked) < 5
    await opened(hub, 1)
    assert sum(map(len, states.asked)) == 500  # an account that is watched is known


async def test_what_no_event_told_is_found_by_comparing() -> None:
    states = _States()
    hub = hub_of(states)
    streams = [await opened(hub, account_id) for account_id in range(1, 6)]
    states.found[3] = AccountState(8, 2)
    await hub.compare()
    assert [hub.take(stream) is not None for stream in streams] == [False, False, True, False, False]


async def test_a_state_that_another_process_told_is_believed_once_store_says_so() -> None:
    states = _States()
    hub = hub_of(states)
    stream = await opened(hub)
    states.found[7] = AccountState(9, 1)
    await hub.saw(stream, seen_text(7, AccountState(9, 1)))
    assert hub.take(stream) is None
    await hub.saw(stream, seen_text(7, AccountState(99, 1)))
    assert hub.take(stream) is not None


async def test_rfc8620_7_3_who_saw_a_message_that_is_destroyed_has_seen_what_there_is() -> None:
    states = _States()
    hub = hub_of(states)
    stream = await opened(hub)
    states.found[7] = AccountState(9, 1)
    await hub.saw(stream, seen_text(7, AccountState(9, 3)))  # message 3 was the newest until then
    assert hub.take(stream) is None


async def test_limits_of_an_account_and_of_all() -> None:
    hub = hub_of(_States(), streams_account=2, streams=3)
    first = await opened(hub)
    await opened(hub)
    with pytest.raises(TooManyStreamsError) as refused:
        await opened(hub)
    assert not refused.value.busy
    await opened(hub, 8)
    with pytest.raises(TooManyStreamsError) as refused:
        await opened(hub, 9)
    assert refused.value.busy
    hub.close(first)
    hub.close(first)  # twice gives back once
    assert hub.streams == 2
    await opened(hub)


async def test_the_end_of_the_process_ends_all_and_lets_nobody_in() -> None:
    hub = hub_of(_States())
    stream = await opened(hub)
    hub.end_all()
    assert stream.over == "shutdown"
    assert stream.wake.is_set()
    with pytest.raises(TooManyStreamsError):
        await opened(hub)


async def test_a_credential_that_holds_no_longer_ends_all_streams_that_showed_it() -> None:
    hub = hub_of(_States())
    accounts = _Accounts()
    authentication = Authentication(accounts, lambda: 300)
    upkeep = PushUpkeep(hub, authentication, lambda: 1, 3600, alone())
    running = asyncio.create_task(upkeep.run())
    other = Credential("alice@demo.test", "of an app")
    streams = [await opened(hub), await opened(hub), await opened(hub, credential=other)]
    for stream in streams:
        upkeep.begin(stream)
    await asyncio.sleep(0)
    accounts.wrong.add(ALICE)
    authentication.forget_accounts([7])
    await asyncio.sleep(0.05)
    assert [stream.over for stream in streams] == ["credential", "credential", ""]
    assert accounts.asked <= 3
    accounts.away = True  # who cannot be asked ends nobody
    accounts.wrong.add(other)
    authentication.forget_accounts([7])
    await asyncio.sleep(0.05)
    assert not streams[2].over
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_shares_that_change_a_thousand_times_are_looked_at_a_few_times() -> None:
    hub = hub_of(_States())
    accounts = _Accounts()
    upkeep = PushUpkeep(hub, Authentication(accounts, lambda: 300), lambda: 1, 3600, alone())
    running = asyncio.create_task(upkeep.run())
    upkeep.begin(await opened(hub))
    await asyncio.sleep(0)
    for _ in range(1000):
        upkeep.shares_changed(7)
    await asyncio.sleep(0.05)
    assert 1 <= accounts.asked <= 2
    upkeep.shares_changed(7)  # and anew, once that is done
    await asyncio.sleep(0.05)
    assert 2 <= accounts.asked <= 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_pings_are_due_by_one_ticker() -> None:
    hub = hub_of(_States())
    streams = [await opened(hub) for _ in range(3)]
    streams[0].ping_seconds, streams[0].ping_at = 30, 100.0
    streams[1].ping_seconds, streams[1].ping_at = 30, 200.0
    hub.tick(150.0)
    assert [stream.ping_due for stream in streams] == [True, False, False]
    assert [stream.wake.is_set() for stream in streams] == [True, False, False]


async def test_while_the_bus_is_away_store_is_asked() -> None:
    states = _States()
    hub = hub_of(states)
    upkeep = PushUpkeep(hub, Authentication(_Accounts(), lambda: 60), lambda: 0, 3600, alone())
    stream = await opened(hub)
    running = asyncio.create_task(upkeep.run())
    states.found[7] = AccountState(5, 1)
    assert len(await told(hub, stream, 2.5)) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_stream_is_told_of_what_others_share_until_they_take_it_back() -> None:
    states = _States()
    states.found[8] = AccountState(20, 5)
    hub = hub_of(states)
    stream = await opened(hub)
    stream.types = TYPES
    await hub.follow(stream, [8], from_now=True)
    assert hub.take(stream) is None
    hub.heard(8, AccountState(21, 6))
    assert stream.wake.is_set()
    change = hub.take(stream)
    assert change is not None
    told_of = change["changed"][account_id_text(8)]
    assert told_of == dict.fromkeys(("Email", "Mailbox", "Thread"), "21")
    await hub.follow(stream, [8, 9], from_now=False)
    states.found[9] = AccountState(3, 1)
    stream.wake.clear()
    await hub.follow(stream, [], from_now=False)
    hub.heard(8, AccountState(30, 7))
    assert not stream.wake.is_set()
    assert hub.take(stream) is None
    hub.close(stream)
    assert hub.of_accounts(None) == []


async def test_a_client_that_comes_again_is_told_of_all_that_others_share() -> None:
    states = _States()
    states.found[8] = AccountState(20, 5)
    hub = hub_of(states)
    stream = await opened(hub)
    stream.types = TYPES
    await hub.follow(stream, [8], from_now=True)
    await hub.saw(stream, hub.seen_text(stream))
    change = hub.take(stream)
    assert change is not None
    assert list(change["changed"]) == [account_id_text(8)]


async def test_what_is_shared_is_asked_for_once_a_while_and_again_when_it_changed() -> None:
    shares = _Shares(8)
    now = [0.0]
    shared = SharedAccounts(shares, shares, lambda: now[0])
    who = Identity(7, 3, "alice@demo.test", "Alice", (), 0, "", 0)
    assert [(one.account_id, one.name, one.read_only) for one in await shared.of(who)] == [(8, "8@demo.test", True)]
    shares.owners = ()
    assert len(await shared.of(who)) == 1
    shared.forget([7])
    assert await shared.of(who) == ()
    shares.owners = (8, 9)
    now[0] = 1000.0
    assert len(await shared.of(who)) == 2
