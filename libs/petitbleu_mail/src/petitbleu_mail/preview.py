"""The first words of a message, for lists (RFC 8621 §4.1.4, `preview`), and a stripper of HTML in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

# RFC 8621 §4.1.4: at most 256 characters
MAX_PREVIEW = 256
# Octets looked at. A newsletter's style sheet stands before its text and reaches some tens of kilobytes.
TEXT_WINDOW = 2048
HTML_WINDOW = 65536

_TAG = re.compile(r"<(?:(/?[A-Za-z][A-Za-z0-9]*+)[^>]*+>|!--|[!?][^>]*+>)")
_TAG_BEGINS = re.compile(r"<[/!?]?[A-Za-z]")
_MOSTLY_ENOUGH = 400
# What is not shown → where it ends
_ENDS = {
    name: re.compile(rf"</{name}(?![A-Za-z0-9])[^>]*+>?", re.IGNORECASE)
    for name in ("head", "style", "script", "title", "template", "noscript")
} | {"!--": re.compile("-->")}
# Tags that do not part words
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "em", "font", "i", "small", "span", "strong", "sub", "sup", "u", "wbr"}
)
# Filler that newsletters put behind their hidden preview text, and other characters without width
_FILLER = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\x00-\x08\x0e-\x1f\x7f]+"
)


def preview_of_text(text: str) -> str:
    """Return the beginning of plain text, blanks run together."""
    return _squeeze(text[: 4 * MAX_PREVIEW])


def preview_of_html(text: str) -> str:
    """Return the beginning of the text that HTML shows."""
    out: list[str] = []
    size = 0
    for piece in _shown(text):
        out.append(piece)
        size += len(piece) if not piece.isspace() else 0
        if size > 4 * MAX_PREVIEW:
            break
    return _squeeze(unescape("".join(out)))


def html_to_text(text: str) -> str:
    """Return the text of HTML without tags, scripts and styles, blanks run together. Linear in the length of `text`."""
    return " ".join(_FILLER.sub("", unescape("".join(_shown(text)))).split())


def _shown(text: str) -> Iterator[str]:
    """Give the pieces of HTML that are shown; each step goes forward and nothing is searched twice in vain."""
    at = 0
    headless = False  # a <head> without its end was met
    while True:
        opening = text.find("<", at)
        if opening < 0:
            yield text[at:]
            return
        if opening > at:
            yield text[at:opening]
        found = _TAG.match(text, opening)
        if found is None:
            if _TAG_BEGINS.match(text, opening):
                return  # a tag without an end: nothing that follows is text
            yield "<"
            at = opening + 1
            continue
        at = found.end()
        name = found[1].lower() if found[1] else ""
        end = _ENDS["!--"] if found[0] == "<!--" else _ENDS.get(name)
        if end is None or (headless and name == "head"):
            if name.lstrip("/") not in _INLINE:
                yield " "
            continue
        hidden = end.search(text, at)
        if hidden is not None:
            at = hidden.end()
        elif name == "head":
            headless = True  # HTML allows to leave out </head>
        else:
            return


def _squeeze(text: str) -> str:
    if not text.isascii():
        text = _FILLER.sub("", text)
    short = " ".join(text[:_MOSTLY_ENOUGH].split())[:MAX_PREVIEW]
    if len(short) < MAX_PREVIEW and len(text) > _MOSTLY_ENOUGH:
        short = " ".join(text.split())[:MAX_PREVIEW]
    return short if short.isprintable() else _FILLER.sub("", short)
