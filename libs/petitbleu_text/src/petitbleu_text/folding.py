"""What makes two spellings one: compatibility forms, case, accents (Unicode UAX #15, UAX #21)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Characters that stand in words without being seen: soft hyphen, joiners (UAX #29, WB4)
INVISIBLE = "\u00ad\u200c\u200d\u2060\ufeff"
# Letters that have no decomposition but that people type as others, and letters that are written as apostrophes
_LETTERS = str.maketrans(
    {
        "œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "\u0131": "i", "ŋ": "n",
        "\u02b9": " ", "\u02ba": " ", "\u02bb": " ", "\u02bc": " ", "\u02bd": " ",
    }
    | dict.fromkeys(INVISIBLE, "")
)  # fmt: skip


@lru_cache(maxsize=4096)
def _fold_rare(text: str) -> str:
    plain = "".join([c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)])
    # twice: a few letters fold to ones that decompose
    plain = unicodedata.normalize("NFKD", plain.casefold().translate(_LETTERS))
    plain = "".join([c for c in plain if not unicodedata.combining(c)])
    return unicodedata.normalize("NFC", plain.casefold().translate(_LETTERS))


def fold(text: str) -> str:
    """Return text without case, accents and compatibility forms; equal for texts that a person takes for the same.

    What comes out may be shorter or longer than what went in, and folding it again changes nothing.
    """
    return text.lower() if text.isascii() else _fold_rare(text)
