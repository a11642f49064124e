"""Headers that every reader reads alike. What is submitted must have one: the author that was checked is the one that is seen.

Readers disagree about a bare CR or LF (the end of a line, or content), about other controls, about lines that are no field
(skipped, or the end of the header), and about what is an address in a value beyond the forms of RFC 5322 §3.4. Whoever owns the author that one of them sees may write as anybody to the others.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from petitbleu_mail.address_list import MAX_ADDRESSES, EmailAddress, as_addresses
from petitbleu_mail.headers import MAX_FIELDS, MAX_VALUE, Headers, unfold
from petitbleu_mail.submitted import header_octets

# Fields of a message when it is submitted: below what a scan records by those that are written above them on the way
MAX_SUBMITTED_FIELDS: Final = MAX_FIELDS - 20

# What ends a string or a line for some: NUL, and what Python's `splitlines` breaks at
_CONTROL: Final = re.compile(rb"[\x00\x0b\x0c\x1c-\x1e]")
# RFC 5322 §2.2, with the blanks before a colon of §4.5; a header may end with its last field, where there is no body
_FIELDS: Final = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+(?:\r\n|\Z))*+(?:\r\n)?+")


# Mailboxes as RFC 5322 §3.4 writes them, and two forms that are common and plain: dots and letters beyond ASCII in a name without quotes, and
# the address itself for a name. No route, group, domain literal or quoted local part; no angle or comment inside anything, but one
# comment behind an address that stands alone, as the oldest programs write names.
_ATOMS: Final = rb'[^<>,;:@()\[\]\\".\x00-\x20\x7f]++(?:\.[^<>,;:@()\[\]\\".\x00-\x20\x7f]++)*+'
_ADDRESS: Final = _ATOMS + b"@" + _ATOMS
_NAME: Final = rb'(?:"(?:[^"\\<>\x00-\x08\x0a-\x1f\x7f]|\\[ -;=?-~])*+"|[^<>,;:@()\[\]\\"\x00-\x08\x0a-\x1f\x7f]++)'
_MAILBOX: Final = (
    rb"[ \t]*+(?:" + _NAME + rb"*+<" + _ADDRESS + rb">"
    rb"|(" + _ADDRESS + rb")[ \t]*+<\1>"
    rb"|" + _ADDRESS + rb'(?:[ \t]++\([^<>,;:@()\[\]\\"\x00-\x08\x0a-\x1f\x7f]*+\))?)[ \t]*+'
)
_MAILBOXES: Final = re.compile(_MAILBOX + rb"(?:," + _MAILBOX.replace(rb"\1", rb"\2") + rb")*+")


class Oddity(Enum):
    """Why a header is read differently by different readers; `value` says it to a person."""

    LINE_END = "The header has a bare CR or LF"
    CONTROL = "The header has a control character"
    NOT_FIELDS = "The header has lines that are no field"
    TOO_MANY_FIELDS = "The header has too many fields"


def oddity_of(message: bytes, most: int = MAX_SUBMITTED_FIELDS) -> Oddity | None:
    """Return what is odd about the header that `message` begins with, up to its first blank line; without one, all of it is header.

    Fewer than `most` fields are right: where a scan records as many, there may be others behind them. The time is linear in the header's length.
    """
    end = header_octets(message)
    header = message if end < 0 else message[:end]
    pairs = header.count(b"\r\n")
    if header.count(b"\r") != pairs or header.count(b"\n") != pairs:  # RFC 5321 §2.3.8, RFC 5322 §2.2
        return Oddity.LINE_END
    if _CONTROL.search(header) is not None:
        return Oddity.CONTROL
    if _FIELDS.fullmatch(header) is None:
        return Oddity.NOT_FIELDS
    if pairs >= most and _fields(header) >= most:
        return Oddity.TOO_MANY_FIELDS
    return None


def _fields(header: bytes) -> int:
    """Count the fields of a header without oddities: lines that are no fold."""
    return len(re.findall(rb"(?:\A|\n)[!-9;-~]", header))


def same_mailboxes(value: bytes) -> bool:
    """Whether every reader finds the same mailboxes in the value of From or Sender: they are written as RFC 5322 §3.4 has them.

    The time is linear in its length; one that is longer than what is read is not the same to all.
    """
    return len(value) < MAX_VALUE and _MAILBOXES.fullmatch(unfold(value)) is not None


def whole_addresses(headers: Headers, field: bytes) -> list[EmailAddress] | None:
    """Return the addresses of all fields of a name (lower case), None where there may be more than were read."""
    found: list[EmailAddress] = []
    for value in headers.all(field):
        addresses = as_addresses(value)
        if len(value) >= MAX_VALUE or len(addresses) >= MAX_ADDRESSES:
            return None
        found += addresses
    return found
