"""Tests of JMAP's view of a message (RFC 8621 §4.1): envelope, lists of body parts, preview, record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.address_list import EmailAddress
from petitbleu_mail.mime import Part
from petitbleu_mail.preview import MAX_PREVIEW, html_to_text, preview_of_html, preview_of_text
from petitbleu_mail.structure import MetaError, body_lists, decode_meta, encode_meta, parse_message

MESSAGE = b"""From: "Joe Bloggs" <joe@example.com>
To: John <john@example.com>, jane@example.com
Cc: carol@example.com
Subject: =?utf-8?q?Caf=C3=A9?= dinner
Date: Sun, 13 Jul 2014 11:11:21 +0200
Message-ID: <one@example.com>
References: <a@example.com> <b@example.com>
In-Reply-To: <b@example.com>
Received: from a by b; x
Received: from c by d; y
Content-Type: text/plain; charset="utf-8"

Hello   there,
\tgood morning.
""".replace(b"\n", b"\r\n")


def test_the_envelope() -> None:
    message = parse_message(MESSAGE)
    assert message.subject == "Caf\u00e9 dinner"
    assert message.from_ == [EmailAddress("Joe Bloggs", "joe@example.com")]
    assert message.to == [EmailAddress("John", "john@example.com"), EmailAddress(None, "jane@example.com")]
    assert message.cc == [EmailAddress(None, "carol@example.com")]
    assert (message.bcc, message.sender, message.reply_to) == (None, None, None)
    assert message.message_id == ["one@example.com"]
    assert message.references == ["a@example.com", "b@example.com"]
    assert message.in_reply_to == ["b@example.com"]
    assert message.sent_at is not None and message.sent_at == (1405242681, 120)
    assert message.preview == "Hello there, good morning."
    assert (message.received, message.size, message.has_attachment) == (2, len(MESSAGE), False)
    assert message.root.charset == "utf-8"


def test_of_several_fields_the_last_one_counts() -> None:
    message = parse_message(b"Subject: one\r\nFrom: a@b\r\nsubject: two\r\nFrom: c@d\r\n\r\n")
    assert message.subject == "two"
    assert message.from_ == [EmailAddress(None, "c@d")]


def test_a_record_comes_back_and_is_small() -> None:
    message = parse_message(MESSAGE)
    record = encode_meta(message)
    assert decode_meta(record) == message
    assert decode_meta(memoryview(record)) == message
    assert len(record) < 400


def test_a_record_of_another_version_or_damaged_is_refused() -> None:
    record = encode_meta(parse_message(MESSAGE))
    for bad in (b"", b"\x00" + record[1:], record[:-3], record[:1] + b"\xc0"):
        with pytest.raises(MetaError):
            decode_meta(bad)


def leaf(name: str, kind: str, disposition: str | None = None, file: str | None = None) -> Part:
    return Part(kind, 0, 0, part_id=name, disposition=disposition, name=file)


def multi(subtype: str, *parts: Part) -> Part:
    return Part(f"multipart/{subtype}", 0, 0, parts=list(parts))


def names(root: Part) -> tuple[str, str, str]:
    lists = body_lists(root)
    return tuple(
        "".join([p.part_id or "?" for p in part]) for part in (lists.text_body, lists.html_body, lists.attachments)
    )  # type: ignore[return-value]


def test_the_example_of_rfc_8621() -> None:
    """RFC 8621 §4.1.4 gives this tree with the parts A to K and the three lists."""
    root = multi(
        "mixed",
        leaf("A", "text/plain", "inline"),
        multi(
            "mixed",
            multi(
                "alternative",
                multi(
                    "mixed",
                    leaf("B", "text/plain", "inline"),
                    leaf("C", "image/jpeg", "inline"),
                    leaf("D", "text/plain", "inline"),
                ),
                multi("related", leaf("E", "text/html"), leaf("F", "image/jpeg")),
            ),
            leaf("G", "image/jpeg", "attachment"),
            leaf("H", "application/x-excel"),
            leaf("J", "message/rfc822"),
        ),
        leaf("K", "text/plain", "inline"),
    )
    assert names(root) == ("ABCDK", "AEK", "CFGHJ")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (leaf("A", "text/plain"), ("A", "A", "")),
        (leaf("A", "text/html"), ("A", "A", "")),
        (leaf("A", "image/png"), ("A", "A", "")),
        (leaf("A", "application/pdf"), ("", "", "A")),
        (leaf("A", "text/plain", "attachment"), ("", "", "A")),
        (multi("alternative", leaf("A", "text/plain"), leaf("B", "text/html")), ("A", "B", "")),
        (multi("alternative", leaf("A", "text/html")), ("A", "A", "")),
        (multi("alternative", leaf("A", "text/plain")), ("A", "A", "")),
        (multi("alternative", leaf("A", "text/plain"), leaf("B", "text/calendar")), ("A", "A", "B")),
        (multi("related", leaf("A", "text/html"), leaf("B", "image/png")), ("A", "A", "B")),
        (multi("mixed", leaf("A", "text/plain"), leaf("B", "text/plain", None, "b.txt")), ("A", "A", "B")),
        (multi("mixed", leaf("A", "text/plain", None, "a.txt"), leaf("B", "image/png")), ("AB", "AB", "")),
        (
            multi("mixed", multi("alternative", leaf("A", "text/plain"), leaf("B", "text/html")), leaf("C", "image/png", "attachment")),
            ("A", "B", "C"),
        ),
        (
            multi("alternative", leaf("A", "text/plain"), multi("related", leaf("B", "text/html"), leaf("C", "image/gif", "inline"))),
            ("A", "B", "C"),
        ),
    ],
)  # fmt: skip
def test_lists_of_body_parts(root: Part, expected: tuple[str, str, str]) -> None:
    assert names(root) == expected


def test_has_attachment() -> None:
    def message(kind: bytes, disposition: bytes) -> bytes:
        return (
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: " + kind + b"\n"
            b"Content-Disposition: " + disposition + b"\n\nx\n--b--\n"
        )

    assert parse_message(message(b"application/pdf", b"attachment")).has_attachment
    assert not parse_message(message(b"application/pdf", b"inline")).has_attachment
    assert not parse_message(message(b"text/plain", b"inline")).has_attachment


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>wor</b>ld</p><p>again", "Hello world again"),
        ("<html><head><title>t</title><style>p{}</style></head><body>x", "x"),
        ("<head><p>no end of head", "no end of head"),
        ("a<!-- b -- c -->d<!-- never ends", "ad"),
        ("<script>if (a<b) {}</script>y", "y"),
        ("1 &lt; 2 &amp;&eacute;&#233;&nbsp;x", "1 < 2 &\u00e9\u00e9 x"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
        ("<!DOCTYPE html><?xml x?>z", "z"),
        ("x<a href='never ends", "x"),
        ("<STYLE>p{}</Style >k", "k"),
        ("wide\u200b\u200c\u00adness", "wideness"),
        ("", ""),
    ],
)
def test_html_is_stripped(html: str, text: str) -> None:
    assert html_to_text(html) == text
    assert preview_of_html(html) == text


@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "<p>", "</p>", "<style>", "</style>", "<head>", "<!--", "-->", "&lt;", "&", "a ", "<b", "\n"]
        ),
        max_size=40,
    ).map("".join)
)
def test_any_html_has_a_preview(html: str) -> None:
    assert preview_of_html(html) == html_to_text(html)[:MAX_PREVIEW]


@given(st.text(max_size=2000))
def test_a_preview_is_one_short_line(text: str) -> None:
    preview = preview_of_text(text)
    assert len(preview) <= MAX_PREVIEW
    assert "\n" not in preview and "  " not in preview.replace("\u00a0", " ")


def test_a_preview_comes_from_the_html_where_there_is_no_text() -> None:
    blob = b"Content-Type: text/html; charset=utf-8\n\n<style>" + b"x{}" * 5000 + b"</style><h1>News</h1><p>caf\xc3\xa9"
    assert parse_message(blob).preview == "News caf\u00e9"


@given(st.binary(max_size=300))
def test_any_octets_are_a_message(blob: bytes) -> None:
    message = parse_message(blob)
    assert decode_meta(encode_meta(message)) == message
    assert parse_message(bytearray(blob)) == parse_message(memoryview(blob)) == message


@given(st.data())
def test_a_mutated_message_is_a_message(data: st.DataObject) -> None:
    blob = bytearray(MESSAGE)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(blob)))
        blob[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    message = parse_message(bytes(blob))
    assert decode_meta(encode_meta(message)) == message
