"""What a sending domain's past mail says of its next: how many of those who got it called it junk. Pure."""

from __future__ import annotations

import hashlib
import math
from typing import Final, NamedTuple

from petitbleu_kit.ids import PARTITIONS

HALF_LIFE_DAYS: Final = 14.0
# A domain of which nobody knows anything has had so many mails, of which a usual share was called junk: it starts at nothing.
_KNOWN_MAILS: Final = 20.0
_USUAL: Final = 0.02
# Hundredths of points for ten times the usual share
_POINTS: Final = 300.0
WORST: Final = 500
"""Most hundredths of points: as many as make Junk of it, when nearly everybody calls it so."""
BEST: Final = -150
"""A good name outweighs a careless header, not a lie."""
MAX_DOMAIN: Final = 253


class Standing(NamedTuple):
    """Recipients of a domain's mail and those who called it junk, as of a day (from 1970)."""

    mails: float = 0.0
    junk: float = 0.0
    day: int = 0

    def at(self, day: int) -> Standing:
        """Return what is left of it on another day."""
        left = 0.5 ** (max(0, day - self.day) / HALF_LIFE_DAYS)
        return Standing(self.mails * left, self.junk * left, max(day, self.day))


def points_of(standing: Standing) -> int:
    """Return what speaks against a domain (or, below 0, for it), in hundredths of points of the built-in scorer.

    The share of junk among its mail, drawn towards the usual one where there was little, on a logarithmic scale.
    """
    junk = max(0.0, min(standing.junk, standing.mails))
    share = (junk + _USUAL * _KNOWN_MAILS) / (max(0.0, standing.mails) + _KNOWN_MAILS)
    return max(BEST, min(WORST, round(_POINTS * math.log10(share / _USUAL))))


def partition_of_domain(domain: str) -> int:
    """Return the partition of a domain's row, 0-1023."""
    digest = hashlib.blake2b(domain.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % PARTITIONS
