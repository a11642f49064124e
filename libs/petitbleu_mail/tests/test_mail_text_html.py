"""Tests of plain text as HTML."""

from __future__ import annotations

from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.safe_html import MAX_HTML, render_html
from petitbleu_mail.text_html import html_of_text, linked

WRAP = '<div style="white-space:pre-wrap"'
REL = 'target="_blank" rel="noopener noreferrer nofollow"'


def test_rfc3676_4_1_flowed_lines_are_one_paragraph() -> None:
    html, cut = html_of_text("one \ntwo\n> quoted \n> too\n\n-- \nAnna", {"format": "flowed"})
    quote = f"<blockquote>{WRAP}>quoted too</div></blockquote>"
    assert html == f'{WRAP}>one two</div>{quote}{WRAP}></div>{WRAP} title="-- ">-- \nAnna</div>'
    assert not cut


def test_fixed_lines_stay_lines_and_nothing_is_markup() -> None:
    assert html_of_text("a <b>\n  c & d\n")[0] == f"{WRAP}>a &lt;b&gt;\n  c &amp; d</div>"


def test_quotes_that_come_back_are_closed_again() -> None:
    html = html_of_text(">>> deep\n> less\nnone")[0]
    assert html.count("<blockquote>") == html.count("</blockquote>") == 3
    assert html.endswith(f"</blockquote>{WRAP}>none</div>")
    assert html_of_text(">" * 500 + "x")[0].count("<blockquote>") == 20


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("see https://x.example/a?b=1&c=2.", "https://x.example/a?b=1&c=2"),
        ("(http://x.example/a_(b))", "http://x.example/a_(b)"),
        ("<https://x.example>", "https://x.example"),
        ("mailto:anna@x.example,", "mailto:anna@x.example"),
        ("HTTPS://X.example/é", "HTTPS://X.example/é"),
    ],
)
def test_addresses_are_links(text: str, url: str) -> None:
    html = linked(text)
    assert f'href="{url.replace("&", "&amp;")}" {REL}' in html
    assert unescape(html.replace("</a>", "").split(f"{REL}>")[1]) in text


@pytest.mark.parametrize("text", ["javascript:alert(1)", "xhttp://a", "http://", "mailto:", "http:///x", "//x.example"])
def test_other_words_are_none(text: str) -> None:
    assert "<a " not in linked(text)


def test_long_text_is_cut() -> None:
    html, cut = html_of_text("x" * (MAX_HTML + 1))
    assert cut
    assert len(html) < MAX_HTML + 100


@given(st.text(st.sampled_from(list(" \n>-<&\"'()é.http:/x@")), max_size=300), st.booleans())
def test_what_comes_out_is_safe_html_already(text: str, flowed: bool) -> None:
    html = html_of_text(text, {"format": "flowed"} if flowed else None)[0]
    assert render_html(html).html.replace("\n", "") == html.replace("\n", "").replace("&#x27;", "'").replace(
        "&quot;", '"'
    )
