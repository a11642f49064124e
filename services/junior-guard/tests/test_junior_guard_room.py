"""How much may wait: never more than the limits say, and junk leaves room for what a guardian would decide on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.waiting import MAX_HELD, MAX_OCTETS, MAX_OF_SENDER, Load


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6 << 20), st.booleans()), max_size=400))
def test_no_limit_is_passed(mails: list[tuple[int, int, bool]]) -> None:
    load, kept = Load(), []
    for sender, size, announced in mails:
        if load.take(bytes([sender]), size, announced=announced):
            kept.append((sender, size, announced))
    assert len(kept) == load.messages <= MAX_HELD
    assert sum(size for _, size, _ in kept) == load.octets <= MAX_OCTETS
    assert max([sum(one == sender for one, *_ in kept) for sender in range(13)]) <= MAX_OF_SENDER
    assert sum(not announced for *_, announced in kept) <= MAX_HELD // 2


def test_junk_takes_half_at_most() -> None:
    load = Load()
    taken = sum(load.take(bytes([n % 250]), 1, announced=False) for n in range(1000))
    assert taken == MAX_HELD // 2
    assert sum(load.take(bytes([n % 250]), 1, announced=True) for n in range(1000)) == MAX_HELD // 2


def test_two_loads_share_nothing() -> None:
    first, second = Load(), Load()
    first.take(b"a", 1, announced=True)
    assert second.of_sender == {}
