"""The author domain of a message: that of the one address in its one From field, or what is wrong (RFC 9989 §5.3.1, §11.5)."""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, parse_mailbox
from petitbleu_mail.headers import MAX_FIELDS, MAX_VALUE, Headers, unfold

# Distinct domains of one From field that are looked at (RFC 9989 §11.5); a field with more is unreadable to us.
MAX_DOMAINS = 4

# Controls, which readers disagree about; a tab may fold a line (RFC 5322 §2.2)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class AuthorFault(Enum):
    """Why there is no single author domain."""

    MISSING = "no From"
    REPEATED = "several From fields"
    MULTIPLE = "several addresses in From"
    UNREADABLE = "From cannot be read"


class Author(msgspec.Struct, frozen=True):
    """The domains of From, as lower-case A-labels: one and no fault, or a fault and those that could be read."""

    domains: tuple[str, ...]
    fault: AuthorFault | None = None


def author_of(headers: Headers) -> Author:
    """Return the author of a message whose header was scanned.

    Addresses are read as the apps show them, so that what is judged is what is seen.
    """
    if len(headers.fields) >= MAX_FIELDS:  # there may be a further From behind those that were recorded
        return Author((), AuthorFault.UNREADABLE)
    values = headers.all(b"from")
    if not values:
        return Author((), AuthorFault.MISSING)
    if len(values) == 1:
        return author_of_field(values[0])
    domains: list[str] = []
    for value in values[:MAX_DOMAINS]:
        domains.extend(author_of_field(value).domains)
    return Author(tuple(dict.fromkeys(domains))[:MAX_DOMAINS], AuthorFault.REPEATED)


def author_of_field(value: bytes) -> Author:
    """Return the author that one From field names."""
    line = unfold(value)
    if len(value) >= MAX_VALUE or _CONTROL.search(line):
        return Author((), AuthorFault.UNREADABLE)
    addresses = as_addresses(line)
    if not addresses:
        return Author((), AuthorFault.MISSING)
    domains: dict[str, None] = {}
    fault: AuthorFault | None = AuthorFault.MULTIPLE if len(addresses) > 1 else None
    for address in addresses:
        try:
            mailbox = parse_mailbox(address.email, max_local=MAX_REVERSE_LOCAL)
            domain = mailbox.canonical().domain  # RFC 9989 §5.3.1: U-labels become A-labels
        except AddressError:
            fault = AuthorFault.UNREADABLE
            continue
        if mailbox.is_literal:  # RFC 9989 §4.4: what is no domain name is nobody's policy
            fault = AuthorFault.UNREADABLE
            continue
        domains[domain] = None
        if len(domains) > MAX_DOMAINS:
            return Author(tuple(domains)[:MAX_DOMAINS], AuthorFault.UNREADABLE)
    return Author(tuple(domains), fault)
