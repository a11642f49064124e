"""RFC 9670 §3.1: which notifications go, without a database."""

from __future__ import annotations

from petitbleu_store.domain.notices import MAX_KEPT, MAX_OF_MAILBOX, surplus


def test_the_oldest_of_all_go_first() -> None:
    kept = [(number, 1, 100 + number) for number in range(MAX_KEPT)]
    assert surplus(kept, [(1, 7), (2, 7)]) == [0, 1]
    assert surplus(kept[:50], [(1, 7)]) == []
    assert surplus(kept, [(2, number) for number in range(MAX_KEPT)]) == list(range(MAX_KEPT))


def test_a_mailbox_that_is_shared_over_and_over_takes_no_place_of_others() -> None:
    others = [(number, 2, number) for number in range(5)]
    toggled = [(10 + number, 1, 7) for number in range(MAX_OF_MAILBOX)]
    assert surplus([*others, *toggled], [(1, 7)]) == [10]
    assert surplus([*others, *toggled[1:]], [(1, 7)]) == []
    assert surplus([*others, *toggled], [(1, 8), (3, 7)]) == []
