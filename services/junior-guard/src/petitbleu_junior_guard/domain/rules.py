"""The rules: who may write to a child, and to whom a child may write. Everything that is not clearly allowed waits for a guardian."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, parse_mailbox


class Verdict(IntEnum):
    """What is done with a message. DESTROY only ever comes from a person."""

    DELIVER = 1
    HOLD = 2
    DESTROY = 3


class Reason(StrEnum):
    """Why a verdict was given: codes for guardians and operators."""

    APPROVED = "approved"
    NOT_A_CHILD = "not-a-child"
    NULL_SENDER = "null-sender"
    NO_FROM = "no-from"
    NOT_AUTHENTICATED = "not-authenticated"
    NOT_APPROVED = "not-approved"
    NO_ADDRESS = "no-address"
    PERSON = "person"


class Item(msgspec.Struct, frozen=True):
    """One message for one account, as delivery knows it. `accepted_id` has 16 octets."""

    account_id: int
    accepted_id: bytes
    mail_from: str
    header_from: str
    authenticated: bool


class Knowledge(msgspec.Struct, frozen=True):
    """What is known of an item: whether the account is a child's, whether its sender is approved, what a person decided."""

    is_child: bool
    is_approved: bool
    final: Verdict | None = None


def canonical(address: str) -> str | None:
    """Return the form under which a correspondent is known, or None for what is no address."""
    try:
        return parse_mailbox(address, max_local=MAX_REVERSE_LOCAL).canonical().address
    except AddressError:
        return None


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
        (not known.is_child, Reason.NOT_A_CHILD),
        (not item.mail_from, Reason.NULL_SENDER),
        (sender is None, Reason.NO_FROM),
        (not item.authenticated, Reason.NOT_AUTHENTICATED),
        (not known.is_approved, Reason.NOT_APPROVED),
    )
    for applies, reason in holds:
        if applies:
            return Verdict.HOLD, reason
    return Verdict.DELIVER, Reason.APPROVED


def judge_outgoing(known: Knowledge, recipient: str | None) -> tuple[Verdict, Reason]:
    """Decide whether a child's message may go to a recipient: to whom may write to the child, guardians included.

    Args:
        known: What is known of the child and of this correspondent.
        recipient: Canonical form of the address, None for what is no address.
    """
    if not known.is_child:
        return Verdict.HOLD, Reason.NOT_A_CHILD
    if recipient is None:
        return Verdict.HOLD, Reason.NO_ADDRESS
    if not known.is_approved:
        return Verdict.HOLD, Reason.NOT_APPROVED
    return Verdict.DELIVER, Reason.APPROVED
