"""Classes: who may be in one, what it lets in, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Level, Reason, Verdict, judge, judge_outgoing
from petitbleu_junior_guard.domain.schools import ClassRole, Pupil, RosterFault, RosterRow, judge_roster
from petitbleu_junior_guard.domain.voices import Circle, Kind, Membership, Voice, standing

SOON, LATE = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 7, 4, tzinfo=UTC)
voices = st.lists(
    st.builds(Voice, st.integers(0, 3), st.sampled_from(Kind), st.sampled_from([None, SOON, LATE])), max_size=4
)


@given(voices, st.booleans())
def test_no_approval_of_a_class_outlives_its_year(said: list[Voice], is_teacher: bool) -> None:
    found = standing([], [Membership(Circle.CLASS, said, SOON, is_teacher)])
    assert found.grouped_until in {None, SOON}
    assert found.taught_until == (found.grouped_until if is_teacher else None)
    assert found.family_until is None
    assert found.approved_until is None


@given(voices, voices)
def test_a_teacher_is_let_in_no_longer_than_a_member(said: list[Voice], other: list[Voice]) -> None:
    found = standing([], [Membership(Circle.CLASS, said, SOON, True), Membership(Circle.CLASS, other, LATE)])
    assert found.taught_until is None or (found.grouped_until is not None and found.taught_until <= found.grouped_until)


def test_a_teachers_announcement_comes_in_from_level_2_and_nothing_goes_out_by_it() -> None:
    here = Item(1, bytes(16), "t@school.test", "t@school.test", True, local=True)
    outside = Item(1, bytes(16), "t@school.test", "t@school.test", True)
    for level in Level:
        known = Knowledge(level, is_grouped=True, is_teacher=True)
        lets_in = level >= Level.CORRESPONDENTS
        assert judge(here, known, "t@school.test")[0] is (Verdict.DELIVER if lets_in else Verdict.HOLD)
        if level <= Level.CORRESPONDENTS:
            assert judge(outside, known, "t@school.test") == (Verdict.HOLD, Reason.NOT_APPROVED)
            assert judge_outgoing(known, "t@school.test")[0] is Verdict.HOLD
        refused = Knowledge(level, is_grouped=True, is_teacher=True, is_refused=True)
        assert judge(here, refused, "t@school.test") == (Verdict.HOLD, Reason.REFUSED)
    known = Knowledge(Level.CORRESPONDENTS, is_grouped=True, is_teacher=True)
    assert judge(here, known, "t@school.test") == (Verdict.DELIVER, Reason.ANNOUNCEMENT)
    unsure = Item(1, bytes(16), "t@school.test", "t@school.test", False, local=True)
    assert judge(unsure, known, "t@school.test") == (Verdict.HOLD, Reason.NOT_AUTHENTICATED)


rows = st.builds(
    RosterRow, st.sampled_from([None, "a@s.test", "b@s.test"]), st.sampled_from([None, ClassRole.CHILD, ClassRole.TEACHER])
)  # fmt: skip
pupils = st.none() | st.builds(
    Pupil, st.integers(1, 4), st.integers(1, 2), st.just("a@s.test"), st.booleans(), st.booleans()
)


@given(st.lists(st.tuples(rows, pupils), max_size=6))
def test_whoever_is_taken_is_of_the_tenant_and_has_the_role_and_comes_once(
    given_rows: list[tuple[RosterRow, Pupil | None]],
) -> None:
    taken, bad = judge_roster([row for row, _ in given_rows], [one for _, one in given_rows], 1)
    assert sorted([*(one.index for one in taken), *bad]) == list(range(len(given_rows)))
    assert len({one.account_id for one in taken}) == len(taken)
    for one in taken:
        row, pupil = given_rows[one.index]
        assert pupil is not None
        assert (pupil.tenant_id, pupil.account_id, row.address is None) == (1, one.account_id, False)
        if one.is_teacher:
            assert (row.role, pupil.teaches, pupil.guarded) == (ClassRole.TEACHER, True, False)
        else:
            assert (row.role, pupil.guarded) == (ClassRole.CHILD, True)
    assert all(given_rows[index][0].address is None or given_rows[index][0].role is None for index, why in bad.items() if why is RosterFault.MALFORMED)  # fmt: skip
