"""The rules: everything that is not clearly allowed waits."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Reason, Verdict, canonical, judge


def item(mail_from: str = "a@b.test", *, authenticated: bool = True) -> Item:
    return Item(1, bytes(16), mail_from, "a@b.test", authenticated)


def test_only_one_combination_delivers() -> None:
    delivered = []
    for child, approved, authenticated, null, sender in itertools.product((True, False), repeat=5):
        verdict, _ = judge(
            item("" if null else "a@b.test", authenticated=authenticated),
            Knowledge(child, approved),
            "a@b.test" if sender else None,
        )
        if verdict is Verdict.DELIVER:
            delivered.append((child, approved, authenticated, null, sender))
    assert delivered == [(True, True, True, False, True)]


@pytest.mark.parametrize(
    ("message", "known", "sender", "reason"),
    [
        (item(), Knowledge(False, True), "a@b.test", Reason.NOT_A_CHILD),
        (item(""), Knowledge(True, True), "a@b.test", Reason.NULL_SENDER),
        (item(), Knowledge(True, True), None, Reason.NO_FROM),
        (item(authenticated=False), Knowledge(True, True), "a@b.test", Reason.NOT_AUTHENTICATED),
        (item(), Knowledge(True, False), "a@b.test", Reason.NOT_APPROVED),
    ],
)
def test_each_hold_says_why(message: Item, known: Knowledge, sender: str | None, reason: Reason) -> None:
    assert judge(message, known, sender) == (Verdict.HOLD, reason)


def test_what_a_person_decided_stays() -> None:
    stranger = Knowledge(True, False, Verdict.DELIVER)
    assert judge(item(authenticated=False), stranger, None) == (Verdict.DELIVER, Reason.PERSON)
    friend = Knowledge(True, True, Verdict.DESTROY)
    assert judge(item(), friend, "a@b.test") == (Verdict.HOLD, Reason.PERSON)


@pytest.mark.parametrize(
    ("written", "known"),
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
def test_a_correspondent_is_known_by_the_canonical_form(written: str, known: str | None) -> None:
    assert canonical(written) == known


@given(st.text(max_size=400))
def test_any_text_is_an_address_or_none(text: str) -> None:
    known = canonical(text)
    assert known is None or canonical(known) == known or '"' in text or " " in known
