"""The comparators of Sieve (RFC 5228 §2.7.3, RFC 4790): what two strings are made into before they are compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from petitbleu_mail.collations import unicode_casemap

_DIGITS: Final = re.compile(r"[0-9]++")
# More digits than any number that is meant; comparing longer ones costs more than they are worth
_MOST_DIGITS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Comparator:
    """One comparator. `fold` gives what is compared, in an order too; `substrings` is whether parts can be looked for.

    `weight` is how many characters are folded for one unit of cost.
    """

    name: str
    fold: Callable[[str], str]
    substrings: bool = True
    weight: int = 16


def _ascii_fold(text: str) -> str:
    # RFC 4790 §9.2: only the letters of ASCII; the octets of others have the high bit
    return text.upper() if text.isascii() else text.encode("utf-8", "replace").upper().decode("utf-8")


def _octets(text: str) -> str:
    # RFC 4790 §9.3: the order of code points is that of their UTF-8
    return text


def _numeric(text: str) -> str:
    """Return a number so that it compares as a string: its length first; what begins with no digit is infinite (RFC 4790 §9.1)."""
    found = _DIGITS.match(text)
    if found is None:
        return "~"
    digits = found[0].lstrip("0")[:_MOST_DIGITS]
    return f"{len(digits):04}{digits}"


OCTET: Final = Comparator("i;octet", _octets)
ASCII_CASEMAP: Final = Comparator("i;ascii-casemap", _ascii_fold)
ASCII_NUMERIC: Final = Comparator("i;ascii-numeric", _numeric, substrings=False)
UNICODE_CASEMAP: Final = Comparator("i;unicode-casemap", unicode_casemap, weight=1)

COMPARATORS: Final = {one.name: one for one in (OCTET, ASCII_CASEMAP, ASCII_NUMERIC, UNICODE_CASEMAP)}
"""By their names. A script names all but the first two in its `require` as `comparator-…` (RFC 5228 §2.7.3)."""
ALWAYS_KNOWN: Final = frozenset({OCTET.name, ASCII_CASEMAP.name})
