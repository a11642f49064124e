"""What is asked of the process that reads mail, and what it answers: msgpack, with its length before it."""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

import msgspec

LENGTH: Final = struct.Struct(">I")
# Messages of the largest size with their attachments' texts; what is larger is a fault.
MAX_OCTETS: Final = 256 << 20


class Mail(msgspec.Struct, array_like=True):
    """A message: its record (petitbleu_mail.structure), the prefix and octets of its blob, and the texts of its attachments.

    Without octets only what the record holds is read.
    """

    meta: bytes
    prefix: bytes
    blob: bytes | None
    read: list[str]


class Leaf(msgspec.Struct, array_like=True):
    """A text that is looked for: in fields (petitbleu_text.searchable.Field), or in the header field of a name."""

    fields: list[int]
    text: str
    header: str = ""


class Terms(msgspec.Struct, tag="terms", array_like=True):
    """Give the terms of messages under a search key; the names of their header fields too."""

    key: bytes
    mails: list[Mail]


class Match(msgspec.Struct, tag="match", array_like=True):
    """Say of each message which of the texts it has."""

    leaves: list[Leaf]
    mails: list[Mail]


class Show(msgspec.Struct, tag="show", array_like=True):
    """Show what is found of texts in subjects and in bodies (RFC 8621 §5)."""

    subjects: list[str]
    bodies: list[str]
    mails: list[Mail]


class Features(msgspec.Struct, tag="features", array_like=True):
    """Give the features of messages under a key: what tells junk from wanted mail."""

    key: bytes
    mails: list[Mail]


Request: TypeAlias = Terms | Match | Show | Features


class Answer(msgspec.Struct, array_like=True):
    """One entry a message: packed signed 64-bit terms, or packed 32-bit features; or which texts it has; or subject and preview as HTML."""

    terms: list[bytes] = []
    found: list[list[bool]] = []
    shown: list[tuple[str | None, str | None]] = []


class Failed(msgspec.Struct, tag="failed", array_like=True):
    """A message could not be read; its text names the error's type only."""

    error_type: str


class Done(msgspec.Struct, tag="done", array_like=True):
    """It was."""

    answer: Answer


Outcome: TypeAlias = Done | Failed
