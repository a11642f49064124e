"""HTML as tags and text, in one pass forwards (WHATWG HTML §13.2.5, as much of it as mail needs).

Takes any text and never raises. Comments, declarations and the content of what is no text (`HIDDEN`) are left out. The octets
are looked at a bounded number of times: what has no end is searched for once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from typing import NamedTuple

# Attributes read of one tag; the rest is left out. Real mail has about ten.
MAX_ATTRIBUTES = 64
# Elements whose content is never text of the message
HIDDEN = frozenset(
    {
        "applet", "audio", "canvas", "frameset", "iframe", "math", "noembed", "noframes", "noscript", "object",
        "script", "style", "svg", "template", "title", "video",
    }
)  # fmt: skip
# Of these the rest of the document is content when their end is missing (WHATWG HTML §13.2.5.2 to §13.2.5.6).
_RAW = frozenset({"iframe", "noembed", "noframes", "script", "style", "title"})

_TAG = re.compile(
    r"<(/?)([A-Za-z][^ \t\n\f\r/>]*+)"
    r"((?:[ \t\n\f\r/]++|[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+"
    r"""(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^ \t\n\f\r>]*+))?+)*+)>"""
)
_BEGINS = re.compile(r"<[A-Za-z!?/]")
_TAG_BEGINS = re.compile(r"</?[A-Za-z]")
_DECLARATION = frozenset({"!", "?", "/"})
_ATTRIBUTE = re.compile(
    r"([^ \t\n\f\r/>][^ \t\n\f\r/>=]*+)"
    r"""(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:"([^"]*+)"|'([^']*+)'|(?!["'])([^ \t\n\f\r>]*+)))?+"""
)
_REFERENCE = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9A-Fa-f]{1,8};?|([A-Za-z][A-Za-z0-9]{1,31}+)(;?)(=?))")
_COMMENT_END = re.compile(r"--!?>")
_ENDS = {name: re.compile(rf"</{name}(?![^ \t\n\f\r/>])[^>]*+>?", re.IGNORECASE) for name in HIDDEN}


class Text(NamedTuple):
    """Text between tags, its character references as they are written."""

    raw: str


class Tag(NamedTuple):
    """A start or end tag; the name is in lower case. `raw` is what stands between the name and the bracket."""

    name: str
    is_end: bool
    raw: str

    def attributes(self) -> dict[str, str]:
        """Return the attributes: names in lower case, values decoded. Of several with one name the first counts."""
        out: dict[str, str] = {}
        for found in _ATTRIBUTE.finditer(self.raw):
            name = found[1].lower()
            if name not in out:
                if len(out) >= MAX_ATTRIBUTES:
                    break
                out[name] = decode_value(found[2] or found[3] or found[4] or "")
        return out


class Sheet(NamedTuple):
    """The content of a `style` element."""

    css: str


def decode_value(value: str) -> str:
    """Decode the character references of an attribute's value (WHATWG HTML §13.2.5.73).

    A name without semicolon that goes on as another word stays: `?a=1&copy=2` is no copyright sign.
    """
    return _REFERENCE.sub(_decode_one, value) if "&" in value else value


def _decode_one(found: re.Match[str]) -> str:
    name = found[1]
    if name is None or found[2]:
        return unescape(found[0])
    return html5[name] if name in html5 and not found[3] else found[0]


def tokens(text: str) -> Iterator[Text | Tag]:
    """Give the tags and the text of a document, in order."""
    return (token for token in tokens_and_sheets(text) if not isinstance(token, Sheet))


def tokens_and_sheets(text: str) -> Iterator[Text | Tag | Sheet]:
    """Give the tags, the text and the style sheets of a document, in order."""
    at = 0
    endless: set[str] = set()  # hidden elements without an end from here on
    while True:
        begins = _BEGINS.search(text, at)
        opening = begins.start() if begins else len(text)
        if opening > at:
            yield Text(text[at:opening])
        if opening == len(text):
            return
        found = _TAG.match(text, opening)
        if found is None:
            at = _no_tag(text, opening)
            if at == opening + 1:
                yield Text("<")
            continue
        at = found.end()
        tag = Tag(found[2].lower(), found[1] == "/", found[3])
        yield tag
        if tag.name in HIDDEN and not tag.is_end and tag.name not in endless:
            end = _ENDS[tag.name].search(text, at)
            if tag.name == "style":
                yield Sheet(text[at : end.start() if end else len(text)])
            if end is not None:
                at = end.end()
            elif tag.name in _RAW:
                return
            else:
                endless.add(tag.name)


def _no_tag(text: str, opening: int) -> int:
    """Return where what begins with a bracket and is no tag ends; the place behind the bracket when it is text."""
    if text.startswith("!--", opening + 1):
        # WHATWG HTML §13.2.5.43: <!--> and <!---> are comments, too
        end = _COMMENT_END.search(text, opening + 2)
        return end.end() if end else len(text)
    if _TAG_BEGINS.match(text, opening):
        return len(text)  # WHATWG HTML §13.2.5.8: a tag without an end, nothing that follows is text
    if text[opening + 1 : opening + 2] in _DECLARATION and opening + 2 < len(text):
        end_at = text.find(">", opening)
        return end_at + 1 if end_at >= 0 else len(text)
    return opening + 1
