"""Tests of links for a child's eyes: none leads anywhere but to our page, and each shows the whole address that it is for."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.html_judge import Judge
from libs.petitbleu_mail.tests.test_mail_safe_html import ATTACKS, SOUP

from petitbleu_mail.leaving import MAX_ADDRESS, MAX_LINKS, LeavePage, shown_address
from petitbleu_mail.safe_css import safe_style
from petitbleu_mail.safe_html import render_html
from petitbleu_mail.text_html import html_of_text

PAGE = "https://mail.example/#/leave/"


class Links(HTMLParser):
    """The links of a rendering: where each leads, and the words in it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str | None, str]] = []
        self.fetched: list[str] = []
        self.is_open = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ones = dict(attrs)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "background"}]
        assert not {name for name in given_ones if name.startswith("data-remote")}
        if tag == "a":
            self.is_open = True
            self.found.append((given_ones.get("href"), ""))

    def handle_endtag(self, tag: str) -> None:
        self.is_open = self.is_open and tag != "a"

    def handle_data(self, data: str) -> None:
        if self.is_open:
            href, words = self.found[-1]
            self.found[-1] = (href, words + data)


def shown(html: str) -> Links:
    """What a child sees; refuses a link that leads elsewhere, or does not begin with the address that it is for."""
    rendered = render_html(html, leave=LeavePage(PAGE), proxy=lambda url: f"https://mail.example/image?u={url}").html
    Judge(rendered)
    links = Links(rendered)
    check(links)
    assert links.fetched == []
    return links


def check(links: Links) -> None:
    for href, words in links.found:
        if href is not None:
            assert href.startswith(PAGE)
            target = unquote(href.removeprefix(PAGE))
            assert words.startswith(target)
            assert str(shown_address(target)) == target  # one form, whoever reads it
            assert target.isascii() and target.isprintable() and " " not in target
            assert urlsplit(target).username is None


def test_a_link_leads_to_the_page_and_shows_where_it_goes() -> None:
    ((href, words),) = shown('<a href="https://Evil.Example/a?b=1&amp;c=2">https://bank.fr</a>').found
    assert href == f"{PAGE}https%3A%2F%2Fevil.example%2Fa%3Fb%3D1%26c%3D2"
    assert words == "https://evil.example/a?b=1&c=2 https://bank.fr"
    assert "<b " in render_html("<a href=https://evil.example>x</a>", leave=LeavePage(PAGE)).html


def test_a_link_in_plain_text_does_too() -> None:
    html, _ = html_of_text(
        "look: https://\u0455chool.example/a\u202egnp.exe and mailto:a@b.example", None, LeavePage(PAGE)
    )
    links = Links(html)
    check(links)
    ((href, words),) = links.found
    assert words == "https://xn--chool-g2e.example/a%E2%80%AEgnp.exe"
    assert href is not None
    assert "mailto:a@b.example" in html
    assert "href" not in html_of_text("mailto:a@b.example", None, LeavePage(PAGE))[0]


@pytest.mark.parametrize(
    ("url", "one_form"),
    [
        ("https://ex\u0430mple.fr", "https://xn--exmple-4nf.fr/"),  # a Cyrillic letter among Latin ones
        ("HTTP://A.example:080", "http://a.example:80/"),
        ("https://a.example/\u202efdp.exe", "https://a.example/%E2%80%AEfdp.exe"),
        ("https://a.example/%2", "https://a.example/%252"),
        ("https://a.example/a\\b", "https://a.example/a%5Cb"),
        ("https://a.example#x", "https://a.example#x"),
        ("https://bank.fr/go?to=https://evil.example", "https://bank.fr/go?to=https://evil.example"),  # shown to its end
        ("https://bank.fr.evil.example/", "https://bank.fr.evil.example/"),
        ("https://a.example./x", "https://a.example/x"),
    ],
)  # fmt: skip
def test_an_address_has_one_form(url: str, one_form: str) -> None:
    assert str(shown_address(url)) == one_form


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "mailto:a@b.example", "ftp://a.example", "//a.example",
        "https://bank.fr@evil.example", "https://bank.fr:80@evil.example", "https://bank.fr%40evil.example", "https://%65vil.example",
        "https://bank.fr\\@evil.example", "https:\\\\evil.example", "https:/evil.example", "https:///evil.example", "http:evil.example",
        "http://127.0.0.1", "http://2130706433", "http://0x7f.1", "http://0x7f000001", "http://[::1]/", "http://localhost", "http://intranet/x",
        "https://a.example:0", "https://a.example:99999", "https://a.example:", "https://a..example", "https://.example", "https://a b.example",
        "https://a.example" + "/a" * MAX_ADDRESS, "https://a.example/" + "\u20ac" * 1000, "https://bank.fr\u2044evil.example", "https://bank.fr\uff0fevil.example",
        "blob:https://mail.example/x", "https://", "",
    ],
)  # fmt: skip
def test_what_hides_where_it_leads_is_no_link(url: str) -> None:
    assert shown_address(url) is None
    assert [href for href, _ in shown(f'<a href="{url}">x</a>').found] in ([None], [])


@pytest.mark.parametrize(
    "html",
    [
        "<map name=m><area href=https://evil.example></map><img usemap=#m src=cid:x>", "<base href=https://evil.example/><a href=x>x</a>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>", "<form action=https://evil.example><button>x</button></form>",
        "<svg><a xlink:href=https://evil.example><text>x</text></a></svg>", "<svg><a href=https://evil.example>x</a></svg>",
        "<link rel=stylesheet href=https://evil.example/x.css>", "<div style=\"background:url('https://evil.example/x')\">x</div>",
        "<style>@font-face{font-family:x;src:url(https://evil.example/x)}@import 'https://evil.example';p{background:url(//evil.example)}</style>",
        "<img src=https://evil.example/x srcset='https://evil.example/y 2x'>", "<td background=//evil.example>", "<iframe src=//evil.example>",
        "<img src='data:image/png;base64,iVBORw0KGgo='>", "<q cite=https://evil.example>x</q>", "<button formaction=https://evil.example>x",
    ],
)  # fmt: skip
def test_nothing_else_leads_or_reaches_out(html: str) -> None:
    found = render_html(html, leave=LeavePage(PAGE), scope="mail-1")
    assert [href for href, _ in shown(html).found if href] == []
    assert "evil.example" not in found.html + found.css
    assert "data:" not in found.html


def test_a_letters_styles_do_not_outweigh_those_of_the_address() -> None:
    html = render_html("<a href=https://a.example>x</a>", leave=LeavePage(PAGE)).html
    styles = [piece.split('"')[0] for piece in html.split('style="')[1:]]
    assert len(styles) == 2
    for style in styles:
        assert safe_style(style) == (style, 0)
        assert all(one.endswith(" !important") for one in style.split(";"))


def test_links_are_as_many_as_are_bounded_over_all_bodies() -> None:
    page = LeavePage(PAGE)
    html = "<a href=https://a.example>x</a>" * MAX_LINKS
    assert render_html(html, leave=page).html.count("href=") == MAX_LINKS
    assert render_html(html, leave=page).html.count("href=") == 0
    assert "href=" not in html_of_text("https://a.example", None, page)[0]


def test_a_picture_that_was_looked_at_is_shown() -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    found = render_html(
        "<img src=cid:a><img src=cid:b>", inline=lambda url: picture if url == "cid:a" else None, leave=LeavePage(PAGE)
    )
    assert found.html == f'<img src="{picture}"><img data-cid="b">'


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_known_attack_leads_elsewhere(attack: str) -> None:
    for html in (attack, f"<div>{attack}</div>", f"<a href=https://a.example>{attack}</a>", f"<p title='{attack}'>"):
        shown(html)


HOSTS = st.sampled_from(
    ["a.example", "bank.fr", "\u0455.example", "evil.example", "127.1", "user", "[::1]", "xn--a", "%61.example"]
)
PIECES = st.sampled_from(["https://", "http://", "HTTP:", "//", "\\", "@", ":", ":80", "/", "?", "#", "%", "%40", "\u202e", " ", "\t", ".", "'", '"', "&", ";", "<", "javascript:", "data:"])  # fmt: skip


@given(st.lists(HOSTS | PIECES | st.text(max_size=4), max_size=10).map("".join))
@example("https://bank.fr\\@evil.example")
@example("https://a.example/\ud800")
def test_any_link_of_a_child_leads_to_our_page(url: str) -> None:
    quoted = url.replace("&", "&amp;").replace('"', "&quot;")
    shown(f'<a href="{quoted}">x</a>')
    shown(f"<a href={url}>x</a>")
    check(Links(html_of_text(f"x {url} y", None, LeavePage(PAGE))[0]))


@given(SOUP.map("".join))
def test_any_soup_of_a_child_leads_to_our_page(html: str) -> None:
    shown(html)


@given(st.text(max_size=300), st.text(max_size=40))
def test_an_address_in_its_one_form_stays(rest: str, name: str) -> None:
    found = shown_address(f"https://{name}.example/{rest}")
    if found is not None:
        assert shown_address(str(found)) == found
        assert str(found).isascii()
