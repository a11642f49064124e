"""Tests of the text and the HTML in RTF, and of messages in TNEF written as mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.mime import part_content, part_text
from petitbleu_mail.rtf_text import MAX_TEXT, body_of_rtf
from petitbleu_mail.structure import parse_message
from petitbleu_mail.tnef import TnefAttachment, TnefMessage
from petitbleu_mail.tnef_message import attached, attached_at, bodies_of, is_tnef, written


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (rb"{\rtf1\ansi Hello\par World}", "Hello\nWorld"),
        (rb"{\rtf1\ansi\ansicpg1252 d\'e9j\'e0 vu}", "déjà vu"),
        (rb"{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}", "Привет"),
        (rb"{\rtf1\uc1 \u8364?\u-10179?\u-8696?5}", "€\U0001f6085"),
        (rb"{\rtf1\uc2 \u8364\'80\'80x{\uc0\u233 y}\u233??z}", "€xéyéz"),
        (rb"{\rtf1{\fonttbl{\f0 Arial;}}{\*\generator Riched20;}{\info{\title no}}a\tab b\~c\\\{\}}", "a\tb\xa0c\\{}"),
        (rb"{\rtf1{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}\line end}", "link\nend"),
        (b"{\\rtf1 {\\pict\\bin4 }}}}}kept}", "kept"),
        (b"no rtf at all", "no rtf at all"),
        (b"{\\rtf1 open {\\b bold", "open bold"),
        (b"}}}{\\rtf1 x\\", "x"),
    ],
)
def test_the_text_of_rtf(rtf: bytes, text: str) -> None:
    assert body_of_rtf(rtf) == (text, False)


def test_msoxrtfex_2_2_the_html_in_rtf() -> None:
    rtf = (
        rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}}{\*\htmltag64}"
        rb"{\*\htmltag19 <html>}{\*\htmltag50 <body>\par }\htmlrtf {\b \htmlrtf0 {\*\htmltag84 <b>}caf\'e9{\*\htmltag84 &nbsp;}"
        rb"\htmlrtf \'a0\htmlrtf0 {\*\htmltag92 </b>}\htmlrtf }\htmlrtf0 {\*\mhtmltag84 <img src=x>}{\*\htmltag84 <img src=\'22y\'22>}}"
    )
    assert body_of_rtf(rtf) == ('<html><body>\n<b>café&nbsp;</b><img src="y">', True)
    assert bodies_of(TnefMessage(rtf=rtf, text="plain")) == ("plain", '<html><body>\n<b>café&nbsp;</b><img src="y">')
    assert bodies_of(TnefMessage(rtf=rb"{\rtf1 only}")) == ("only", None)
    assert bodies_of(TnefMessage(rtf=rb"{\rtf1 rich}", text="plain")) == ("plain", None)


def test_a_group_too_deep_loses_nothing_behind_it() -> None:
    assert body_of_rtf(b"{\\rtf1 " + b"{" * 5000 + b"deep" + b"}" * 5000 + b" after}")[0] == "deep after"
    assert len(body_of_rtf(b"{\\rtf1 " + b"x" * 3_000_000)[0]) == MAX_TEXT


@given(st.binary(max_size=200), st.booleans())
def test_no_octets_break_it(data: bytes, html: bool) -> None:
    text, is_html = body_of_rtf((rb"{\rtf1\fromhtml1 " if html else b"") + data)
    assert is_html is html or rb"\fromhtml" in data
    text.encode()


words = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b"\\*",
            b"\\htmltag1 ",
            b"\\htmlrtf ",
            b"\\htmlrtf0 ",
            b"\\u55357?",
            b"\\u-8704?",
            b"\\uc0 ",
            b"\\'",
            b"\\'e9",
            b"x",
            b"\\bin99999 ",
            b"\\ansicpg932 ",
            b"\\par",
            b"\\\n",
            b"<b>",
        ]
    ),
    max_size=60,
)


@given(words, st.booleans())
def test_no_words_break_it(found: list[bytes], html: bool) -> None:
    text, _ = body_of_rtf((b"{\\rtf1\\fromhtml1 " if html else b"{\\rtf1 ") + b"".join(found))
    text.encode()


INNER = TnefMessage(
    subject="Été à la plage, " * 10, sender_name="Zoé, of X", sender_address="zoe@x.example", text="Bonjour", html="<p>Bonjour</p>",
    attachments=[TnefAttachment("été.txt", "text/plain", b"abc\r\n--=_tnef_1\r\n", cid="c@x")],
)  # fmt: skip


def test_a_message_in_tnef_is_written_as_mail() -> None:
    outer = TnefMessage(
        attachments=[TnefAttachment("Re", "message/rfc822", message=INNER), TnefAttachment(data=b"\0" * 99)]
    )
    (mail, rest) = attached(outer)
    assert (mail.name, mail.type, rest.data) == ("Re.eml", "message/rfc822", b"\0" * 99)
    found = parse_message(mail.data)
    assert found.subject == ("Été à la plage, " * 10).strip()
    assert found.from_ is not None
    assert (found.from_[0].name, found.from_[0].email) == ("Zoé, of X", "zoe@x.example")
    alternative, attachment = found.root.parts
    assert [part_text(mail.data, part)[0] for part in alternative.parts] == ["Bonjour", "<p>Bonjour</p>"]
    assert (attachment.name, attachment.cid, part_content(mail.data, attachment)) == (
        "été.txt",
        "c@x",
        INNER.attachments[0].data,
    )


def test_messages_within_messages_keep_their_own_delimiters() -> None:
    message = INNER
    for _ in range(3):
        message = TnefMessage(text="around", attachments=[TnefAttachment("in", "message/rfc822", message=message)])
    octets = written(message)
    part = parse_message(octets).root
    for _ in range(3):
        assert part.parts[1].message is not None
        part = part.parts[1].message
    assert part_content(octets, part.parts[1]) == INNER.attachments[0].data


def test_what_is_no_tnef_has_no_attachments() -> None:
    assert not is_tnef(b"From: a")
    assert attached_at(b"From: a", 1) is None


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_no_words_break_the_header(subject: str, name: str, address: str) -> None:
    message = TnefMessage(
        subject=subject or None, sender_name=name or None, sender_address=address or None, text="body"
    )
    octets = written(message)
    found = parse_message(octets)
    assert found.root.type == "multipart/mixed"
    assert part_text(octets, found.root.parts[0])[0] == "body"
    assert (found.subject or "").split() == subject.split() or not subject.isprintable()
