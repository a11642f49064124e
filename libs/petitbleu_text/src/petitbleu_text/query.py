"""The text of a filter (RFC 8621 §4.4.1) as words and phrases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from petitbleu_text.words import Word, analyse, placed_runs

# RFC 8620 §5.5 lets a server refuse what is too complex (unsupportedFilter).
MAX_QUERY_WORDS: Final = 64
MAX_QUERY_CHARACTERS: Final = 4096
# Letters from which on the beginning of a word finds it in a header field
LEAST_BEGINNING: Final = 3

_ESCAPED: Final = re.compile(r"\\(['\"\\])")
# RFC 8621 §4.4.1: matched quotes; one inside a phrase is escaped. An apostrophe is none: it opens only where a word may begin
# and closes only where one may end.
_PIECE: Final = re.compile(
    r"""
    \s*+ (?:
        " (?P<double> (?: [^"\\]++ | \\. )*+ ) "
      | (?<!\S) ' (?P<single> (?: [^'\\]++ | \\. | '(?=\S) )*+ ) ' (?!\S)
      | (?P<bare> [^\s"]++ | " )
    )""",
    re.VERBOSE | re.DOTALL,
)
_APOSTROPHES: Final = "'\u2019\uff07"
# What French leaves of a word before a vowel
_ELIDED: Final = frozenset(
    {"c", "d", "j", "l", "m", "n", "s", "t", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu", "quelqu", "presqu"}
)


class QueryTooLongError(Exception):
    """A text to look for has too many words. It does not say which."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Words that must stand next to each other, in this order.

    Attributes:
        words: At least one.
        phrase: Whether each word must be that very word (case and accents apart). If not, a word with the same stem will do,
            and in header fields the last one may be only the beginning, from 3 letters on.
    """

    words: tuple[Word, ...]
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a message must contain: all units, each in any text of the fields searched.

    Attributes:
        units: Without repetition.
        hopeless: There was text, but no word in it: nothing matches. Without any text everything does.
    """

    units: tuple[Unit, ...]
    hopeless: bool = False


def parse(text: str) -> Query:
    """Take the text of a filter apart. Every text is one; quotes without their match are like any other sign.

    Raises:
        QueryTooLongError: more than `MAX_QUERY_WORDS` words or `MAX_QUERY_CHARACTERS` characters.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryTooLongError
    units: list[Unit] = []
    for found in _PIECE.finditer(text):
        quoted = found["double"] if found["double"] is not None else found["single"]
        if quoted is not None:
            sought = tuple([word for word, _ in _placed(_ESCAPED.sub(r"\1", quoted))])
        else:
            sought = _bare(found["bare"])
        if sought:
            units.append(Unit(sought, quoted is not None))
    if sum(len(unit.words) for unit in units) > MAX_QUERY_WORDS:
        raise QueryTooLongError
    return Query(tuple(dict.fromkeys(units)), hopeless=not units and bool(text.strip()))


def pieces(text: str) -> list[str]:
    """Return the phrases of a text, without their quotes and escapes, and what else stands between blanks."""
    found = [
        (one["double"] if one["double"] is not None else one["single"], one["bare"]) for one in _PIECE.finditer(text)
    ]
    return [bare if phrase is None else _ESCAPED.sub(r"\1", phrase) for phrase, bare in found]


def _placed(text: str) -> list[tuple[Word, int]]:
    """Return words, each with where its run ends."""
    return [(word, end) for start, end in placed_runs(text) for word in analyse(text[start:end])]


def _bare(piece: str) -> tuple[Word, ...]:
    """Return the words of a piece without blanks: without a leading l', d', qu' and without a final 's, if more is left."""
    found = _placed(piece)
    while len(found) > 1 and found[0][0].text in _ELIDED and piece[found[0][1] : found[0][1] + 1] in _APOSTROPHES:
        del found[0]
    if len(found) > 1 and found[-1][0].text == "s" and piece[found[-2][1] : found[-2][1] + 1] in _APOSTROPHES:
        del found[-1]
    return tuple([word for word, _ in found])
