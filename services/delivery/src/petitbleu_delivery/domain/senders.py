"""Whom somebody lists as senders, and what that makes of a message: pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, canonical_domain, parse_mailbox

MAX_SENDERS: Final = 1_000
"""Of one account."""
# A name with more labels has its address and its nearest domains looked for
_MOST_DOMAINS: Final = 8


class Listing(IntEnum):
    """What is wanted of a sender; the values are the contract's and the rows'."""

    ALLOW = 1
    BLOCK = 2


class SenderError(ValueError):
    """Neither an address nor a domain."""


class TooManySendersError(Exception):
    """The list is full."""


class Listed(NamedTuple):
    """A sender in canonical form, what is wanted of it, and since when, in Unix seconds."""

    sender: str
    listing: Listing | None
    listed_at: float = 0.0


def sender_of(text: str) -> str:
    """Return the canonical form of what a person lists: an address, or a domain with or without @ in front. Raises `SenderError`."""
    local, at, domain = text.strip().rpartition("@")
    try:
        if at and local:
            found = parse_mailbox(text.strip(), max_local=MAX_REVERSE_LOCAL).canonical()
            if found.domain:
                return found.address
        else:
            name = canonical_domain(domain)
            # a whole top-level domain would be a slip of the hand, an address literal is a client and no sender
            if "." in name and not name.startswith("["):
                return name
    except AddressError:
        pass
    raise SenderError("neither an address nor a domain")


def names_of(address: str) -> list[str]:
    """Return the names under which an address may be listed: itself, its domain, and the domains above; none for what is no address."""
    try:
        found = parse_mailbox(address, max_local=MAX_REVERSE_LOCAL).canonical()
    except AddressError:
        return []
    if not found.domain or found.domain.startswith("["):
        return [found.address] if found.domain else []
    labels = found.domain.split(".")
    domains = [".".join(labels[at:]) for at in range(max(len(labels) - 1, 1))]
    return [found.address, *domains[:_MOST_DOMAINS]]


def listing_of(
    listed: Mapping[str, Listing], author: str, envelope_sender: str, *, authenticated: bool
) -> Listing | None:
    """Return what a list makes of a message; the nearest name of its author decides, then the envelope sender's.

    To allow is to believe a name: it counts for the author's address and its very domain, and only when it is known that the author is who it says.
    To block is to believe nothing: it counts for whoever bears the name, and for all domains below it.

    Args:
        listed: What is wanted of names, as `names_of` has them.
        author: The single address in From, empty for none.
        envelope_sender: The reverse-path, empty for the null path.
        authenticated: Whether the author is known to be who it says.
    """
    for at, name in enumerate(names_of(author)):
        found = listed.get(name)
        if found is Listing.BLOCK:
            return found
        if found is Listing.ALLOW and authenticated and at < 2:
            return found
    if any(listed.get(name) is Listing.BLOCK for name in names_of(envelope_sender)):
        return Listing.BLOCK
    return None
