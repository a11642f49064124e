"""Which changes open a door, and that a change that waits is the change that was asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.changes import (
    Change,
    DecideSender,
    MoveLevel,
    PutGroup,
    SetGroupVoice,
    SetVoice,
    decode,
    encode,
    opens,
)
from petitbleu_junior_guard.domain.correspondents import Action
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import SenderAction

TIMES = st.none() | st.integers(1_800_000_000, 4_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))
CHANGES = st.one_of(
    st.builds(SetVoice, st.text(), st.sampled_from(Action), TIMES, st.booleans()),
    st.builds(MoveLevel, st.integers(1, 4)),
    st.builds(PutGroup, st.integers(0, 1 << 62), st.sampled_from(Circle), st.text(), st.lists(st.text()), TIMES),
    st.builds(SetGroupVoice, st.integers(0, 1 << 62), st.sampled_from(Action), TIMES),
    st.builds(DecideSender, st.binary(), st.booleans(), st.sampled_from(SenderAction), TIMES, st.booleans()),
)


@given(CHANGES)
def test_what_is_kept_is_what_was_asked_for(change: Change) -> None:
    assert decode(encode(change)) == change


@pytest.mark.parametrize(("action", "opening"), [(1, True), (2, False), (3, False), (4, True), (5, False)])
def test_approving_and_taking_back_open(action: int, opening: bool) -> None:
    assert opens(SetVoice("a@b.test", Action(action)), Level(2)) is opening
    assert opens(SetGroupVoice(1, Action(action)), Level(2)) is opening


@pytest.mark.parametrize(("wanted", "opening"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_higher_level_opens(wanted: int, opening: bool) -> None:
    assert opens(MoveLevel(wanted), Level(2)) is opening


@pytest.mark.parametrize(("action", "opening"), [(1, True), (2, True), (3, False), (4, False)])
def test_delivering_opens(action: int, opening: bool) -> None:
    assert opens(DecideSender(b"x", True, SenderAction(action)), Level(2)) is opening
