"""Text to words (after Unicode UAX #29): where they stand, how they are compared, and their stems in French and English.

A run of letters, digits and marks is a word; everything else parts words, so an e-mail address or a hyphened name is several
words in a row. Scripts that are written without blanks (and emoji) give a word a character, so that what stands inside a
run is found too. Both stems of each word are taken, so that nobody has to know its language.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import Stemmer

from petitbleu_text.folding import INVISIBLE, fold

# A longer word is cut: nobody types more, and what is longer is seldom a word
MAX_WORD: Final = 64
# Characters of one run in the text; a longer one is parted
MAX_RUN: Final = 128
# Distinct words whose analysis is kept: some 15 MB
KEPT: Final = 32768
_LEAST_STEMMED: Final = 3

# Where Unicode has its marks: to look at all of it would add a tenth of a second to a program's start
_MARKS_WITHIN: Final = ((0x300, 0x3100), (0xA660, 0xAC00), (0xFB1E, 0xFE30))
_MARKS_WITHIN_HIGH: Final = ((0x10A00, 0x11F60), (0x1E000, 0x1E960), (0xE0100, 0xE01F0))
# Letters and numbers in disguise (such as a circled a), which are no letters to Unicode
_DISGUISED: Final = "\u2100-\u211f\u2123-\u214f\u2460-\u24ff\u3200-\u33ff"
_DISGUISED_HIGH: Final = "\U0001f100-\U0001f1ff"
# Thai, Lao, Myanmar, Khmer, symbols, kana, ideographs; and above U+FFFF emoji and more ideographs
_SOLO: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_SOLO_HIGH: Final = "\U0001f000-\U0001f0ff\U0001f200-\U0001faff\U00020000-\U0003ffff"


def _marks(start: int, end: int) -> str:
    """Return the combining marks as ranges of a character class: Python counts none of them as part of a word."""
    ranges: list[list[int]] = []
    for code in range(start, end):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join([f"{chr(first)}-{chr(last)}" for first, last in ranges])


# A class without characters above U+FFFF is a table, one with them a list that is gone through for each character.
_LOW: Final = "\\w" + "".join([_marks(*within) for within in _MARKS_WITHIN]) + _DISGUISED + _SOLO + INVISIBLE
_HIGH: Final = "".join([_marks(*within) for within in _MARKS_WITHIN_HIGH]) + _DISGUISED_HIGH + _SOLO_HIGH
_RUN: Final[re.Pattern[str]] = re.compile(f"[{_LOW}{_HIGH}]{{1,{MAX_RUN}}}")
_RUN_LOW: Final[re.Pattern[str]] = re.compile(f"[{_LOW}]{{1,{MAX_RUN}}}")
_RUN_ASCII: Final[re.Pattern[str]] = re.compile(f"[A-Za-z0-9_]{{1,{MAX_RUN}}}")
_ONE: Final[re.Pattern[str]] = re.compile(f"[{_SOLO}{_SOLO_HIGH}]")
_IS_HIGH: Final[re.Pattern[str]] = re.compile("[\U00010000-\U0010ffff]")


class Word(NamedTuple):
    """A word as it is compared.

    Attributes:
        text: Folded, at most `MAX_WORD` characters.
        stems: Its stems as UTF-8, without repetition. The first is the French one of `text`: equal texts have it in common.
            Words match when they share a stem.
    """

    text: str
    stems: tuple[bytes, ...]


class _Stemmers(threading.local):
    """A stemmer serves one thread. Its own cache is off: ours holds what comes of it."""

    def __init__(self) -> None:
        self.french = Stemmer.Stemmer("french", 0).stemWord
        self.english = Stemmer.Stemmer("english", 0).stemWord


_STEMMERS: Final = _Stemmers()


def runs(text: str) -> list[str]:
    """Return the runs of a text that hold its words, in order; `analyse` tells the words of each."""
    return _pattern(text).findall(text)


def placed_runs(text: str) -> Iterator[tuple[int, int]]:
    """Give where the same runs begin and end."""
    for found in _pattern(text).finditer(text):
        yield found.span()


@lru_cache(maxsize=KEPT)
def analyse(run: str) -> tuple[Word, ...]:
    """Return the words of a run: mostly one, several for `snake_case` or ideographs, none for marks alone."""
    folded = fold(run)
    if folded.isalnum() and not _ONE.search(folded):
        return (_word(folded[:MAX_WORD], run),)
    found = [text[:MAX_WORD] for text in _split(folded)]
    return (_word(found[0], run),) if len(found) == 1 else tuple([_word(text, text) for text in found])


def words(text: str) -> list[Word]:
    """Return all words of a text, in order."""
    return [word for run in runs(text) for word in analyse(run)]


def _pattern(text: str) -> re.Pattern[str]:
    """Return what finds the runs of a text, as fast as its characters allow."""
    if text.isascii():
        return _RUN_ASCII
    return _RUN if _IS_HIGH.search(text) else _RUN_LOW


def _split(folded: str) -> list[str]:
    pieces = _RUN.findall(_ONE.sub(r" \g<0> ", folded.replace("_", " ")))
    return [piece for piece in pieces if _ONE.match(piece) or any(map(str.isalnum, piece))]


def _word(text: str, run: str) -> Word:
    if len(text) < _LEAST_STEMMED or not text.isalpha():
        return Word(text, (text.encode(),))
    stemmers = _STEMMERS
    french = stemmers.french(text)
    stems = [french, stemmers.english(text)]
    if not run.isascii():
        # The French rules want accents: "chantées" has the stem of "chanter", which "chantees" has not.
        accented = unicodedata.normalize("NFC", run).casefold()
        stems.append(fold(stemmers.french(accented[:MAX_WORD])))
    return Word(text, tuple([stem.encode() for stem in dict.fromkeys(stems)]))
