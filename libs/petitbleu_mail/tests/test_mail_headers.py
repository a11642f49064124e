"""Tests of the header scanner and of the parsed forms of header values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.header_values import (
    MAX_IDS,
    SentAt,
    as_date,
    as_message_ids,
    as_text,
    as_urls,
    format_date,
)
from petitbleu_mail.headers import MAX_FIELDS, scan_headers, unfold

PLAIN = b"Received: from a\r\n\tby b; now\r\nSubject: one\r\n two\r\nreceived: from c\r\nX-Empty:\r\nTo: a@b\r\n\r\nbody: no\r\n"


def test_a_plain_header() -> None:
    headers = scan_headers(PLAIN)
    assert headers.names == [b"received", b"subject", b"received", b"x-empty", b"to"]
    assert headers.count(b"received") == 2
    assert headers.first(b"received") == b" from a\r\n\tby b; now"
    assert headers.last(b"received") == b" from c"
    assert headers.all(b"x-empty") == [b""]
    assert headers.first(b"body") is None
    assert PLAIN[headers.body_start :] == b"body: no\r\n"
    assert unfold(headers.first(b"subject") or b"") == b" one two"
    for (start, value, end), (name, raw) in zip(headers.ranges(), headers.fields, strict=True):
        assert PLAIN[start:value].rstrip(b":") == name
        assert PLAIN[value:end] == raw


@pytest.mark.parametrize(
    ("blob", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"A: 1\nB: 2\n\nbody", [b"a", b"b"], b"body"),
        (b"A: 1\r\nB: 2\n\nbody", [b"a", b"b"], b"body"),
        (b"A: 1\n\r\nbody\r\n\r\n", [b"a"], b"body\r\n\r\n"),
        (b"A: 1", [b"a"], b""),
        (b"A: 1\r\n", [b"a"], b""),
        (b"A : 1\r\nB\t: 2\r\n\r\nx", [b"a", b"b"], b"x"),
        (b"From me Mon\r\nA: 1\r\n\r\nx", [b"a"], b"x"),
        (b">From me Mon\r\nA: 1\r\n\r\nx", [b"a"], b"x"),
        (b"A: 1\r\nrubbish\r\nB: 2\r\n\r\nx", [b"a", b"b"], b"x"),
        (b"A: 1\r\nHello world\r\nhow are you\r\n", [b"a"], b"Hello world\r\nhow are you\r\n"),
        (b"just text\r\n\r\nmore", [], b"just text\r\n\r\nmore"),
        (b"A: 1\r\n \r\nB: 2\r\n\r\nx", [b"a", b"b"], b"x"),
        (b"A: \x00\xff\r\n\r\nx", [b"a"], b"x"),
        (b"\xff\xfe: 1\r\n\r\nx", [], b"\xff\xfe: 1\r\n\r\nx"),
    ],
)
def test_odd_headers(blob: bytes, names: list[bytes], body: bytes) -> None:
    headers = scan_headers(blob)
    assert headers.names == names
    assert blob[headers.body_start :] == body


def test_a_boundary_ends_a_header() -> None:
    blob = b"A: 1\r\n--b: c\r\nB: 2\r\n\r\nx"
    assert scan_headers(blob).names == [b"a", b"--b", b"b"]
    headers = scan_headers(blob, 0, {b"b: c": 0})
    assert headers.names == [b"a"]
    assert headers.body_start == 6


HEADERISH = st.lists(
    st.sampled_from(
        [
            b"A: 1",
            b"Subject:",
            b" fold",
            b"\t",
            b"\r\n",
            b"\n",
            b"\r",
            b"--b",
            b"--b--",
            b": x",
            b"From x",
            b"\xff",
            b"\0",
            b"a b",
        ]
    ),
    max_size=25,
).map(b"".join)


def by_lines(blob: bytes, boundaries: set[bytes]) -> tuple[list[tuple[bytes, bytes]], int]:
    """Scan a header in the simplest way, a line at a time."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", blob)
    fields: list[tuple[bytes, bytes]] = []
    at = 0
    index = 0
    while index < len(lines):
        line = lines[index]
        if line in {b"\n", b"\r\n"}:
            return fields, at + len(line)
        if line.startswith(b"--"):
            word = line[2:].rstrip(b" \t\r\n")
            if word in boundaries or (word.endswith(b"--") and word[:-2] in boundaries):
                break
        found = re.match(rb"([!-9;-~]+)[ \t]*:", line)
        if found:
            value = line[found.end() :]
            size = len(line)
            index += 1
            while index < len(lines) and lines[index][:1] in {b" ", b"\t"} and value.endswith(b"\n"):
                value += lines[index]
                size += len(lines[index])
                index += 1
            fields.append((found[1], value))
            at += size
            continue
        following = lines[index + 1] if index + 1 < len(lines) else b""
        top = at == 0 and (line[:1] in {b" ", b"\t"} or line[:6].lstrip(b">").startswith(b"From "))
        if not top and (line.startswith(b"--") or not re.match(rb"[!-9;-~]+[ \t]*:", following)):
            break
        at += len(line)
        index += 1
    return fields, at


@given(HEADERISH, st.sampled_from([set(), {b"b"}]))
@example(b"A: 1\r\n--b\n\n", {b"b"})
def test_the_scanner_says_what_a_naive_one_says(blob: bytes, boundaries: set[bytes]) -> None:
    headers = scan_headers(blob, 0, boundaries)
    assert (headers.fields, headers.body_start) == by_lines(blob, boundaries)
    for (start, value, end), (name, raw) in zip(headers.ranges(), headers.fields, strict=True):
        assert blob[start : start + len(name)] == name
        assert blob[value:end] == raw


@given(st.binary(max_size=200))
def test_any_octets_have_a_header(blob: bytes) -> None:
    headers = scan_headers(blob)
    assert (headers.fields, headers.body_start) == by_lines(blob, set())


def test_many_fields_are_skipped_not_kept() -> None:
    blob = b"A: 1\r\n" * 200_000 + b"\r\nbody"
    headers = scan_headers(blob)
    assert len(headers.fields) == MAX_FIELDS
    assert blob[headers.body_start :] == b"body"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        # RFC 2047 §8
        (b" =?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b" =?ISO-8859-1?Q?a?=", "a"),
        (b" =?ISO-8859-1?Q?a?= b", "a b"),
        (b" =?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b" =?ISO-8859-1?Q?a?=  \r\n  =?ISO-8859-1?Q?b?=", "ab"),
        (b" =?ISO-8859-1?Q?a_b?=", "a b"),
        (b" =?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (
            b" =?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        (b" =?utf-8*en?q?caf=C3=A9?=", "caf\u00e9"),
        (b" =?utf-8?b?w?= =?utf-8?b?qQ==?=", "\ufffd"),
        (b" =?utf-8?q?=C3?= =?utf-8?q?=A9?=", "\u00e9"),  # a character cut in two
        (b" =?nonsense?q?caf=C3=A9?=", "caf\u00e9"),
        (b" =?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b" =?utf-8?q?abc", "=?utf-8?q?abc"),
        (b" =?utf-8?q?a=0D=0AX-Evil:_1?=", "aX-Evil: 1"),
        (b" =?iso-8859-1?Q?Fr\xf6sche?=", "Fr\u00f6sche"),
        ("\u00a0 e\u0301".encode(), "\u00a0 \u00e9"),
        (b" caf\xe9", "caf\ufffd"),
        # RFC 2047 §5: what stands where no encoded word may stand is none, nor is what holds a blank
        (b" re=?utf-8?q?x?=", "re=?utf-8?q?x?="),
        (b" =?utf-8?q?x?=y", "=?utf-8?q?x?=y"),
        (b' "=?utf-8?q?x?="', '"=?utf-8?q?x?="'),
        (b" =?utf-8?q?a b?=", "=?utf-8?q?a b?="),
        (b" a\x00b", "ab"),
    ],
)
def test_text(raw: bytes, text: str) -> None:
    assert as_text(raw) == text


@given(
    st.lists(
        st.sampled_from(["=?", "?=", "?", "utf-8", "q", "B", "=C3", "=A9", "w6k=", " ", "_", "\u00e9", "x"]),
        max_size=20,
    )
)
def test_encoded_words_never_raise(pieces: list[str]) -> None:
    text = decode_words("".join(pieces))
    assert "\n" not in text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_encoded_words_of_the_standard_library_come_back(text: str) -> None:
    from email.header import Header

    sent = Header(text, "utf-8", maxlinelen=60).encode(linesep="\r\n")
    assert decode_words(unfold(sent.encode()).decode()) == text


def test_message_ids() -> None:
    assert as_message_ids(b" <a@b> (c) <d@e>\r\n\t<f@g>\r\n") == ["a@b", "d@e", "f@g"]
    assert as_message_ids(b" a@b\r\n") == ["a@b"]
    assert as_message_ids(b" <a@\r\n b>\r\n") == ["a@b"]
    assert as_message_ids(b" Your message of Monday\r\n") is None
    assert as_message_ids(b"") is None
    many = as_message_ids(b"".join(b"<%d@x> " % i for i in range(1000)))
    assert many is not None and len(many) == MAX_IDS
    assert many[0] == "0@x" and many[-1] == "999@x"


@given(
    st.binary(max_size=100)
    | st.lists(st.sampled_from([b"<", b">", b"a@b", b" ", b"\r\n", b"("]), max_size=30).map(b"".join)
)
def test_message_ids_of_any_octets(raw: bytes) -> None:
    ids = as_message_ids(raw)
    assert ids is None or (ids and all("<" not in i and ">" not in i for i in ids))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"),  # RFC 5322 appendix A
        (b" Tue, 1 Jul 2003 10:52:37 +0200\r\n", "2003-07-01T10:52:37+02:00"),
        (b" Thu, 13 Feb 1969 23:32 -0330", "1969-02-13T23:32:00-03:30"),
        (
            b" Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330",
            "1969-02-13T23:32:00-03:30",
        ),
        (b" 21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"),
        (b" Mon, 22 Mar 1993 09:41:09 -0800 (PST)", "1993-03-22T09:41:09-08:00"),
        (b" Mon, 22 Mar 93 09:41:09 PST", "1993-03-22T09:41:09-08:00"),
        (b" Mon Mar 22 09:41:09 1993", "1993-03-22T09:41:09Z"),
        (b" Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"),
    ],
)
def test_dates(raw: bytes, text: str) -> None:
    sent = as_date(raw)
    assert sent is not None
    assert format_date(sent) == text


@pytest.mark.parametrize(
    "raw", [b"", b" rubbish", b" 32 Jan 2020 00:00:00 +0000", b" 1 Jan 2020 25:00:00", b" 0 Foo 2020 1:1:1"]
)
def test_dates_that_are_none(raw: bytes) -> None:
    assert as_date(raw) is None


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_dates_come_back(naive: datetime, minutes: int) -> None:
    when = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    sent = as_date(format_datetime(when).encode())
    assert sent == SentAt(int(when.timestamp()), minutes)
    assert datetime.fromisoformat(format_date(sent)) == when


@given(
    st.binary(max_size=80)
    | st.lists(
        st.sampled_from([b"Mon,", b" 1", b" Jan", b" 99999", b" 00:00", b" +9999", b" -0000", b"\r\n"]), max_size=9
    ).map(b"".join)
)
def test_dates_of_any_octets(raw: bytes) -> None:
    sent = as_date(raw)
    assert sent is None or datetime.fromisoformat(format_date(sent)).astimezone(UTC)


def test_urls() -> None:
    assert as_urls(b" <https://e.org/u?a=1>, <mailto:u@e.org>\r\n") == ["https://e.org/u?a=1", "mailto:u@e.org"]
    assert as_urls(b" none") is None
