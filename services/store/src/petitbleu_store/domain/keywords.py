"""Keywords (RFC 8621 §4.1.1): which are a bit of a message's flags, which are one of a person's own, and what is none at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Bits never change their meaning: they are in rows.
SEEN: Final = 1
FLAGGED: Final = 2
ANSWERED: Final = 4
DRAFT: Final = 8
_BITS: Final = {
    "$seen": SEEN,
    "$flagged": FLAGGED,
    "$answered": ANSWERED,
    "$draft": DRAFT,
    "$forwarded": 1 << 4,
    "$junk": 1 << 5,
    "$notjunk": 1 << 6,
    "$phishing": 1 << 7,
    "$mdnsent": 1 << 8,
    "$important": 1 << 9,
}
# Not a keyword: the message has an attachment (RFC 8621 §4.1.4).
HAS_ATTACHMENT: Final = 1 << 30
KEYWORD_BITS: Final = sum(_BITS.values())

# RFC 8621 §4.1.1 sets no number; a message with more than this is a client gone wrong.
MAX_KEYWORDS: Final = 100
# RFC 8621 §4.1.1: 1-255 characters in %x21-%x7e, except ( ) { ] % * " and backslash
_KEYWORD: Final = re.compile(r"[!#$&\'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")


class BadKeywordError(ValueError):
    """A keyword that is not one, or too many of them."""


def split(keywords: Iterable[str]) -> tuple[int, frozenset[str]]:
    """Return the flag bits of keywords, and those that have no bit, in lower case.

    Raises:
        BadKeywordError: for one that breaks the syntax, or more than `MAX_KEYWORDS`.
    """
    flags = 0
    others: set[str] = set()
    for keyword in keywords:
        bit = _BITS.get(keyword)
        if bit is None:
            if not _KEYWORD.fullmatch(keyword):
                raise BadKeywordError
            # RFC 8621 §4.1.1: keywords are case-insensitive, servers give them in lower case
            lower = keyword.lower()
            bit = _BITS.get(lower)
            if bit is None:
                others.add(lower)
                continue
        flags |= bit
    if len(others) > MAX_KEYWORDS:
        raise BadKeywordError
    return flags, frozenset(others)


def names_of(flags: int) -> list[str]:
    """Return the keywords that the bits of a message's flags stand for."""
    known = _NAMES.get(flags & KEYWORD_BITS)
    if known is None:
        known = _NAMES[flags & KEYWORD_BITS] = [name for name, bit in _BITS.items() if flags & bit]
    return known


# At most 2¹⁰ combinations.
_NAMES: Final[dict[int, list[str]]] = {}


def is_unread(flags: int) -> bool:
    """Whether a message counts as unread: neither $seen nor $draft (RFC 8621 §2, unreadEmails)."""
    return not flags & (SEEN | DRAFT)
