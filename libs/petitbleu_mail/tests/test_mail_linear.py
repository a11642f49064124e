"""Adversarial input of up to 1 MB: the work grows as the input does.

Counted are calls, Python's and C's, not seconds. What one call of a regular expression may cost is bounded by how they are
written: possessive, each beginning with a literal or at a fixed place, so that none is tried twice over the same octets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from petitbleu_mail.dotstuff import DotDecoder
from petitbleu_mail.flowed import read_fixed, read_flowed
from petitbleu_mail.html_text import text_of_html
from petitbleu_mail.mime import part_text
from petitbleu_mail.preview import html_to_text
from petitbleu_mail.safe_html import render_html
from petitbleu_mail.smtp_grammar import parse_command
from petitbleu_mail.structure import encode_meta, parse_message

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
NESTED = b"".join(
    [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(45)]
)  # fmt: skip

# name → (what comes first, what is repeated up to the size)
ADVERSARIES = {
    "lines like delimiters": (MIXED, b"--bb\r\n"),
    "empty delimiters": (MIXED, b"--\r\n"),
    "delimiters": (MIXED, b"--b\r\n"),
    "closing delimiters": (MIXED, b"--b--\r\n"),
    "delimiters, then header": (MIXED, b"--b\r\nX: y\r\n"),
    "parts without blank line": (MIXED, b"--b\r\nrubbish\r\nX: y\r\n"),
    "deep, then lines like delimiters": (NESTED, b"--b\r\n"),
    "deep, then close": (NESTED, b"--b44--\r\n--b43\r\n\r\n"),
    "deeper and deeper": (b"", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
    "messages in messages": (b"", b"Content-Type: message/rfc822\r\n\r\n"),
    "messages in a digest": (b"Content-Type: multipart/digest; boundary=b\r\n\r\n", b"--b\r\n\r\nContent-Type: message/rfc822\r\n\r\n"),
    "many fields": (b"", b"X: y\r\n"),
    "many fields without body": (b"", b"Subject: y\n"),
    "no field": (b"", b"rubbish\nX: y\n"),
    "dashes": (b"", b"--\n"),
    "one long field": (b"Subject: ", b"x"),
    "one long folded field": (b"Subject: x", b"\r\n x"),
    "one long name": (b"", b"x"),
    "encoded words": (b"Subject: ", b"=?"),
    "half encoded words": (b"Subject: ", b"=?utf-8?q?x"),
    "whole encoded words": (b"Subject: ", b"=?utf-8?q?x?= "),
    "addresses": (b"To: ", b"a@b,"),
    "open comments": (b"To: ", b"("),
    "comments": (b"To: ", b"()"),
    "open quotes": (b"To: ", b'"'),
    "open brackets": (b"To: ", b"<"),
    "words": (b"To: ", b"a "),
    "at signs": (b"To: ", b"@ "),
    "groups": (b"To: ", b"a:;"),
    "references": (b"References: ", b"<a@b> "),
    "open references": (b"References: ", b"<a"),
    "semicolons": (b"Content-Type: text/plain", b";"),
    "parameters": (b"Content-Type: text/plain", b";a=b"),
    "sections": (b"Content-Type: text/plain", b";a*1=b"),
    "open parameters": (b"Content-Type: text/plain", b';a="'),
    "comments in a type": (b"Content-Type: text/plain;", b"("),
    "blanks": (b"Content-Type: text/plain", b" "),
    "date": (b"Date: ", b"1 "),
    "base64 of padding": (b"Content-Transfer-Encoding: base64\r\n\r\n", b"A="),
    "quoted-printable of equals": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"="),
    "uuencode": (b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\n", b"\x60\n"),
    "uuencode begins": (b"Content-Transfer-Encoding: x-uuencode\r\n\r\n", b"begin 644 \n"),
    "html of tags": (b"Content-Type: text/html\r\n\r\n", b"<b>"),
    "html of open tags": (b"Content-Type: text/html\r\n\r\n", b"<"),
    "html of heads": (b"Content-Type: text/html\r\n\r\n", b"<head>"),
    "html of comments": (b"Content-Type: text/html\r\n\r\n", b"<!--"),
    "html of entities": (b"Content-Type: text/html\r\n\r\n", b"&"),
    "NUL": (b"", b"\0"),
    "CR": (b"", b"\r"),
    "LF": (b"X: y", b"\n"),
    "blank lines": (b"X: y\n", b" \n"),
}  # fmt: skip


def calls(work: Callable[[], object]) -> int:
    """Count the calls that some work makes."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        if event in {"call", "c_call"}:
            count += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def read(blob: bytes) -> None:
    message = parse_message(blob)
    encode_meta(message)
    part = message.root
    while part.parts:
        part = part.parts[-1]
    text, _ = part_text(blob, part)
    if part.type == "text/html":
        html_to_text(text)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_reading_takes_linear_work(name: str) -> None:
    head, unit = ADVERSARIES[name]

    def blob(size: int) -> bytes:
        return head + unit * (size // len(unit))

    small, large = (calls(lambda size=size: read(blob(size))) for size in (62_500, 1_000_000))  # type: ignore[misc]
    # sixteen times the input, at most some more than sixteen times the work, and never more than a few calls an octet
    assert large <= 20 * small + 2000
    assert large <= 5 * 1_000_000


@pytest.mark.parametrize("unit", [b"\r\n.", b"\r\n", b"\r", b"\n", b".", b"\r\n.\n", b"x"])
def test_decoding_data_takes_few_steps(unit: bytes) -> None:
    wire = unit * (1_000_000 // len(unit))

    def work() -> None:
        decoder = DotDecoder()
        for at in range(0, len(wire), 65536):
            decoder.feed(wire[at : at + 65536])

    assert calls(work) < 10_000


def test_commands_take_few_steps() -> None:
    for line in (
        b"MAIL FROM:<" + b"a." * 500_000,
        b"RCPT TO:<" + b'"\\"' * 300_000,
        b"MAIL FROM:<a@b>" + b" X" * 300_000,
    ):
        assert calls(lambda line=line: parse_command(line)) < 100  # type: ignore[misc]


FONTS = "".join(f"<font color={i}>" for i in range(1000))
SOUPS = [
    ("", "<div>"),
    ("", "<"),
    ("", "<!-"),
    ("", "<a b='"),
    ("", '</a b=">"'),
    ("", "<svg>"),
    ("", "<style"),
    ("<a ", " b=c"),
    ("<b style='", "url("),
    ("", "<b style='color:red;background:url(x)'>x</b>"),
    ("", "<table><tr><td>"),
    ("", "<b><a href=http://x><p></b>"),
    ("<p>" + FONTS, "<p>x"),
    ("<table>" + FONTS, "<tr></tr>x"),
    ("<div>" * 250, "</p></table>"),
    ("", "<blockquote>x<br>"),
    ("", "&amp"),
    ("<pre>", "\n"),
]


@pytest.mark.parametrize(("head", "unit"), SOUPS, ids=[unit for _, unit in SOUPS])
def test_rendering_takes_linear_work(head: str, unit: str) -> None:
    def work(size: int) -> None:
        html = head + unit * (size // len(unit))
        render_html(html, inline=lambda _: None, proxy=lambda url: "/" + url)
        text_of_html(html, links=True)

    small, large = (calls(lambda size=size: work(size)) for size in (12_500, 100_000))  # type: ignore[misc]
    assert large <= 10 * small + 2000
    assert large <= 20 * 100_000


@pytest.mark.parametrize("unit", ["\n", "> \n", "x \n", ">\n\n", "-- \n", ">", " "])
def test_paragraphs_take_linear_work(unit: str) -> None:
    def work(size: int) -> None:
        text = unit * (size // len(unit))
        read_flowed(text)
        read_fixed(text)

    small, large = (calls(lambda size=size: work(size)) for size in (62_500, 1_000_000))  # type: ignore[misc]
    assert large <= 20 * small + 2000
