"""What a script wants done with a message. Nothing here is done: delivery does it, with its own checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class HeaderEdit(NamedTuple):
    """One change of the header (RFC 5293), in the order of their making.

    With `value` a field is added, at the top or, with `last`, at the bottom. Without, the `number`th field of that name is
    removed (counted from 1 from the top, among those that are there by then).
    """

    name: str
    value: str | None = None
    number: int = 0
    last: bool = False


Edits = tuple[HeaderEdit, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """File into the inbox (RFC 5228 §4.3). `flags` are None unless the script sets any (RFC 5232)."""

    flags: tuple[str, ...] | None = None
    edits: Edits = ()


@dataclass(frozen=True, slots=True)
class FileInto:
    """File into a mailbox (RFC 5228 §4.1).

    Where there is such a mailbox, `special_use` (RFC 8579 §4) or `mailbox_id` (RFC 9042 §4) goes before the name; there is one of them at most.
    """

    mailbox: str
    flags: tuple[str, ...] | None = None
    create: bool = False
    special_use: str | None = None
    edits: Edits = ()
    mailbox_id: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send on to an address (RFC 5228 §4.2), or to the members of a list (`is_list`, an URI; RFC 6134 §2.4)."""

    address: str
    is_list: bool = False
    edits: Edits = ()


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing is to be done at all (RFC 5228 §4.4). It stands alone."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse with a text (RFC 5429); `is_ereject` wants a refusal in the protocol where that can still be."""

    reason: str
    is_ereject: bool = False


@dataclass(frozen=True, slots=True)
class Vacation:
    """Answer the sender, unless that was done within `seconds` for the same `handle` (RFC 5230, RFC 6131).

    `handle` is as the script names it; without, it is None, and subject, sender, form and reason are what tells answers apart
    (RFC 5230 §4.2). `seconds` is None when the script leaves it open; 0 answers each message. `addresses` are more of the owner's.
    """

    reason: str
    subject: str | None = None
    sender: str | None = None
    addresses: tuple[str, ...] = ()
    is_mime: bool = False
    handle: str | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell somebody by a method (RFC 5435); with `mailto:` (RFC 5436). `importance` is 1 (high) to 3."""

    method: str
    sender: str | None = None
    importance: int = 2
    options: tuple[str, ...] = ()
    message: str | None = None


Action = Keep | FileInto | Redirect | Discard | Reject | Vacation | Notify


class Remember(NamedTuple):
    """A unique id that the `duplicate` test of this evaluation saw; to be recorded once all is done (RFC 7352 §3.1)."""

    handle: str
    unique_id: str
    seconds: int
    last: bool
    """Whether seeing it again prolongs the time (`:last`)."""
