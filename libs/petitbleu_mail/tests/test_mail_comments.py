"""Comments of header fields."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.comments import without_comments
from petitbleu_mail.content_types import parse_content_type, parse_disposition
from petitbleu_mail.header_values import as_content_id, as_languages, as_message_ids, as_urls


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a (b) c", "a   c"),
        ("a (b (c) d) e", "a   e"),  # RFC 5322 §3.2.2: they nest
        (r"a (b \) c) d", "a   d"),
        (r"a \(b) c", r"a \(b) c"),
        ('"a (b)" (c)', '"a (b)"  '),
        ("<a(b)@c> (d)", "<a(b)@c>  "),
        ("(see <x@y>) z", "  z"),
        ("a (b", "a (b"),
        ("(a) b (c (d)", "  b (c (d)"),
        ('a " (b)', 'a "  '),
    ],
)
def test_rfc5322_3_2_2_comments_are_left_out(text: str, rest: str) -> None:
    assert without_comments(text) == rest


def test_comments_too_deep_or_too_many_are_text() -> None:
    assert without_comments("(" * 50 + ")" * 50 + "a") == " a"
    deep = "(" * 51 + ")" * 51 + "a"
    assert without_comments(deep) == deep
    assert without_comments("(x)" * 1001) == " " * 1000 + "(x)"


@given(st.text('ab()\\"<> ', max_size=60))
def test_without_comments_any_text_keeps_what_is_none(text: str) -> None:
    rest = without_comments(text)
    assert len(rest) <= len(text)
    assert set(rest) <= {*text, " "}
    if ")" not in text or "(" not in text:
        assert rest == text


@pytest.mark.parametrize("unit", [b"(\\", b"(", b"(a", b"\\(", b'("', b"(<", b'"\\', b"<(\\)"])
def test_comments_without_an_end_cost_no_more_than_other_text(unit: bytes) -> None:
    raw = b" a/b; c=" + unit * (65536 // len(unit))
    began = time.process_time()
    for read in (parse_content_type, parse_disposition, as_message_ids, as_urls, as_content_id, as_languages):
        read(raw)
    assert time.process_time() - began < 2  # where each opening is looked for anew, a minute


def test_rfc8621_4_1_4_comments_belong_to_no_type() -> None:
    assert parse_content_type(b" (a (b)) image / (c) png (d)")[0] == "image/png"
    assert parse_disposition(b' (x) attachment (y); filename="a (1).pdf"') == (
        "attachment",
        {"filename": "a (1).pdf"},
    )
    assert as_content_id(b" (about <x@y>) <a@b>") == "a@b"


def test_rfc8621_4_1_2_5_comments_belong_to_no_message_id() -> None:
    assert as_message_ids(b" (about <x@y>) <a@b> (and (so (on)) <c@d>) <e\r\n @f>") == ["a@b", "e@f"]
    assert as_message_ids(b" a@b (hello)") == ["a@b"]
    assert as_message_ids(b" (only)") is None
