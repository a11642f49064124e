"""What a list of changes makes of a list of scripts, and when an answer is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain import vacation as vacations
from petitbleu_delivery.domain.scripts import MAX_SCRIPTS, Script, ScriptStatus, ScriptUpdate, is_name, plan, switch
from petitbleu_delivery.domain.vacation import Vacation

OLD = Script(1, "old", 2, 5)


def statuses(*updates: ScriptUpdate, active: int = 0) -> list[ScriptStatus]:
    return [result.status for result in plan([OLD], active, 2, updates).results]


def test_changes_build_on_those_before_them() -> None:
    planned = plan(
        [OLD], 0, 2,
        [
            ScriptUpdate(name="new", content=b"keep;"), ScriptUpdate(created_by=0, name="newer"), ScriptUpdate(1, name="new"),
            ScriptUpdate(created_by=0, destroy=True), ScriptUpdate(created_by=0, name="gone"),
        ],
    )  # fmt: skip
    assert [result.status for result in planned.results[:4]] == [ScriptStatus.OK] * 4
    assert planned.results[4].status is ScriptStatus.NOT_FOUND
    assert planned.scripts == {1: Script(1, "new", 2, 5)}
    assert planned.contents == {}


def test_numbers_are_given_once() -> None:
    planned = plan([OLD], 0, 2, [ScriptUpdate(name="a", content=b"keep;"), ScriptUpdate(1, content=b"stop;")])
    assert planned.last_id == 5
    assert planned.scripts[3] == Script(3, "a", 4, 5)
    assert planned.scripts[1].content_id == 5


def test_what_cannot_be_is_refused_alone() -> None:
    assert statuses(ScriptUpdate(name="old", content=b"keep;")) == [ScriptStatus.NAME_TAKEN]
    assert statuses(ScriptUpdate(name="x")) == [ScriptStatus.INVALID_CONTENT]
    assert statuses(ScriptUpdate(name="x", content=b"x", fault="no")) == [ScriptStatus.INVALID_CONTENT]
    assert statuses(ScriptUpdate(name="x", content=b"x" * 200_000)) == [ScriptStatus.TOO_LARGE]
    assert statuses(ScriptUpdate(content=b"keep;")) == [ScriptStatus.INVALID_NAME]
    assert statuses(ScriptUpdate(9, name="x")) == [ScriptStatus.NOT_FOUND]
    assert statuses(ScriptUpdate(1, destroy=True), active=1) == [ScriptStatus.ACTIVE]
    many = [ScriptUpdate(name=f"n{at}", content=b"keep;") for at in range(MAX_SCRIPTS)]
    assert statuses(*many)[-1] is ScriptStatus.TOO_MANY


def test_switching_needs_that_all_was_done() -> None:
    planned = plan([OLD], 0, 2, [ScriptUpdate(9, destroy=True)])
    switch(planned, activate_id=1, deactivate=False)
    assert planned.active_id == 0
    planned = plan([OLD], 1, 2, [])
    switch(planned, activate_id=9, deactivate=True)
    assert planned.active_id == 1
    switch(planned, activate_id=0, deactivate=True)
    assert (planned.active_id, planned.deactivated_id) == (0, 1)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_is_none(text: str) -> None:
    if is_name(text):
        assert 0 < len(text.encode()) <= 512
        assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in text)


def test_rfc8621_8_an_answer_is_due_between_its_dates() -> None:
    away = Vacation(True, 100, 200)
    assert [away.answers_at(at) for at in (99, 100, 199.5, 200)] == [False, True, True, False]
    assert Vacation(True).answers_at(0)
    assert not Vacation(False, 0, 10).answers_at(5)


def test_an_answer_is_read_as_it_was_kept() -> None:
    away = Vacation(True, 100, None, "Là-bas", "text", "<p>")
    assert vacations.decode(vacations.encode(away)) == away
    assert away.is_sound()
    assert not Vacation(subject="a\nb").is_sound()
    assert not Vacation(text_body="\x00").is_sound()
    assert not Vacation(from_seconds=1 << 60).is_sound()
