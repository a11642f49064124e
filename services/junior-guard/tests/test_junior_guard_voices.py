"""What is said of a correspondent and what follows: a refusal outweighs every approval, whoever spoke first."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.voices import AGAINST, NO_END, Circle, Kind, Membership, Voice, approval, standing

SOON, LATE = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)
voices = st.lists(
    st.builds(Voice, st.integers(0, 3), st.sampled_from(Kind), st.sampled_from([None, SOON, LATE])), max_size=4
)


@given(voices)
def test_one_refusal_outweighs_every_approval(said: list[Voice]) -> None:
    found = standing(said)
    assert found.is_refused == any(voice.kind in AGAINST for voice in said)
    if found.is_refused:
        assert found.approved_until is None
    else:
        assert (found.approved_until is not None) == any(voice.kind is Kind.APPROVED for voice in said)


@given(voices, voices)
def test_a_refused_group_lets_nobody_in_and_refuses_nobody(said: list[Voice], of_group: list[Voice]) -> None:
    for circle, ends in ((Circle.FAMILY, "family_until"), (Circle.CLASS, "grouped_until")):
        found = standing(said, [Membership(circle, of_group)])
        assert found.is_refused == standing(said).is_refused
        alone = getattr(standing(said), ends)
        assert getattr(found, ends) == (alone or approval(of_group))


def test_the_latest_end_counts_and_none_is_the_latest() -> None:
    early, late, ever = (Voice(party, Kind.APPROVED, ends) for party, ends in ((1, SOON), (2, LATE), (3, None)))
    assert approval([early]) == SOON
    assert approval([early, late]) == LATE
    assert approval([early, late, ever]) == NO_END
    assert approval([]) is None


def test_a_guardian_is_family() -> None:
    assert standing([], is_guardian=True).family_until == NO_END
    assert standing([Voice(0, Kind.FAMILY)]).family_until == NO_END
    assert standing([Voice(0, Kind.APPROVED)]).family_until is None
