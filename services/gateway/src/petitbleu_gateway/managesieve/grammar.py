"""The words of ManageSieve (RFC 5804 §4): read from lines and literals, and written."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_LINE: Final = 8192
"""Octets of a line without its literals; RFC 5804 §4 wants 1,024 of a quoted string."""
MAX_WORDS: Final = 8
_ATOM: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]{0,31}")
_NUMBER: Final = re.compile(rb"[0-9]{1,10}")
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\0]++|\\["\\])*+)"')
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_LITERAL: Final = re.compile(rb"\{([0-9]{1,10})\+?\}\Z")
_UNSAFE: Final = re.compile(r'["\\\r\n\0]')
_LONGEST_QUOTED: Final = 1024


class GrammarError(ValueError):
    """A line that is no command."""


class Piece(NamedTuple):
    """A line: the words in it, and the octets of the literal that follows, None when none does."""

    words: tuple[bytes | int, ...]
    literal: int | None


def read_line(line: bytes) -> Piece:
    """Read a line without its end: atoms and strings as octets, numbers, and what a literal at its end announces.

    Raises:
        GrammarError: it is none.
    """
    literal = None
    found = _LITERAL.search(line)
    if found is not None and not _within_quotes(line, found.start()):
        literal = int(found[1])
        line = line[: found.start()]
    words: list[bytes | int] = []
    at = 0
    while at < len(line):
        if line[at : at + 1] == b" ":
            at += 1
            continue
        word, at = _word(line, at)
        words.append(word)
        if len(words) > MAX_WORDS:
            raise GrammarError("too many words")
    return Piece(tuple(words), literal)


def _word(line: bytes, at: int) -> tuple[bytes | int, int]:
    quoted = _QUOTED.match(line, at)
    if quoted is not None:
        return _ESCAPED.sub(rb"\1", quoted[1]), quoted.end()
    for kind in (_NUMBER, _ATOM):
        found = kind.match(line, at)
        if found is not None and line[found.end() : found.end() + 1] in {b"", b" "}:
            return (int(found[0]) if kind is _NUMBER else found[0]), found.end()
    raise GrammarError("no word")


def _within_quotes(line: bytes, place: int) -> bool:
    at = 0
    while (at := line.find(b'"', at)) != -1 and at < place:
        quoted = _QUOTED.match(line, at)
        if quoted is None or quoted.end() > place:
            return True
        at = quoted.end()
    return False


def text(word: bytes | int) -> str:
    """Return a string in UTF-8.

    Raises:
        GrammarError: it is a number, or not UTF-8.
    """
    if isinstance(word, int):
        raise GrammarError("a string is wanted")
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise GrammarError("not UTF-8") from None


def string(value: str | bytes) -> bytes:
    """Return a string as it is sent: quoted where it can be, otherwise as a literal (RFC 5804 §4)."""
    octets = value.encode() if isinstance(value, str) else value
    shown = octets.decode("utf-8", "replace")
    if len(octets) <= _LONGEST_QUOTED and not _UNSAFE.search(shown):
        return b'"' + octets + b'"'
    return b"{%d}\r\n" % len(octets) + octets
