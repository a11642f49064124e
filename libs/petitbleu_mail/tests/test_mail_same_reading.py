"""A header without oddities says the same to a strict reader, to a lenient one and to Python's own."""

from __future__ import annotations

import email
import email.policy
import re
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.auth.fields import Fields, split_message
from petitbleu_mail.headers import MAX_VALUE, scan_headers
from petitbleu_mail.same_reading import MAX_SUBMITTED_FIELDS, Oddity, oddity_of, same_mailboxes, whole_addresses

PIECES = st.sampled_from(
    [
        b"From: me@own.test", b"From: head@school.test", b"from : head@school.test", b"Subject: x", b"To: a@b.test,", b" ", b"\t",
        b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b"\x0b", b"\x0c", b"\x1d", b"no field", b": x", b"--b", b"From me@own.test", b"body",
        b"From:", b" head@school.test", b"\r\n\r\n", "Fr\u00f6m: x".encode(), b">From me@own.test", b"X\x85From: y", b"From",
    ]
)  # fmt: skip


def strict(message: bytes) -> list[bytes]:
    """Lines end with CRLF and nothing else (RFC 5321 §2.3.8)."""
    fields = Fields(split_message(message)[0])
    return [fields.value(index).replace(b"\r\n", b"").strip(b" \t") for index in fields.indexes(b"from")]


def lenient(message: bytes) -> list[bytes]:
    """Lines end with whatever looks like an end; what is no field is skipped, up to the last line that may be blank."""
    lines = re.split(rb"\r\n|[\r\n\x0b\x0c\x1c-\x1e]", re.split(rb"\r\n\r\n|\A\r\n", message)[0])
    found: list[bytes] = []
    inside = False
    for line in lines:
        if line[:1] in {b" ", b"\t"}:
            if inside:
                found[-1] += line
            continue
        inside = re.match(rb"from[ \t]*:", line, re.IGNORECASE) is not None
        if inside:
            found.append(line.partition(b":")[2])
    return [one.strip(b" \t") for one in found]


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=20).map(b"".join))
@example(b"From: me@own.test\r\nno field\r\nnone either\r\nFrom: head@school.test\r\n\r\n")
@example(b"From: me@own.test\r\nSubject: x\rFrom: head@school.test\r\n\r\n")
@example(b"From: me@own.test\r\n\nFrom: head@school.test\r\n\r\n")
def test_without_an_oddity_all_readers_see_one_author(message: bytes) -> None:
    if oddity_of(message) is not None:
        return
    seen = [value.replace(b"\r\n", b"").strip(b" \t") for value in scan_headers(message).all(b"from")]
    assert strict(message) == seen == lenient(message)
    # Python ends a header at a blank before the colon
    if not re.search(rb"(?m)^[!-9;-~]+[ \t]+:", message):
        python = email.message_from_bytes(message).get_all("from", [])
        assert [
            str(one).encode("utf-8", "surrogateescape").replace(b"\r\n", b"").strip(b" \t") for one in python
        ] == seen or any(octet > 127 for octet in message)


@pytest.mark.parametrize(
    ("message", "oddity"),
    [
        (b"From: a@b.test\r\nSubject: x\r\n\r\nbo\ndy\r\0", None),
        (b"From: a@b.test\r\n folded\r\n\tagain\r\nX :y\r\n\r\n", None),
        (b"From: a@b.test", None),
        (b"\r\nbody", None),
        (b"Subject: x\rFrom: a@b.test\r\n\r\n", Oddity.LINE_END),
        (b"Subject: x\nFrom: a@b.test\r\n\r\n", Oddity.LINE_END),
        (b"Subject: x\r\n\nFrom: a@b.test\r\n\r\n", Oddity.LINE_END),
        (b"Subject: x\r\n\r\r\nFrom: a@b.test\r\n\r\n", Oddity.LINE_END),
        (b"Subject: x\r", Oddity.LINE_END),
        (b"Subject: x\0\r\n\r\n", Oddity.CONTROL),
        (b"Subject: x\x0cFrom: a@b.test\r\n\r\n", Oddity.CONTROL),
        (b"From a@b.test Mon Nov 23 2026\r\nSubject: x\r\n\r\n", Oddity.NOT_FIELDS),
        (b" folded\r\nSubject: x\r\n\r\n", Oddity.NOT_FIELDS),
        (b"Subject: x\r\nno field\r\nX: y\r\n\r\n", Oddity.NOT_FIELDS),
        (b"X: y\r\n" * (MAX_SUBMITTED_FIELDS - 1) + b"\r\n", None),
        (b"X: y\r\n z\r\n" * (MAX_SUBMITTED_FIELDS - 1) + b"\r\n", None),
        (b"X: y\r\n" * MAX_SUBMITTED_FIELDS + b"\r\n", Oddity.TOO_MANY_FIELDS),
    ],
)
def test_what_is_odd(message: bytes, oddity: Oddity | None) -> None:
    assert oddity_of(message) is oddity


def test_addresses_that_are_not_all_read_are_none_at_all() -> None:
    assert whole_addresses(scan_headers(b"From: a@b.test, c@d.test\r\nFrom: e@f.test\r\n\r\n"), b"from") is not None
    long = b"From: " + b"a@b.test,\r\n " * (MAX_VALUE // 10) + b"head@school.test\r\n\r\n"
    assert whole_addresses(scan_headers(long), b"from") is None
    many = b"From: " + b"a@b.test," * 1000 + b"head@school.test\r\n\r\n"
    assert len(many) < MAX_VALUE
    assert whole_addresses(scan_headers(many), b"from") is None


WORDS = st.sampled_from(
    [b"me@own.test", b"boss@own.test", b"<", b">", b"<me@own.test>", b'"', b"\\", b"(", b")", b",", b":", b";", b" ", b"\r\n ", b"\t", b"[", b"]",
     b"@", b".", b"Me", b"=?a?q?x,y?=", "é".encode(), b"\x01"]
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(WORDS, max_size=10).map(b"".join))
@example(b"boss@own.test <me@own.test>")
@example(b"[<boss@own.test>,] <me@own.test>")
@example(b"=?a?q?:,boss@own.test,?= <me@own.test>")
def test_mailboxes_that_are_the_same_to_all_are_found_alike(value: bytes) -> None:
    if not same_mailboxes(value):
        return
    ours = [one.email for one in as_addresses(value)]
    text = value.decode()
    assert set(ours) == {address for _, address in getaddresses([text.replace("\r\n", "")])}
    try:
        header = email.message_from_string(f"From: {text}\r\n\r\n", policy=email.policy.default)["From"]
    except (IndexError, AttributeError):
        return  # its parser trips over names without a letter
    assert set(ours) == {one.addr_spec for one in header.addresses}


def test_what_is_long_and_hostile_is_read_in_its_length_only() -> None:
    for piece in (b'"', b"\\", b"(", b"<", b"a ", b"a@", b"a@b.c ", b'"a" ', b"a@b.c,", b"a@b.c <"):
        value = piece * (MAX_VALUE // len(piece) - 1)
        assert len(value) < MAX_VALUE
        same_mailboxes(value)  # a quadratic reading would take minutes
