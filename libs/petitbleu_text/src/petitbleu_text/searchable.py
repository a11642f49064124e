"""What of a message is searched: texts by field, each cut where it has had enough distinct words.

Index, plain scan and snippets all see a message through `Searchable`, so that a bound on the work is a bound for all alike.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

from petitbleu_text.words import runs


class Field(enum.IntEnum):
    """Where words stand. The numbers are part of keyed terms and never change."""

    FROM = 1
    TO = 2
    CC = 3
    BCC = 4
    SUBJECT = 5
    BODY = 6
    ATTACHMENT = 7


HEADER_FIELDS: Final = frozenset({Field.FROM, Field.TO, Field.CC, Field.BCC, Field.SUBJECT})
"""Fields in which the beginning of a word, from 3 letters on, finds it."""

# RFC 8621 §4.4.1: the filter properties that look for text, and where each looks
SCOPES: Final[Mapping[str, tuple[Field, ...]]] = {
    "text": tuple(Field),
    "from": (Field.FROM,),
    "to": (Field.TO,),
    "cc": (Field.CC,),
    "bcc": (Field.BCC,),
    "subject": (Field.SUBJECT,),
    "body": (Field.BODY, Field.ATTACHMENT),
}

# Distinct words of one message that are searched. A long letter has some 1,000, a book 10,000.
MAX_DISTINCT: Final[Mapping[Field, int]] = {
    Field.FROM: 100,
    Field.TO: 1000,
    Field.CC: 1000,
    Field.BCC: 300,
    Field.SUBJECT: 300,
    Field.BODY: 5000,
    Field.ATTACHMENT: 10000,
}
# Characters of one field of one message that are looked at
MAX_CHARACTERS: Final = 1 << 20


class Searchable:
    """The texts of a message, decoded: each name, address, subject, body part and attachment a text of its own.

    Args:
        texts: The texts of each field, in order. A body is plain text: HTML is turned to text before.
    """

    __slots__ = ("_runs", "_texts")

    def __init__(self, texts: Mapping[Field, Sequence[str]]) -> None:
        self._texts = texts
        self._runs: dict[Field, list[list[str]]] = {}

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that have a text, in the order of their numbers."""
        return tuple(sorted(field for field, texts in self._texts.items() if texts))

    def runs(self, field: Field) -> list[list[str]]:
        """Return the runs (`words.runs`) of each text of a field, without those beyond the bounds."""
        found = self._runs.get(field)
        if found is None:
            found = self._runs[field] = _bounded(self._texts.get(field, ()), MAX_DISTINCT[field])
        return found


def _bounded(texts: Sequence[str], most: int) -> list[list[str]]:
    room = MAX_CHARACTERS
    seen: set[str] = set()
    kept: list[list[str]] = []
    for text in texts:
        found = runs(text[:room])
        room -= len(text)
        distinct = seen.union(found)
        if len(distinct) > most:
            kept.append(_until(found, seen, most))
            break
        kept.append(found)
        if room <= 0:
            break
        seen = distinct
    return kept


def _until(found: list[str], seen: set[str], most: int) -> list[str]:
    """Return the runs before the one that would be one too many."""
    for index, run in enumerate(found):
        seen.add(run)
        if len(seen) > most:
            return found[:index]
    return found
