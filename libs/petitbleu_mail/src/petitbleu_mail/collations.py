"""Collations by which strings are sorted (RFC 4790), by the names under which the session object tells of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

_ASCII_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def unicode_casemap(text: str) -> str:
    """Return what is compared by `i;unicode-casemap`: title case, decomposed (RFC 5051 §2)."""
    return unicodedata.normalize("NFKD", "".join(char.title() for char in text))


def ascii_casemap(text: str) -> str:
    """Return what is compared by `i;ascii-casemap` (RFC 4790 §9.2)."""
    return text.translate(_ASCII_UPPER)


# The order of code points is that of their UTF-8, so that strings compare as their octets would.
COLLATIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "i;unicode-casemap": unicode_casemap,
    "i;ascii-casemap": ascii_casemap,
    "i;octet": str,
}
"""Name → what is compared. The first one is the default: it knows Unicode and no case (RFC 8620 §5.5)."""
DEFAULT: Final = "i;unicode-casemap"
