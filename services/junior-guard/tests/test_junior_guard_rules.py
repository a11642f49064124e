"""The rules: everything that is not clearly allowed waits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.rules import (
    Item,
    Knowledge,
    Level,
    Reason,
    Verdict,
    canonical,
    judge,
    judge_outgoing,
)


def item(mail_from: str = "a@b.test", **facts: bool) -> Item:
    return Item(1, bytes(16), mail_from, "a@b.test", **{"authenticated": True, **facts})


def known(level: int | None = 2, **facts: Any) -> Knowledge:
    return Knowledge(None if level is None else Level(level), **facts)


FACTS = ("is_family", "is_approved", "is_grouped", "is_added")


def test_each_level_lets_in_what_it_says_and_what_those_before_do() -> None:
    lets_in = {level: {fact for fact in FACTS if known(level, **{fact: True}).is_let_in()} for level in (1, 2, 3, 4)}
    assert lets_in == {
        1: {"is_family"},
        2: {"is_family", "is_approved"},
        3: set(FACTS),
        4: set(FACTS),
    }


def test_no_level_and_no_approval_outweighs_what_speaks_against_a_message() -> None:
    levels: tuple[int | None, ...] = (None, 1, 2, 3, 4)
    for level, facts in itertools.product(levels, itertools.product((False, True), repeat=len(FACTS))):
        everything = dict(zip(FACTS, facts, strict=True))
        for message, more in (
            (item(authenticated=False), {}),
            (item(junk=True), {}),
            (item(dmarc_failed=True), {}),
            (item(""), {}),
            (item(), {"is_refused": True}),
        ):
            assert judge(message, known(level, **everything, **more), "a@b.test")[0] is Verdict.HOLD
        assert judge(item(), known(level, **everything), None)[0] is Verdict.HOLD


def test_newcomers_come_in_at_the_last_level_only_and_never_looking_like_a_friend() -> None:
    for level in (1, 2, 3):
        assert judge(item(), known(level), "a@b.test") == (Verdict.HOLD, Reason.NOT_APPROVED)
    assert judge(item(), known(4), "a@b.test") == (Verdict.DELIVER, Reason.NEWCOMER)
    assert judge(item(), known(4, looks_alike=True), "a@b.test") == (Verdict.HOLD, Reason.LOOK_ALIKE)
    assert judge(item(), known(2, looks_alike=True, is_approved=True), "a@b.test") == (Verdict.DELIVER, Reason.APPROVED)


def test_a_child_writes_first_to_correspondents_only() -> None:
    for level in (1, 2, 3, 4):
        assert judge_outgoing(known(level), "a@b.test") == (Verdict.HOLD, Reason.NOT_APPROVED)
        assert judge_outgoing(known(level, is_family=True), "a@b.test") == (Verdict.DELIVER, Reason.APPROVED)
        refused = known(level, is_family=True, is_refused=True)
        assert judge_outgoing(refused, "a@b.test") == (Verdict.HOLD, Reason.REFUSED)


@pytest.mark.parametrize(
    ("message", "knowledge", "sender", "reason"),
    [
        (item(), known(None, is_approved=True), "a@b.test", Reason.NOT_A_CHILD),
        (item(""), known(is_approved=True), "a@b.test", Reason.NULL_SENDER),
        (item(), known(is_approved=True), None, Reason.NO_FROM),
        (item(junk=True, authenticated=False), known(is_approved=True), "a@b.test", Reason.JUNK),
        (item(dmarc_failed=True, authenticated=False), known(is_approved=True), "a@b.test", Reason.DMARC_FAILED),
        (item(), known(is_approved=True, is_refused=True), "a@b.test", Reason.REFUSED),
        (item(authenticated=False), known(is_approved=True), "a@b.test", Reason.NOT_AUTHENTICATED),
        (item(), known(), "a@b.test", Reason.NOT_APPROVED),
    ],
)
def test_each_hold_says_why(message: Item, knowledge: Knowledge, sender: str | None, reason: Reason) -> None:
    assert judge(message, knowledge, sender) == (Verdict.HOLD, reason)


def test_what_a_person_decided_stays() -> None:
    stranger = Knowledge(Level.FAMILY, final=Verdict.DELIVER)
    assert judge(item(authenticated=False), stranger, None) == (Verdict.DELIVER, Reason.PERSON)
    friend = Knowledge(Level.CORRESPONDENTS, is_approved=True, final=Verdict.DESTROY)
    assert judge(item(), friend, "a@b.test") == (Verdict.HOLD, Reason.PERSON)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("Aunt@Else.Test", "aunt@else.test"),
        ('"aunt"@else.test', "aunt@else.test"),
        ("aunt@B\u00dcCHER.test", "aunt@xn--bcher-kva.test"),
        ("aunt+school@else.test", "aunt+school@else.test"),
        ("no address", None),
        ("a@b@c", None),
        ("a@b.test\r\nX: y", None),
    ],
)
def test_a_correspondent_is_known_by_the_canonical_form(written: str, form: str | None) -> None:
    assert canonical(written) == form


@given(st.text(max_size=400))
def test_any_text_is_an_address_or_none(text: str) -> None:
    form = canonical(text)
    assert form is None or canonical(form) == form or '"' in text or " " in form


@pytest.mark.parametrize(
    "letter", ["\u202e", "\u200b", "\u2066", "\ufeff", "\u00ad", "\u2028", "\u00a0", "\ue000", "\u0085", "\U000e0041"]
)
def test_what_nobody_sees_is_in_no_address(letter: str) -> None:
    assert canonical(f"a{letter}b@else.test") is None
    assert canonical("zoé@else.test") == "zoé@else.test"
