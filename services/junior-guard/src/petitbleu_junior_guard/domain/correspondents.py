"""Where a correspondent stands, as guardians and the child are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum

import msgspec

from petitbleu_junior_guard.domain.rules import Knowledge, Level
from petitbleu_junior_guard.domain.voices import Kind, Standing, Voice, holds


class State(IntEnum):
    """All voices and groups taken together; the number is the contract's."""

    NONE = 0
    ASKED = 1
    ADDED = 2
    APPROVED = 3
    GROUPED = 4
    FAMILY = 5
    REFUSED = 6
    BLOCKED = 7


class Action(IntEnum):
    """What a guardian does about a voice; the number is the contract's."""

    APPROVE = 1
    REFUSE = 2
    BLOCK = 3
    TAKE_BACK = 4
    UNDO = 5


SAYS = {Action.APPROVE: Kind.APPROVED, Action.REFUSE: Kind.REFUSED, Action.BLOCK: Kind.BLOCKED}
"""The voice that an action leaves; the others leave none."""


class Spoken(msgspec.Struct, frozen=True):
    """A voice, and when it was said."""

    voice: Voice
    said_at: datetime


class Known(msgspec.Struct, frozen=True):
    """An address of a child's, what is said of it and what follows."""

    address_hash: bytes
    sealed: bytes
    spoken: Sequence[Spoken]
    standing: Standing


class Correspondent(msgspec.Struct, frozen=True):
    """An address, for those who may read it."""

    address: str
    state: State
    let_in: bool
    spoken: Sequence[Spoken]


def knowledge(level: Level, known: Standing, now: datetime) -> Knowledge:
    """Return what a check would know of an address with this standing."""
    grouped = holds(known.grouped_until, now)
    return Knowledge(
        level, holds(known.approved_until, now), holds(known.family_until, now), grouped, known.is_added, known.is_refused,
        is_teacher=grouped and holds(known.taught_until, now),
    )  # fmt: skip


def state(known: Known, now: datetime) -> State:
    """Return where a correspondent stands, whatever the child's level."""
    kinds = {one.voice.kind for one in known.spoken}
    found = knowledge(Level.FAMILY, known.standing, now)
    if found.is_refused:
        return State.BLOCKED if Kind.BLOCKED in kinds else State.REFUSED
    states = (
        (found.is_family, State.FAMILY),
        (found.is_approved, State.APPROVED),
        (found.is_grouped, State.GROUPED),
        (found.is_added, State.ADDED),
        (Kind.ASKED in kinds, State.ASKED),
    )
    return next((name for applies, name in states if applies), State.NONE)
