"""Who posts which pushes, and until when a subscription lives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_accounts.domain.push import SLICES, bounded_end, share_out

NAMES = st.sampled_from(["a", "b", "c", None])


@given(st.lists(NAMES, min_size=SLICES, max_size=SLICES), st.integers(1, 40))
def test_slices_are_shared_out_and_nobody_is_robbed(held: list[str | None], live: int) -> None:
    holders = dict(enumerate(held))
    kept, given = share_out(holders, "a", live)
    assert len(kept) <= -(-SLICES // live)
    assert all(holders[number] in {"a", None} for number in kept)
    assert {number for number, who in holders.items() if who == "a"} <= {*kept, *given}
    assert not {*kept} & {*given}


def test_senders_that_ask_in_turn_come_to_an_even_share_of_all() -> None:
    holders: dict[int, str | None] = dict.fromkeys(range(SLICES))
    names = ("a", "b", "c")
    for live in (1, 2, 3, 3):
        for name in names[:live]:
            kept, given = share_out(holders, name, live)
            holders.update(dict.fromkeys(given))
            holders.update(dict.fromkeys(kept, name))
    assert all(holders.values())
    shares = sorted(sum(1 for who in holders.values() if who == name) for name in names)
    assert shares[-1] <= 11
    assert shares[0] >= 10


def test_rfc8620_7_2_a_later_end_is_brought_nearer_and_none_is_the_furthest() -> None:
    assert bounded_end(None, 1000, 600) == 1600
    assert bounded_end(0, 1000, 600) == 1600
    assert bounded_end(1100, 1000, 600) == 1100
    assert bounded_end(9999, 1000, 600) == 1600
