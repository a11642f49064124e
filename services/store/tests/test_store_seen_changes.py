"""What one who sees some mailboxes is told of, bounded before it is worked out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from petitbleu_store.domain.change_log import Op
from petitbleu_store.domain.seen_changes import _MOST_LOOKED_AT, History, Seen, TooMuchError

_BOX = frozenset({5})


class _Counted(dict[int, History]):
    """Counts how often all messages are gone through."""

    rounds = 0

    def items(self) -> Any:
        """Return the messages."""
        self.rounds += 1
        return super().items()


def seen(steps: int, messages: int) -> tuple[Seen, _Counted]:
    before = [(modseq, _BOX if modseq % 2 else frozenset[int]()) for modseq in range(1, steps + 1)]
    of = _Counted({one: History(_BOX) for one in range(1, messages + 1)})
    return Seen(0, steps, History(_BOX, before), [], of, dict.fromkeys(of, 1)), of


@pytest.mark.parametrize("of_threads", [False, True])
def test_rfc8620_5_2_a_view_that_changed_often_over_many_messages_is_not_worked_out(of_threads: bool) -> None:
    steps = 400
    asked, messages = seen(steps, _MOST_LOOKED_AT // steps + 1)
    with pytest.raises(TooMuchError):
        asked.of_threads(10**6) if of_threads else asked.of_messages(10**6)
    assert messages.rounds == 0


def test_a_view_that_changed_within_the_bound_is_told() -> None:
    asked, _ = seen(40, _MOST_LOOKED_AT // 400)
    window = asked.of_messages(10**6)
    assert len(window.updated) + len(window.created) == _MOST_LOOKED_AT // 400


class _Walked(list[tuple[int, frozenset[int]]]):
    """Counts how often a message's history is gone through."""

    rounds = 0

    def __iter__(self) -> Iterator[tuple[int, frozenset[int]]]:
        """Go through it."""
        self.rounds += 1
        return super().__iter__()


def test_a_long_history_of_a_message_is_not_gone_through_at_each_change_of_the_view() -> None:
    view = History(_BOX, [(modseq, _BOX if modseq % 2 else frozenset[int]()) for modseq in range(1, 101)])
    walked = _Walked((modseq, _BOX) for modseq in range(1, 101))
    rows = [(modseq, 1, 1, int(Op.UPDATED)) for modseq in range(1, 101)]
    window = Seen(0, 100, view, rows, {1: History(_BOX, walked)}, {1: 1}).of_messages(10)
    assert window.created + window.updated == [1]
    assert walked.rounds < 10


class _Hashed(int):
    """Counts how often any entity is looked up."""

    hashed = 0

    def __hash__(self) -> int:
        """Count it."""
        _Hashed.hashed += 1
        return int(self)


def test_what_is_told_of_is_not_copied_at_each_modseq() -> None:
    count = 400
    rows = [(modseq, _Hashed(modseq), 1, int(Op.UPDATED)) for modseq in range(1, count + 1)]
    seen = Seen(0, count, History(_BOX), rows, {one: History(_BOX) for one in range(1, count + 1)})
    _Hashed.hashed = 0
    assert seen.of_messages(count).updated == list(range(1, count + 1))
    assert _Hashed.hashed < 20 * count
    told = seen.of_messages(10)
    assert (told.updated, told.upto, told.cut) == (list(range(1, 11)), 10, True)
