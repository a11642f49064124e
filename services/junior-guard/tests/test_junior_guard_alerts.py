"""What guardians are told: in their language, in plain words, and nothing that a stranger wrote but the address."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_junior_guard.domain.alerts import NewsKind, Told, alert

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WAITS = Told("zoe@demo.test", NewsKind.WAITS, "eve@evil.example", True, False, DAY, 3)


def mail(told: list[Told], language: str = "en", to: str = "alice@demo.test") -> email.message.EmailMessage:
    whole = alert(told, language, to, "postmaster@demo.test", "1.guard@demo.test", NOW)
    assert b"\n" not in whole.replace(b"\r\n", b"")
    made = email.message_from_bytes(whole, policy=email.policy.default)
    assert isinstance(made, email.message.EmailMessage)
    return made


@pytest.mark.parametrize(
    ("language", "subject", "line"),
    [
        ("en", "Mail for zoe@demo.test",
         "eve@evil.example waits for your decision (since 2026-11-22; messages: 3; it does come from this address)"),
        ("fr-CA", "Courrier pour zoe@demo.test",
         "eve@evil.example attend votre décision (depuis le 2026-11-22; messages : 3; cela vient bien de cette adresse)"),
        ("de", "Mail for zoe@demo.test", "waits for your decision"),
    ],
)  # fmt: skip
def test_an_alert_is_in_the_guardians_language(language: str, subject: str, line: str) -> None:
    made = mail([WAITS], language)
    assert made["Subject"] == subject
    assert made["Auto-Submitted"] == "auto-generated"  # RFC 3834 §5
    assert line in made.get_content()


def test_each_kind_is_told_and_several_children_are_told_apart() -> None:
    other = Told("tom@demo.test", NewsKind.WAITS_STILL, "x@y.test", False, True, DAY, 1)
    kinds = [Told("zoe@demo.test", kind, f"{kind}@y.test", True, False, DAY) for kind in NewsKind]
    made = mail([*kinds, other])
    text = made.get_content()
    assert made["Subject"] == "Mail for your children"
    assert (
        text.index("For zoe@demo.test")
        < text.index("5@y.test")
        < text.index("For tom@demo.test")
        < text.index("x@y.test")
    )
    assert "nothing shows that it comes from this address; this address looks like" in text


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(NewsKind), st.booleans())
def test_no_address_adds_a_line_or_a_field(address: str, child: str, kind: NewsKind, flag: bool) -> None:
    plain_mail = mail([WAITS])
    made = mail([Told(child or "x", kind, address, flag, flag, DAY, 1)])
    assert made.keys() == plain_mail.keys()
    assert len(made.get_content().splitlines()) == len(plain_mail.get_content().splitlines())
