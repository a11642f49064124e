"""What guardians change, in a form that can be kept until it is sure that it is they who ask for it."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from petitbleu_junior_guard.domain.correspondents import Action
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import DELIVERS, SenderAction


class SetVoice(msgspec.Struct, frozen=True, tag="voice"):
    """Something is said of an address."""

    address: str
    action: Action
    ends_at: datetime | None = None
    although_alike: bool = False


class MoveLevel(msgspec.Struct, frozen=True, tag="level"):
    """A level is moved."""

    level: int


class PutGroup(msgspec.Struct, frozen=True, tag="group"):
    """A group is made (id 0) or replaced."""

    group_id: int
    kind: Circle
    name: str
    addresses: list[str]
    ends_at: datetime | None = None


class SetGroupVoice(msgspec.Struct, frozen=True, tag="group-voice"):
    """Something is said of a group."""

    group_id: int
    action: Action
    ends_at: datetime | None = None


class DecideSender(msgspec.Struct, frozen=True, tag="sender"):
    """It is decided on what waits from a sender."""

    sender_id: bytes
    authenticated: bool
    action: SenderAction
    ends_at: datetime | None = None
    although_alike: bool = False


class Invite(msgspec.Struct, frozen=True, tag="invitation"):
    """Somebody is invited to be a guardian."""

    address: str


class Leave(msgspec.Struct, frozen=True, tag="leaving"):
    """It is agreed that a guardian is one no more."""

    guardian_id: int


Change: TypeAlias = SetVoice | MoveLevel | PutGroup | SetGroupVoice | DecideSender | Invite | Leave
_DECODER: Final[msgspec.json.Decoder[Change]] = msgspec.json.Decoder(Change)
_OPENING: Final = frozenset({Action.APPROVE, Action.TAKE_BACK})


def opens(change: Change, level: Level) -> bool:
    """Whether a change may let anybody in who was not before, at a child's level as it is; what only closes never waits."""
    match change:
        case SetVoice(action=action) | SetGroupVoice(action=action):
            return action in _OPENING
        case MoveLevel(level=wanted):
            return wanted > level
        case DecideSender(action=action):
            return action in DELIVERS
        case PutGroup() | Invite() | Leave():  # who guards decides who comes
            return True


def encode(change: Change) -> str:
    """Return a change as text."""
    return msgspec.json.encode(change).decode()


def decode(text: str) -> Change:
    """Return the change that a text of `encode` is."""
    return _DECODER.decode(text)
