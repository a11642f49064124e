"""Tests of base subjects and thread keys (RFC 5256 §2.1, RFC 8621 §3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.structure import parse_message
from petitbleu_mail.threading import MAX_KEYS, base_subject, thread_ids, thread_keys


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Hello", "hello"),
        ("Re: Hello", "hello"),
        ("RE:Hello", "hello"),
        ("re : re: Fwd: FW: Hello", "hello"),
        ("Re[2]: Hello", "hello"),
        ("Re [2] : Hello", "hello"),
        ("[list] Re: Hello", "hello"),
        ("Re: [list] Hello", "hello"),
        ("[a] [b] Hello", "hello"),
        ("[list]", "[list]"),
        ("Re: [list]", "[list]"),
        ("Hello (fwd)", "hello"),
        ("Hello (fwd) (FWD)  ", "hello"),
        ("[Fwd: Hello]", "hello"),
        ("[fwd: [fwd: Re: Hello (fwd)]]", "hello"),
        ("Regarding: this", "regarding: this"),
        ("Hello\t \r\n  there", "hello there"),
        ("re: Stra\u00dfe", "strasse"),
        ("", ""),
        ("Re:", ""),
        ("[unclosed Re: x", "[unclosed re: x"),
    ],
)
def test_base_subjects(subject: str, base: str) -> None:
    assert base_subject(subject) == base


SUBJECTS = st.lists(
    st.sampled_from(["Re", ":", "Fwd", "FW", "[", "]", "(fwd)", " ", "x", "[fwd:", "\t"]), max_size=30
).map("".join)


@given(SUBJECTS | st.text(max_size=60))
def test_a_base_subject_is_its_own_and_a_reply_has_the_same(subject: str) -> None:
    base = base_subject(subject)
    assert base_subject("Re: " + subject) == base
    assert base_subject("Fwd: Re: " + subject) == base


def test_keys_of_a_reply() -> None:
    message = parse_message(b"Subject: Re: Hi\nMessage-ID: <c@x>\nIn-Reply-To: <b@x>\nReferences: <a@x> <b@x>\n\n")
    assert thread_keys(message) == [("c@x", "hi"), ("a@x", "hi"), ("b@x", "hi")]
    answered = parse_message(b"Subject: Hi\nMessage-ID: <b@x>\n\n")
    assert set(thread_keys(message)) & set(thread_keys(answered))


def test_a_message_without_ids_has_no_keys() -> None:
    assert thread_keys(parse_message(b"Subject: Hi\n\n")) == []


def test_many_references_keep_the_first_and_the_last() -> None:
    references = b" ".join([b"<%d@x>" % i for i in range(500)])
    ids = thread_ids(parse_message(b"Message-ID: <own@x>\nReferences: " + references + b"\nIn-Reply-To: <499@x>\n\n"))
    assert len(ids) == MAX_KEYS
    assert ids[:2] == ["own@x", "0@x"] and ids[-1] == "499@x"


def test_a_long_subject_is_bounded() -> None:
    for unit in ("re: ", "[a]", "(fwd)", "[fwd:", "[", " "):
        assert len(base_subject(unit * 300_000)) <= 1000
