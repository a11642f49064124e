"""Tests of style sheets: what newsletters need stays, and nothing reaches beyond the message's own box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.html_judge import Judge, check_sheet

from petitbleu_mail.safe_html import render_html
from petitbleu_mail.safe_sheet import MAX_SHEETS, safe_sheet


@pytest.mark.parametrize(
    ("css", "safe"),
    [
        ("p { color : red }", ".b p{color:red}"),
        (".a, #c, td.a#c:hover { margin: 0 }", ".b .m-a,.b .i-c,.b td.m-a.i-c:hover{margin:0}"),
        ("body { width: 1px } body p{color:red} html>body .x{color:red}", ".b{width:1px}.b p{color:red}.b .m-x{color:red}"),
        ("table > tr td { color: red }", ".b table > tr td{color:red}"),
        ("* { font: 12px Arial }", ".b *{font:12px Arial}"),
        ("@media only screen and (max-width: 600px) { .w { width: 100% !important } p{position:fixed} }",
         "@media only screen and (max-width: 600px){.b .m-w{width:100% !important}}"),
        ("@media screen{p{color:red}} b{color:red}", "@media screen{.b p{color:red}}.b b{color:red}"),
        ("<!-- p{color:red} --> /* b{} */ i{color:red", ".b p{color:red}.b i{color:red}"),
        ("@import url(x); @charset 'x'; p{color:red}", ".b p{color:red}"),
        ("@font-face{font-family:x;src:url(x)} @keyframes a{from{color:red}to{color:red}} p{color:red}", ".b p{color:red}"),
        ("p{background:url(//x/a.png) red;position:fixed;top:0}", ".b p{background:red}"),
        ("p{} q{x:y} ,{color:red} > p{color:red} p >{color:red}", ""),
        ("a[href]{color:red} p::before{color:red} :root{color:red} p~q{color:red} .sm\\:x{color:red} :not(p){color:red}", ""),
        ("p{color:red} a{b{color:red}} q{color:red}", ".b p{color:red}.b q{color:red}"),
        ("@media print{p{color:red}} @media (a:b){p{color:red}} @supports (a:b){p{color:red}}", ""),
        ("}}} p{color:red}", ".b p{color:red}"),
        ("p{color:red}</style><script>", ".b p{color:red}"),
        ("p{font-family:'a}b{c'} q{color:red}", ".b q{color:red}"),
    ],
)  # fmt: skip
def test_a_sheet_is_reduced(css: str, safe: str) -> None:
    found, _ = safe_sheet(css, "b")
    assert found == safe
    check_sheet(found, "b")


def test_what_a_sheet_would_fetch_is_counted() -> None:
    assert safe_sheet("@import 'a'; @import url(b); p{background:URL(c)}", "b")[1] == 4


def test_classes_and_ids_have_names_of_their_own() -> None:
    html = '<style>.a{color:red}</style><p class="a b/ c" id=x>1<b class="<" id="">2'
    found = render_html(html, scope="mail-1")
    assert (found.html, found.css) == ('<p class="m-a m-c i-x">1<b>2</b></p>', ".mail-1 .m-a{color:red}")
    assert render_html(html).html == "<p>1<b>2</b></p>"
    assert render_html(html).css == ""


def test_a_sheet_is_bounded() -> None:
    assert len(safe_sheet("a," * MAX_SHEETS + "a{color:red}" * 9, "b")[0]) < 10 * MAX_SHEETS
    assert safe_sheet(" " * MAX_SHEETS + "p{color:red}", "b") == ("", 0)


PIECES = ["p", ".a", "#b", "{", "}", "@media screen", "(max-width:1px)", ";", ":", "color:red", "url(x)", ",", ">", "/*", "*/", "'", "\\", "<", " ", "body", ":hover"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_no_sheet_reaches_beyond_its_box(pieces: list[str]) -> None:
    css = "".join(pieces)
    check_sheet(safe_sheet(css, "b")[0], "b")
    found = render_html(f"<style>{css}</style><p class='{css}' id=\"{css}\">", scope="b")
    check_sheet(found.css, "b")
    Judge(found.html, classes=True)


@pytest.mark.parametrize(
    "unit", ["{", "}", "p{", "@media screen{", "a,", "a{b{", ".a.a", "a ", "/*", "@x;", "p{color:red}"]
)
def test_sheets_take_linear_time(unit: str) -> None:
    safe_sheet(unit * (MAX_SHEETS // len(unit)), "b")
