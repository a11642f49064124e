"""Permits: never more than the limit in any hour or day, and nobody waits for longer than needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.permit_terms import NO_TERMS, Limits, Scope, Terms
from petitbleu_delivery.domain.permits import (
    DAY,
    HOUR,
    KEPT_KEYS,
    KEY_OCTETS,
    Counts,
    Span,
    key_of,
    knows,
    remember,
    together,
    wait_ms,
)
from petitbleu_delivery.service import permits as service
from petitbleu_delivery.service.permits import Decide, OnePlan, PermitError, Permits, SuspendedError, Tallied

NOW = 1_800_000_000_000
SPANS = st.sampled_from([HOUR, DAY])


class Row:
    def __init__(self, at_ms: int) -> None:
        empty = Tallied(Counts(HOUR.slot(at_ms), (0,)), Counts(DAY.slot(at_ms), (0,))).at(at_ms)
        self.account = self.share = empty
        self.others: list[Tallied] = []
        self.recent = b""
        self.account_terms = self.tenant_terms = NO_TERMS


class Table:
    """One tenant, two accounts of different shares."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.terms: dict[tuple[Scope, int], Terms] = {}

    async def work(self, account_id: int, tenant_id: int, at_ms: int, decide: Decide) -> int:
        row = self.rows.setdefault(account_id, Row(at_ms))
        row.account, row.share = row.account.at(at_ms), row.share.at(at_ms)
        row.others = [other.share for name, other in self.rows.items() if name != account_id]
        row.account_terms = self.terms.get((Scope.ACCOUNT, account_id), NO_TERMS)
        row.tenant_terms = self.terms.get((Scope.TENANT, tenant_id), NO_TERMS)
        return decide(row)

    async def prune(self, at_ms: int) -> None:
        self.rows.clear()


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr(service, "now_ms", lambda: self.now)
        self.table = Table()
        self.permits = Permits(self.table, OnePlan(Limits(10, 25, 15, 100)))

    async def ask(self, recipients: int, account_id: int = 1, key: bytes = b"") -> int:
        return await self.permits.permit(account_id, 9, recipients, key)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_an_accounts_hour_is_full_and_empties(world: World) -> None:
    assert await world.ask(10) == 0
    wait = await world.ask(1)
    assert 3600 <= wait <= 3900
    world.now += wait * 1000 - 1000
    assert await world.ask(1) > 0
    world.now += 1000
    assert await world.ask(1) == 0


async def test_what_is_refused_is_not_counted(world: World) -> None:
    assert await world.ask(9) == 0
    assert await world.ask(2) > 0
    assert await world.ask(1) == 0


async def test_a_day_is_a_limit_of_its_own(world: World) -> None:
    for _ in range(2):
        assert await world.ask(10) == 0
        world.now += 4_000_000
    assert await world.ask(6) > 3600
    assert await world.ask(5) == 0


async def test_a_tenants_people_share_its_limit(world: World) -> None:
    assert await world.ask(10, 1) == 0
    assert await world.ask(6, 2) > 0
    assert await world.ask(5, 2) == 0


async def test_the_same_message_is_counted_once(world: World) -> None:
    for _ in range(3):
        assert await world.ask(6, key=b"a message") == 0
    assert await world.ask(6, key=b"another") > 0
    assert await world.ask(7, key=b"a message") > 0  # its key says nothing of other recipients
    assert await world.ask(4, key=b"a third") == 0


async def test_more_than_the_limit_at_once_is_never_permitted(world: World) -> None:
    assert await world.ask(11) == 3900
    world.now += 86_400_000 * 2
    assert await world.ask(11) == 3900


@pytest.mark.parametrize("recipients", [0, -1, 1_000_001])
async def test_no_number_of_recipients(world: World, recipients: int) -> None:
    with pytest.raises(PermitError):
        await world.ask(recipients)


async def test_no_limit(world: World) -> None:
    free = Permits(Table(), OnePlan(Limits(0, 0, 0, 0)))
    assert await free.permit(1, 9, 1_000_000) == 0
    assert await free.permit(1, 9, 1_000_000) == 0


async def test_an_operators_limit_goes_before_the_plans_each_by_itself(world: World) -> None:
    world.table.terms[Scope.ACCOUNT, 1] = Terms(hour=12)
    assert await world.ask(12) == 0
    assert await world.ask(1) > 0
    assert await world.ask(3, 2) == 0
    assert await world.ask(1, 2) > 0  # the tenant's is the plan's
    world.table.terms[Scope.TENANT, 9] = Terms(hour=0)
    assert await world.ask(7, 2) == 0
    assert await world.ask(1, 2) > 0  # the other account's, too
    world.now += 4_000_000
    assert await world.ask(12) == 0
    world.now += 4_000_000
    assert await world.ask(2) > 0  # the day is the plan's
    world.table.terms = {(Scope.ACCOUNT, 1): Terms(hour=0, day=0), (Scope.TENANT, 9): Terms(hour=0, day=0)}
    assert await world.ask(1000) == 0


@pytest.mark.parametrize("who", [(Scope.ACCOUNT, 1), (Scope.TENANT, 9)])
async def test_who_is_suspended_sends_nothing_until_it_is_lifted(world: World, who: tuple[Scope, int]) -> None:
    assert await world.ask(1, key=b"a message") == 0
    world.table.terms[who] = Terms(suspended=True)
    for _ in range(2):
        with pytest.raises(SuspendedError):
            await world.ask(1)
    if who[0] is Scope.ACCOUNT:
        assert await world.ask(1, 2) == 0
    assert await world.ask(1, key=b"a message") == 0  # its sender did not hear our answer, and asks again
    del world.table.terms[who]
    assert await world.ask(9) == 0  # what was refused is not counted


@given(SPANS, st.integers(1, 20), st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(1, 8)), max_size=60))
def test_no_stretch_of_time_has_more_than_the_limit(span: Span, limit: int, asks: list[tuple[int, int]]) -> None:
    now, counts = NOW, Counts(span.slot(NOW), (0,))
    given_at: list[tuple[int, int]] = []
    for later, recipients in asks:
        now += later
        counts = counts.at(span.slot(now), span)
        assert len(counts.by_slot) == span.slots + 1
        if not wait_ms(counts, span, limit, recipients, now):
            counts = counts.plus(recipients)
            given_at.append((now, recipients))
    length = span.slot_ms * span.slots
    for end, _ in given_at:
        assert sum(many for at, many in given_at if end - length < at <= end) <= limit


@given(SPANS, st.lists(st.integers(0, 9), min_size=1, max_size=25), st.integers(1, 30), st.integers(1, 30))
def test_who_waits_as_told_is_permitted(span: Span, by_slot: list[int], limit: int, recipients: int) -> None:
    counts = Counts(span.slot(NOW), tuple(by_slot)).at(span.slot(NOW), span)
    wait = wait_ms(counts, span, limit, recipients, NOW)
    later = counts.at(span.slot(NOW + wait), span)
    if recipients <= limit:
        assert wait_ms(later, span, limit, recipients, NOW + wait) == 0
        if wait:
            before = counts.at(span.slot(NOW + wait - 1), span)
            assert wait_ms(before, span, limit, recipients, NOW + wait - 1) > 0
    else:
        assert wait == (span.slots + 1) * span.slot_ms


@given(st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 9), min_size=1, max_size=13)), min_size=1))
def test_shares_of_other_times_add_up(given_shares: list[tuple[int, list[int]]]) -> None:
    shares = [Counts(slot, tuple(by_slot)) for slot, by_slot in given_shares]
    newest = max(one.slot for one in shares)
    whole = together(shares, HOUR)
    assert whole.slot == newest
    for age, count in enumerate(whole.by_slot):
        wanted = [one.by_slot[at] for one in shares for at in range(len(one.by_slot)) if one.slot - at == newest - age]
        assert count == sum(wanted)


def test_a_clock_that_goes_back_empties_nothing() -> None:
    counts = Counts(100, (3,)).at(101, HOUR)
    assert counts.at(7, HOUR) == counts


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=80, unique=True))
def test_the_latest_keys_are_known(keys: list[bytes]) -> None:
    recent = b""
    for key in keys:
        assert not knows(recent, key_of(key))
        recent = remember(recent, key_of(key))
    assert len(recent) <= KEPT_KEYS * KEY_OCTETS
    assert [key for key in keys if knows(recent, key_of(key))] == keys[-KEPT_KEYS:]
