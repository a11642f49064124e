"""Comments of structured header fields (RFC 5322 §3.2.2), however they are nested, in time linear in the text."""

from __future__ import annotations

import re
from typing import Final

# What no comment begins in: a quoted pair, a quoted string, what stands in angle brackets. A pair is skipped first: an opening whose
# end is not there is looked for once, and not from each parenthesis behind a backslash anew.
_OUTSIDE: Final = re.compile(r'\\.|"(?:[^"\\]|\\.)*+"|<[^<>]*+>|\(', re.DOTALL)
_INSIDE: Final = re.compile(r"\\.|[()]", re.DOTALL)


def without_comments(text: str) -> str:
    """Return a text with a blank for each comment; one that has no end is none."""
    if "(" not in text:
        return text
    kept: list[str] = []
    begin = at = 0
    while (found := _OUTSIDE.search(text, at)) is not None:
        at = found.end()
        if found[0] != "(":
            continue
        end = _end(text, at)
        if end is None:
            break
        kept += (text[begin : found.start()], " ")
        begin = at = end
    return "".join([*kept, text[begin:]])


def _end(text: str, at: int) -> int | None:
    """Return where a comment ends whose inside begins here."""
    depth = 1
    for found in _INSIDE.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return None
