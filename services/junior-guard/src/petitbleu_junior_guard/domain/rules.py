"""The rules: who may write to a child, and to whom a child may write. Everything that is not clearly allowed waits for a guardian.

Barriers come down by levels, and only as far as who is a correspondent: what is not authenticated, junk or a failure of DMARC is held at
every level, and so is whom a guardian refuses.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final
from unicodedata import category

import msgspec

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, parse_mailbox


class Verdict(IntEnum):
    """What is done with a message. DESTROY comes from a person or from expiry, or for what no room is left for."""

    DELIVER = 1
    HOLD = 2
    DESTROY = 3


class Level(IntEnum):
    """How far the barriers of a child are down; each lets in what those before it do."""

    FAMILY = 1
    """Guardians, and groups that are the family."""
    CORRESPONDENTS = 2
    """Whom guardians approved one by one."""
    GROUPS = 3
    """Approved groups, such as a class, and whom the child adds."""
    NEWCOMERS = 4
    """Whoever is authenticated; guardians are told."""


DEFAULT_LEVEL: Final = Level.CORRESPONDENTS


class Reason(StrEnum):
    """Why a verdict was given: codes for guardians and operators."""

    APPROVED = "approved"
    ANNOUNCEMENT = "announcement"
    NOT_A_CHILD = "not-a-child"
    NULL_SENDER = "null-sender"
    NO_FROM = "no-from"
    NOT_AUTHENTICATED = "not-authenticated"
    NOT_APPROVED = "not-approved"
    NO_ADDRESS = "no-address"
    PERSON = "person"
    REFUSED = "refused"
    JUNK = "junk"
    DMARC_FAILED = "dmarc-failed"
    LOOK_ALIKE = "look-alike"
    NEWCOMER = "newcomer"
    HELD_LIMIT = "held-limit"
    EXPIRED = "expired"


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
UNANNOUNCED: Final = frozenset({Reason.NULL_SENDER, Reason.NO_FROM, Reason.JUNK, Reason.DMARC_FAILED, Reason.REFUSED})
"""What is held without a word to anybody: guardians see a number."""


class Item(msgspec.Struct, frozen=True):
    """One message for one account, as delivery knows it. `accepted_id` has 16 octets."""

    account_id: int
    accepted_id: bytes
    mail_from: str
    header_from: str
    authenticated: bool
    junk: bool = False
    dmarc_failed: bool = False
    size: int = 0
    local: bool = False
    """Whether somebody here sent it, having logged in."""


class Knowledge(msgspec.Struct, frozen=True):
    """What is known of an item: the child's level, None when the account is no child's, and what its correspondent is to it.

    `looks_alike` says that the correspondent may be taken for another one, who is known; `is_teacher` that it teaches in an approved class.
    `final` is what a person decided.
    """

    level: Level | None
    is_approved: bool = False
    is_family: bool = False
    is_grouped: bool = False
    is_added: bool = False
    is_refused: bool = False
    looks_alike: bool = False
    final: Verdict | None = None
    is_teacher: bool = False

    def is_let_in(self) -> bool:
        """Whether the level lets this correspondent write and be written to."""
        if self.level is None or self.is_refused:
            return False
        return (
            self.is_family
            or (self.level >= Level.CORRESPONDENTS and self.is_approved)
            or (self.level >= Level.GROUPS and (self.is_grouped or self.is_added))
        )

    def hears(self, item: Item) -> bool:
        """Whether a message tells a class something: from a teacher of an approved one, who wrote it here. It lets nobody be written to."""
        return (
            self.level is not None
            and self.level >= Level.CORRESPONDENTS
            and self.is_teacher
            and item.local
            and not self.is_refused
        )


def canonical(address: str) -> str | None:
    """Return the form under which a correspondent is known, or None for what is no address.

    One with characters that are not seen, or that turn what is seen around (UTS 39 §3, RFC 8264 §9.6), is none: guardians decide by what they see.
    """
    try:
        found = parse_mailbox(address, max_local=MAX_REVERSE_LOCAL).canonical().address
    except AddressError:
        return None
    return found if found.isascii() or not any(category(letter) in _UNSEEN for letter in found) else None


def judge(item: Item, known: Knowledge, sender: str | None) -> tuple[Verdict, Reason]:
    """Decide on one message.

    Args:
        item: The message.
        known: What is known of it.
        sender: Canonical form of its single From address, None when there is none.
    """
    if known.final is not None:
        # What a person decided stays; a message that is to be destroyed is never delivered, store destroys what it holds.
        return (Verdict.DELIVER if known.final is Verdict.DELIVER else Verdict.HOLD), Reason.PERSON
    # The first that applies is the reason given. A report of non-delivery (the null path, RFC 5321 §4.5.5) carries strangers' text.
    holds = (
        (known.level is None, Reason.NOT_A_CHILD),
        (not item.mail_from, Reason.NULL_SENDER),
        (sender is None, Reason.NO_FROM),
        (item.junk, Reason.JUNK),
        (item.dmarc_failed, Reason.DMARC_FAILED),
        (known.is_refused, Reason.REFUSED),
        (not item.authenticated, Reason.NOT_AUTHENTICATED),
    )
    for applies, reason in holds:
        if applies:
            return Verdict.HOLD, reason
    ends = (
        (known.is_let_in(), Verdict.DELIVER, Reason.APPROVED),
        (known.hears(item), Verdict.DELIVER, Reason.ANNOUNCEMENT),
        (known.looks_alike, Verdict.HOLD, Reason.LOOK_ALIKE),
        (known.level is Level.NEWCOMERS, Verdict.DELIVER, Reason.NEWCOMER),
    )
    return next(
        ((verdict, reason) for applies, verdict, reason in ends if applies), (Verdict.HOLD, Reason.NOT_APPROVED)
    )


def judge_outgoing(known: Knowledge, recipient: str | None) -> tuple[Verdict, Reason]:
    """Decide whether a child's message may go to a recipient: to whom may write to the child, guardians included.

    To newcomers a child does not write first at any level: whom it adds itself (from level 3 on) is a correspondent.

    Args:
        known: What is known of the child and of this correspondent.
        recipient: Canonical form of the address, None for what is no address.
    """
    if known.level is None:
        return Verdict.HOLD, Reason.NOT_A_CHILD
    if recipient is None:
        return Verdict.HOLD, Reason.NO_ADDRESS
    if not known.is_let_in():
        return Verdict.HOLD, Reason.REFUSED if known.is_refused else Reason.NOT_APPROVED
    return Verdict.DELIVER, Reason.APPROVED
