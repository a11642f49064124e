"""Keyed terms: what an index holds of the words of an account (HMAC-SHA-256, RFC 2104, cut to 64 bits).

Who has the index but not the account's search key learns from it which messages share a word, not which word.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from petitbleu_text.query import LEAST_BEGINNING, Query, Unit
from petitbleu_text.searchable import HEADER_FIELDS, Field, Searchable
from petitbleu_text.words import Word, analyse

# Beginnings longer than this are not in the index: the message itself is asked.
LONGEST_PREFIX: Final = 12
KEY_OCTETS: Final = 32

_BLOCK: Final = 64
# No word has this sign: it tells a beginning from a stem that is spelled alike.
_BEGINNING: Final = b"*"


class TermKey:
    """An account's search key, made ready: a term costs two copies of a SHA-256 state.

    Args:
        key: 32 octets.

    Raises:
        ValueError: for a key of another length.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_OCTETS:
            raise ValueError("a search key has 32 octets")
        padded = key.ljust(_BLOCK, b"\0")
        inner = hashlib.sha256(bytes([octet ^ 0x36 for octet in padded]))  # RFC 2104 §2
        self._outer = hashlib.sha256(bytes([octet ^ 0x5C for octet in padded]))
        self._inner = {}
        for field in Field:
            tagged = inner.copy()
            tagged.update(bytes((field,)))
            self._inner[field] = tagged

    def terms(self, field: Field, kinds: Collection[bytes]) -> tuple[int, ...]:
        """Return the terms of a field, one for each octet string, in the same order: signed, 64 bit."""
        begin, finish = self._inner[field].copy, self._outer.copy
        digests: list[bytes] = []
        add = digests.append
        for kind in kinds:
            state = begin()
            state.update(kind)
            outer = finish()
            outer.update(state.digest())
            add(outer.digest())
        return struct.unpack(">" + "q24x" * len(digests), b"".join(digests))


def message_terms(key: TermKey, message: Searchable, fields: Iterable[Field] | None = None) -> list[int]:
    """Return the terms of a message, or of some of its fields: sorted, each once, signed 64 bit."""
    found: set[int] = set()
    for field in message.fields if fields is None else fields:
        kinds: set[bytes] = set()
        header = field in HEADER_FIELDS
        for run in set().union(*message.runs(field)):
            for word in analyse(run):
                kinds.update(word.stems)
                if header:
                    kinds.update(_prefixes(word.text))
        found.update(key.terms(field, kinds))
    return sorted(found)


def _prefixes(text: str) -> list[bytes]:
    return [text[:end].encode() + _BEGINNING for end in range(LEAST_BEGINNING, min(len(text), LONGEST_PREFIX) + 1)]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the index says to a query.

    Attributes:
        required: A message can match only if it has a term of each of these groups. No group: any message can. An empty
            group: none can.
        exact: Every message that has them matches. If not, `matching.matches` is asked about each.
    """

    required: tuple[tuple[int, ...], ...]
    exact: bool


def candidates(key: TermKey, query: Query, fields: Iterable[Field]) -> Candidates:
    """Return what the terms of a message must be so that it can match."""
    if query.hopeless:
        return Candidates(((),), exact=True)
    wanted = tuple(fields)
    groups: dict[tuple[int, ...], None] = {}
    exact = True
    for unit in query.units:
        last = len(unit.words) - 1
        for index, word in enumerate(unit.words):
            beginning = index == last and not unit.phrase and len(word.text) >= LEAST_BEGINNING
            groups[_alternatives(key, word, wanted, unit, beginning=beginning)] = None
        exact = exact and _is_exact(unit, wanted)
    return Candidates(tuple(groups), exact)


def _alternatives(
    key: TermKey, word: Word, fields: tuple[Field, ...], unit: Unit, *, beginning: bool
) -> tuple[int, ...]:
    # Equal words have the first stem in common; those that only match, any.
    stems = word.stems[:1] if unit.phrase else word.stems
    found: set[int] = set()
    for field in fields:
        found.update(key.terms(field, stems))
        if beginning and field in HEADER_FIELDS:
            found.update(key.terms(field, [word.text[:LONGEST_PREFIX].encode() + _BEGINNING]))
    return tuple(sorted(found))


def _is_exact(unit: Unit, fields: tuple[Field, ...]) -> bool:
    if unit.phrase or len(unit.words) > 1:
        return False
    return len(unit.words[0].text) <= LONGEST_PREFIX or HEADER_FIELDS.isdisjoint(fields)
