"""Reads a rendering with another parser, and refuses what could do something in a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from petitbleu_mail.safe_css import safe_style
from petitbleu_mail.safe_html import TAGS

SCHEMES = ("http://", "https://", "mailto:")
STYLE = re.compile(r"[a-z-]+:[^:;(){}\\@<>]*(?:(?:rgb|hsl)a?\([^():;]*\)[^:;(){}\\@<>]*)*(?:;|\Z)", re.IGNORECASE)


class Judge(HTMLParser):
    """Reads a rendering with another parser and refuses what could do something."""

    def __init__(self, html: str, *, classes: bool = False) -> None:
        self.classes = classes
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.tags.append(tag)
        assert len({name for name, _ in attrs}) == len(attrs)
        for name, raw in attrs:
            value = raw or ""
            assert not name.startswith("on")
            if name == "class" and self.classes:
                assert all(one.startswith(("m-", "i-", "mail-")) for one in value.split(" "))
                continue
            assert name not in {
                "srcset",
                "action",
                "formaction",
                "id",
                "class",
                "name",
                "srcdoc",
                "poster",
                "ping",
                "usemap",
            }
            if name == "href":
                assert tag == "a"
                assert value.lower().startswith(SCHEMES)
            elif name in {"src", "background"}:
                assert value.startswith(("/jmap/part/", "https://mail.example/image?u=http", "data:image/"))
                self.fetched.append(value)
            elif name.startswith("data-remote-"):
                assert value.lower().startswith(("http://", "https://"))
            elif name == "style":
                assert "".join(found[0] for found in STYLE.finditer(value)) == value
                assert "position" not in value.lower()
        if tag == "a":
            assert dict(attrs)["rel"] == "noopener noreferrer nofollow"
            assert dict(attrs)["target"] == "_blank"

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction")


RULE = re.compile(r"([^{}@]+)\{([^{}@]+)\}")


def check_sheet(css: str, scope: str) -> None:
    """Refuse a style sheet that reaches beyond boxes of a class (a pattern), or does more than style attributes may."""
    assert not set(css) & set("<\\") and "url(" not in css.lower() and "@import" not in css
    rest = re.sub(r"@media [a-z0-9 ():.-]+\{((?:[^{}@]+\{[^{}@]+\})+)\}", r"\1", css)
    assert "@" not in rest
    assert RULE.sub("", rest).strip("\n") == ""
    for selectors, declarations in RULE.findall(rest.replace("\n", "")):
        assert all(re.fullmatch(rf"\.{scope}", one.split(" ")[0]) for one in selectors.split(","))
        for name in re.findall(r"[.#]([A-Za-z0-9_-]+)", selectors):
            assert re.fullmatch(scope, name) or name.startswith(("m-", "i-"))
        assert safe_style(declarations) == (declarations, 0)
