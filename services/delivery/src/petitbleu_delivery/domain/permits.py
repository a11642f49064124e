"""How many recipients somebody may have in an hour and in a day: counts of the time gone by, pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

KEY_OCTETS: Final = 16
KEPT_KEYS: Final = 32
"""Messages of an account that are known again; a client that tries again does so within that many."""


class Span(NamedTuple):
    """A time to count over: `slots` slots of `slot_ms` milliseconds."""

    slot_ms: int
    slots: int

    def slot(self, at_ms: int) -> int:
        """Return the number of the slot of an instant."""
        return at_ms // self.slot_ms


HOUR: Final = Span(300_000, 12)
DAY: Final = Span(3_600_000, 24)


class Counts(NamedTuple):
    """Recipients by slot, that of `slot` first. There is one slot more than a span has: the oldest may reach into it still."""

    slot: int
    by_slot: tuple[int, ...]

    def at(self, slot: int, span: Span) -> Counts:
        """Return them as of a later slot; a clock that went back counts into the slot that is there."""
        gone = max(0, slot - self.slot)
        kept = (0,) * min(gone, span.slots + 1) + self.by_slot
        return Counts(self.slot + gone, (kept + (0,) * (span.slots + 1))[: span.slots + 1])

    def plus(self, recipients: int) -> Counts:
        """Return them with recipients of now."""
        return Counts(self.slot, (self.by_slot[0] + recipients, *self.by_slot[1:]))


def together(shares: Iterable[Counts], span: Span) -> Counts:
    """Add counts up; of none there is no sum."""
    known = list(shares)
    slot = max(one.slot for one in known)
    columns = zip(*(one.at(slot, span).by_slot for one in known), strict=True)
    return Counts(slot, tuple(sum(column) for column in columns))


def wait_ms(counts: Counts, span: Span, limit: int, recipients: int, at_ms: int) -> int:
    """Return after how many milliseconds so many more fit under a limit, 0 for now; `limit` 0 is none.

    What is more than the limit by itself never fits; it waits for the whole span, and again.
    """
    over = sum(counts.by_slot) + recipients - limit
    if not limit or over <= 0:
        return 0
    whole = (span.slots + 1) * span.slot_ms
    if recipients > limit:
        return whole
    for age in range(span.slots, -1, -1):
        over -= counts.by_slot[age]
        if over <= 0:
            return max(1, (counts.slot - age + span.slots + 1) * span.slot_ms - at_ms)
    return whole


def key_of(key: bytes) -> bytes:
    """Shorten a message's key to what is kept of it."""
    return hashlib.sha256(key).digest()[:KEY_OCTETS]


def knows(recent: bytes, key: bytes) -> bool:
    """Whether a shortened key is among those kept."""
    return any(recent[at : at + KEY_OCTETS] == key for at in range(0, len(recent), KEY_OCTETS))


def remember(recent: bytes, key: bytes) -> bytes:
    """Keep a shortened key; the oldest goes."""
    return (recent + key)[-KEPT_KEYS * KEY_OCTETS :]
