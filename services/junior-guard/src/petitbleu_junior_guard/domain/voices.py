"""What guardians, the child and the operator say of a correspondent or a group, and what follows from all of it.

A refusal or a block outweighs every approval, whoever gave it, until the party that spoke it takes it back. So each party has one voice
a subject, and nobody's voice replaces another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

import msgspec

NOBODY: Final = 0
"""The party of the operator and of registrations."""
NO_END: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Kind(IntEnum):
    """What one party says of one subject."""

    APPROVED = 1
    REFUSED = 2
    BLOCKED = 3
    """Refused, and nothing of it is announced any more."""
    ADDED = 4
    """By the child, whose level lets it."""
    ASKED = 5
    """By the child, who waits for a guardian."""
    FAMILY = 6
    """By a registration that did not say which guardian's address it is."""


AGAINST: Final = frozenset({Kind.REFUSED, Kind.BLOCKED})


class Circle(IntEnum):
    """What a group is."""

    FAMILY = 1
    CLASS = 2


class Voice(msgspec.Struct, frozen=True):
    """What one party says; `ends_at` is the end of an approval that has one."""

    party: int
    kind: Kind
    ends_at: datetime | None = None


class Membership(msgspec.Struct, frozen=True):
    """A group that an address is in, and what is said of the group. A school's class ends at `ends_at`, whatever is said of it."""

    kind: Circle
    voices: Sequence[Voice]
    ends_at: datetime = NO_END
    is_teacher: bool = False


class Standing(msgspec.Struct, frozen=True):
    """What follows for one address. The ends are None for what it is not, `NO_END` for what has none."""

    family_until: datetime | None = None
    approved_until: datetime | None = None
    grouped_until: datetime | None = None
    is_added: bool = False
    is_refused: bool = False
    taught_until: datetime | None = None
    """Until when it is a teacher of an approved class; `grouped_until` is never before it."""


def approval(voices: Iterable[Voice]) -> datetime | None:
    """Return until when something is approved by what is said of it, None for not at all; a refusal outweighs every approval."""
    said = list(voices)
    if any(voice.kind in AGAINST for voice in said):
        return None
    return max((voice.ends_at or NO_END for voice in said if voice.kind is Kind.APPROVED), default=None)


def holds(until: datetime | None, now: datetime) -> bool:
    """Whether what lasts until then, None for what is not there, still does."""
    return until is not None and until > now


def standing(voices: Sequence[Voice], memberships: Sequence[Membership] = (), *, is_guardian: bool = False) -> Standing:
    """Return what follows from all that is said of an address and of the groups that it is in.

    A group that is refused lets its members in no more; it refuses none of them.
    """
    refused = any(voice.kind in AGAINST for voice in voices)
    family = is_guardian or any(voice.kind is Kind.FAMILY for voice in voices)
    ends: dict[Circle, datetime] = {}
    taught: list[datetime] = []
    for membership in memberships:
        until = approval(membership.voices)
        if until is not None:
            until = min(until, membership.ends_at)
            ends[membership.kind] = max(until, ends.get(membership.kind, until))
            if membership.is_teacher:
                taught.append(until)
    return Standing(
        family_until=NO_END if family else ends.get(Circle.FAMILY),
        approved_until=approval(voices),
        grouped_until=ends.get(Circle.CLASS),
        is_added=any(voice.kind is Kind.ADDED for voice in voices),
        is_refused=refused,
        taught_until=max(taught, default=None),
    )
