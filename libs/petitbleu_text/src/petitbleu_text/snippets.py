"""Search snippets (RFC 8621 §5): what is found, marked, in text that is safe as HTML."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from petitbleu_text.matching import spans
from petitbleu_text.query import Query
from petitbleu_text.searchable import MAX_CHARACTERS
from petitbleu_text.words import Word, analyse, placed_runs

# RFC 8621 §5: the preview "MUST NOT be bigger than 255 octets in size"
MAX_PREVIEW_OCTETS: Final = 255
# What is shown before the first mark: characters, and octets of HTML
_BEFORE: Final = 40
_BEFORE_OCTETS: Final = 80
# Characters in which as many different finds as possible should be
_STRETCH: Final = 150
_OPEN: Final = "<mark>"
_CLOSE: Final = "</mark>"
# RFC 8621 §5: these three and no others
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f]+")

# Characters looked at between two marks: blanks may run together, but not for ever
_FAR: Final = 4096

# Where a find begins and ends, and the number of its unit
Found = tuple[int, int, int]


def mark_subject(subject: str, queries: Iterable[Query]) -> str | None:
    """Return a subject as HTML with what is found in `<mark>`, or None when nothing is (RFC 8621 §5)."""
    found = _find(subject, queries, header=True)
    return "".join(_marked(subject, _merged(found), 0, len(subject))) if found else None


def preview(bodies: Sequence[str], queries: Iterable[Query]) -> str | None:
    """Return the stretch of a message's bodies that shows most of what is sought, as HTML of at most 255 octets.

    Args:
        bodies: Its text parts in order, as plain text.
        queries: What is sought in bodies.

    Returns:
        None when nothing is found (RFC 8621 §5).
    """
    wanted = tuple(queries)
    best: tuple[int, str, list[Found]] | None = None
    for text in bodies:
        found = _find(text, wanted, header=False)
        if found:
            start, units = _best_start(found)
            if best is None or units > best[0]:
                best = units, text, found[start:]
    if best is None:
        return None
    _, text, found = best
    return _cut(text, _merged(found))


def _find(text: str, queries: Iterable[Query], *, header: bool) -> list[Found]:
    """Return what is found, sorted."""
    words: list[Word] = []
    places: list[tuple[int, int]] = []
    for start, end in placed_runs(text[:MAX_CHARACTERS]):
        for word in analyse(text[start:end]):
            words.append(word)
            places.append((start, end))
    units = dict.fromkeys(unit for query in queries for unit in query.units)
    found: list[Found] = []
    for number, unit in enumerate(units):
        more = len(unit.words) - 1
        found += [(places[at][0], places[at + more][1], number) for at in spans(unit, words, header=header)]
    return sorted(found)


def _best_start(found: list[Found]) -> tuple[int, int]:
    """Return the index of the find from which on a stretch shows most units, and how many; the first of equals."""
    best, most, end = 0, 0, 0
    counts: Counter[int] = Counter()
    for start, (begin, _, number) in enumerate(found):
        while end < len(found) and found[end][0] <= begin + _STRETCH:
            counts[found[end][2]] += 1
            end += 1
        if len(counts) > most:
            best, most = start, len(counts)
        counts[number] -= 1
        if not counts[number]:
            del counts[number]
    return best, most


def _merged(found: list[Found]) -> list[tuple[int, int]]:
    """Return the places without overlap."""
    places: list[tuple[int, int]] = []
    for begin, end, _ in found:
        if places and begin < places[-1][1]:
            places[-1] = (places[-1][0], max(places[-1][1], end))
        else:
            places.append((begin, end))
    return places


def _marked(text: str, places: list[tuple[int, int]], start: int, end: int) -> list[str]:
    out: list[str] = []
    for begin, stop in places:
        out += (text[start:begin].translate(_ENTITIES), _OPEN, text[begin:stop].translate(_ENTITIES), _CLOSE)
        start = stop
    out.append(text[start:end].translate(_ENTITIES))
    return out


def _cut(text: str, places: list[tuple[int, int]]) -> str:
    """Return as much of a text as there is room for, from shortly before the first place on, blanks run together."""
    start = _context(text, places[0][0])
    room = MAX_PREVIEW_OCTETS
    out: list[str] = []
    for begin, end in [*places, (len(text), len(text))]:
        plain = _BLANKS.sub(" ", text[start : min(begin, start + _FAR)])
        shown = _fit(plain, room)
        out += shown
        room -= _octets(shown)
        if len(shown) < len(plain) or begin - start > _FAR or begin == end:
            break
        plain = _BLANKS.sub(" ", text[begin:end])
        shown = _fit(plain, room - len(_OPEN) - len(_CLOSE))
        if shown:
            out += (_OPEN, *shown, _CLOSE)
            room -= len(_OPEN) + len(_CLOSE) + _octets(shown)
        if len(shown) < len(plain):
            break
        start = end
    return "".join(out).strip()


def _context(text: str, first: int) -> int:
    """Return where to begin so that some words stand before a place, but not many octets."""
    start = max(0, first - _BEFORE)
    while start < first and (_octets(_fit(text[start:first], MAX_PREVIEW_OCTETS)) > _BEFORE_OCTETS):
        start += 8
    if start <= 0:
        return 0
    blank = _BLANKS.search(text, start, first)
    return blank.end() if blank else first


def _fit(text: str, room: int) -> list[str]:
    """Return as many of a text's characters, escaped, as have room."""
    kept: list[str] = []
    for character in text:
        escaped = character.translate(_ENTITIES)
        room -= len(escaped.encode("utf-8", "replace"))
        if room < 0:
            break
        kept.append(escaped)
    return kept


def _octets(pieces: list[str]) -> int:
    return sum([len(piece.encode("utf-8", "replace")) for piece in pieces])
