"""The plain scan: whether a message matches a query. This says what is true; the index only finds it faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from petitbleu_text.folding import fold
from petitbleu_text.query import LEAST_BEGINNING, MAX_QUERY_WORDS, Query, Unit, pieces
from petitbleu_text.searchable import HEADER_FIELDS, Field, Searchable
from petitbleu_text.words import Word, analyse


def matches(query: Query, message: Searchable, fields: Iterable[Field]) -> bool:
    """Whether all units of a query are in a message, each in any text of the fields (RFC 8621 §4.4.1)."""
    if query.hopeless:
        return False
    open_units = list(query.units)
    for field in fields:
        for text in message.runs(field):
            if not open_units:
                return True
            sought = [word for run in text for word in analyse(run)]
            open_units = [unit for unit in open_units if not spans(unit, sought, header=field in HEADER_FIELDS)]
    return not open_units


def spans(unit: Unit, text: Sequence[Word], *, header: bool) -> list[int]:
    """Return the places in a text at which a unit begins.

    Args:
        unit: What is sought.
        text: The words of one text.
        header: Whether the text is of a header field, where a word's beginning finds it.
    """
    first, *others = [
        _accepted(sought, unit, set(text), beginning=header and index == len(unit.words) - 1)
        for index, sought in enumerate(unit.words)
    ]
    found = [at for at, word in enumerate(text) if word in first] if first else []
    for distance, accepted in enumerate(others, 1):
        found = [at for at in found if at + distance < len(text) and text[at + distance] in accepted]
    return found


def _accepted(sought: Word, unit: Unit, distinct: set[Word], *, beginning: bool) -> set[Word]:
    """Return those words that will do for one of a unit."""
    if unit.phrase:
        return {word for word in distinct if word.text == sought.text}
    stems = frozenset(sought.stems)
    accepted = {word for word in distinct if not stems.isdisjoint(word.stems)}
    if beginning and len(sought.text) >= LEAST_BEGINNING:
        accepted.update([word for word in distinct if word.text.startswith(sought.text)])
    return accepted


def header_contains(value: str, text: str) -> bool:
    """Whether a header field's value contains a text, case and accents apart (RFC 8621 §4.4.1, `header`).

    It may stand there as it is, quotes and blanks included, or each of its phrases and each of its other pieces anywhere.
    """
    folded = fold(value)
    if fold(text) in folded:
        return True
    sought = pieces(text)
    return 0 < len(sought) <= MAX_QUERY_WORDS and all(fold(piece) in folded for piece in sought)
