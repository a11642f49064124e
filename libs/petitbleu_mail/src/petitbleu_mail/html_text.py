"""The text that HTML shows, in lines: for search, for a text alternative, for people who read without pictures.

Paragraphs are parted by blank lines, list items begin with "- ", quotes with "> ", cells of a row stand side by side. Links can
be told in angle brackets behind their words, and titles, which show only under a pointer, at the end. Time and size are linear in the length of the text; what is read is bounded by
`MAX_HTML` characters. `preview` has the shorter way for lists.
"""

from __future__ import annotations

import re
import sys
from html import unescape

from petitbleu_mail.html_tokens import Tag, Text, tokens
from petitbleu_mail.safe_html import MAX_HTML, safe_link

# Quotes within quotes that are marked, and lists within lists that are indented
MAX_QUOTES = 10
MAX_INDENT = 10

_NO_GAP = sys.maxsize

_BLANKS = re.compile(r"[ \t\n\r\f]+")
# Characters without width that newsletters fill their hidden first lines with
_FILLER = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\x00-\x08\x0e-\x1f\x7f]+"
)
# Elements with a blank line around them
_PARTED = frozenset({"blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
# Elements that stand in lines of their own
_LINES = frozenset(
    {
        "address", "article", "aside", "body", "caption", "center", "dd", "details", "dir", "div", "dt", "fieldset", "figcaption",
        "figure", "footer", "form", "head", "header", "hr", "html", "legend", "li", "main", "nav", "option", "section", "summary",
        "tr",
    }
)  # fmt: skip
_LISTS = frozenset({"dir", "menu", "ol", "ul"})


def text_of_html(text: str, *, links: bool = False, titles: bool = False) -> str:
    """Return the text of HTML in lines with LF ends.

    Args:
        text: The HTML.
        links: Add the addresses of links that their words do not show.
        titles: Add the `title` of each element, at the end, so that no words are parted.
    """
    writer = _Writer(links=links, titles=titles)
    for token in tokens(text[:MAX_HTML]):
        if isinstance(token, Text):
            writer.text(token.raw)
        elif token.is_end:
            writer.end(token.name)
        else:
            writer.start(token)
    return writer.finish()


class _Writer:
    def __init__(self, *, links: bool, titles: bool) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.blank = True  # whether the line so far ends in a blank or is empty
        self.gap = _NO_GAP  # a blank line comes before the next one, with so many quote marks
        self.quotes = 0
        self.lists = 0
        self.preformatted = 0
        self.bullet = False
        self.links = links
        self.titles: dict[str, None] | None = {} if titles else None
        self.address = ""
        self.words_from = 0

    def text(self, raw: str) -> None:
        words = _FILLER.sub("", unescape(raw) if "&" in raw else raw)
        if self.preformatted:
            first, *more = words.split("\n")
            self._put(first.rstrip("\r"))
            for line in more:
                self._break(empty=True)
                self._put(line.rstrip("\r"))
            return
        words = _BLANKS.sub(" ", words)
        if self.blank:
            words = words.removeprefix(" ")
        self._put(words)

    def _put(self, words: str) -> None:
        if words:
            self.line.append(words)
            self.blank = words.endswith(" ")

    def start(self, tag: Tag) -> None:
        name = tag.name
        if name == "br":
            self._break(empty=True)
        elif name in _PARTED and not (name in _LISTS and self.lists):
            self._part()
        elif name in _PARTED or name in _LINES:
            self._break()
        elif name in {"td", "th"} and not self.blank:
            self._put(" ")
        if self.titles is not None and "title" in tag.raw.lower():
            self.titles[_BLANKS.sub(" ", tag.attributes().get("title", "")).strip()] = None
        if name == "img":
            alt = _BLANKS.sub(" ", tag.attributes().get("alt", "")).strip()
            if alt:  # a picture parts the words beside it
                self._put(f"{alt} " if self.blank else f" {alt} ")
        elif name == "li":
            self.bullet = True
        elif name == "a" and self.links:
            self.address = safe_link(tag.attributes().get("href", ""))
            self.words_from = len(self.line)
        else:
            self._count(name, 1)

    def end(self, name: str) -> None:
        if name == "a" and self.address:
            words = "".join(self.line[self.words_from :]).strip()
            plain = self.address.removeprefix("mailto:")
            if words and words not in {self.address, plain}:
                self._put(f"{'' if self.blank else ' '}<{plain}>")
            self.address = ""
        if name in _PARTED or name in _LINES:
            self._break()
        self._count(name, -1)
        if name in _PARTED and not (name in _LISTS and self.lists):
            self._part()

    def _count(self, name: str, by: int) -> None:
        if name == "blockquote":
            self.quotes = max(self.quotes + by, 0)
            self.gap = min(self.gap, self.quotes)
        elif name == "pre":
            self.preformatted = max(self.preformatted + by, 0)
        elif name in _LISTS:
            self.lists = max(self.lists + by, 0)

    def _break(self, *, empty: bool = False) -> None:
        """End the line; one without words only when it is wanted."""
        words = "".join(self.line)
        self.words_from = 0
        self.line.clear()
        self.blank = True
        words = words.rstrip() if self.preformatted else words.strip()
        if words:
            before = "> " * min(self.quotes, MAX_QUOTES) + "  " * (min(self.lists, MAX_INDENT) - 1)
            if self.lists:
                before += "- " if self.bullet else "  "
            self.bullet = False
            if self.gap != _NO_GAP and self.lines:
                self.lines.append(">" * min(self.gap, MAX_QUOTES))
            self.gap = _NO_GAP
            self.lines.append(before + words)
        elif empty:
            self.gap = min(self.gap, self.quotes)

    def _part(self) -> None:
        """Want a blank line before the next one."""
        self._break()
        self.gap = min(self.gap, self.quotes)

    def finish(self) -> str:
        self._break()
        self.lines.extend([title for title in self.titles or () if title])
        return "\n".join(self.lines) + "\n" if self.lines else ""
