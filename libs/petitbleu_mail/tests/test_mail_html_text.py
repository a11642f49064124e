"""Tests of HTML as lines of text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.html_text import MAX_QUOTES, text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("  \n ", ""),
        ("Hello  <b>W</b>orld&nbsp;&eacute; &lt;3", "Hello World\xa0é <3\n"),
        ("<p>a</p>\n<p>b<p>c", "a\n\nb\n\nc\n"),
        ("a<br>b<br><br><br>c<div>d</div>e", "a\nb\n\nc\nd\ne\n"),
        ("<ul><li>a<li>b<ol><li>c</ol></ul>d", "- a\n- b\n  - c\n\nd\n"),
        ("a<blockquote>b<br>c<blockquote>d</blockquote>e</blockquote>f", "a\n\n> b\n> c\n>\n> > d\n>\n> e\n\nf\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>d", "a b\nc\n\nd\n"),
        ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc\n"),
        ("<head><title>t</title><style>s</style></head><script>x</script><!-- c -->a", "a\n"),
        ("a<img src=x alt='logo of x'>b", "a logo of x b\n"),
        ("<p><img alt=' '>a<img alt=b> <img alt=' c'><p>d", "a b c\n\nd\n"),
        ("so\u00adft\u200b", "soft\n"),
        ("x<a href='http://x.example'>y", "xy\n"),
        ("</blockquote></ul></pre>a", "a\n"),
        ("1 < 2 <3", "1 < 2 <3\n"),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    assert text_of_html(html) == text


def test_links_are_told() -> None:
    html = '<a href="http://x.example/a">here</a>, <a href="http://x.example/">http://x.example/</a> <a href="javascript:x">no</a> <a href="mailto:a@b.example">me</a>'
    assert text_of_html(html, links=True) == "here <http://x.example/a>, http://x.example/ no me <a@b.example>\n"


def test_titles_stand_at_the_end_once() -> None:
    html = '<p>our <a TITLE="The  Shop &amp; more">shop</a> <img alt=logo title="">is<abbr title="The Shop &amp; more">x</abbr></p><p title=last>open'
    assert text_of_html(html, titles=True) == "our shop logo is" + "x\n\nopen\nThe Shop & more\nlast\n"
    assert "Shop &" not in text_of_html(html)


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<ul>", "<li>", "</ul>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "<br>", "a", " ", "\n", "<td>", "<a href=http://x title=y>", "</a>", "<", "&amp;"]), max_size=80)
    | st.text().map(lambda t: [t]),
    st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_any_html_has_text(parts: list[str], links: bool, titles: bool) -> None:
    html = "".join(parts)
    text = text_of_html(html, links=links, titles=titles)
    assert len(text) <= (2 * MAX_QUOTES + 25) * (len(html) + 1)
    assert not text or (text.endswith("\n") and text.strip())
