"""Comments of structured header fields (RFC 5322 §3.2.2), however they are nested, in time linear in the text."""

from __future__ import annotations

import re
from typing import Final

# What comments begin behind: quoted pairs, quoted strings and what stands in angle brackets hold none. All is passed over once: an
# opening whose end is not there is not looked for anew from each parenthesis behind a backslash.
_OUTSIDE: Final = re.compile(r'(?:[^"<(\\]++|\\.|"(?:[^"\\]++|\\.)*+"|<[^<>]*+>|["<])*+(\()', re.DOTALL)
_INSIDE: Final = re.compile(r"(?:[^()\\]++|\\.)*+([()])", re.DOTALL)
_MOST: Final = 1000
_DEEPEST: Final = 50


def without_comments(text: str) -> str:
    """Return a text with a blank for each comment. One that has no end is none, nor is one of too many, or too deep."""
    if "(" not in text:
        return text
    kept: list[str] = []
    begin = 0
    while len(kept) < 2 * _MOST and (found := _OUTSIDE.match(text, begin)) is not None:
        end = _end(text, found.end())
        if end is None:
            break
        kept += (text[begin : found.start(1)], " ")
        begin = end
    return "".join([*kept, text[begin:]])


def _end(text: str, at: int) -> int | None:
    """Return where a comment ends whose inside begins here."""
    depth = 1
    while depth <= _DEEPEST and (found := _INSIDE.match(text, at)) is not None:
        at = found.end()
        depth += 1 if found[1] == "(" else -1
        if depth == 0:
            return at
    return None
