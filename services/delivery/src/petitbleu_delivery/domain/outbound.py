"""Mail for other servers: a letter, what a server answered, and when a unit of the queue is tried again."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

import idna
import msgspec

UNIT_SECONDS_FIRST: Final = 300.0
UNIT_SECONDS_LONGEST: Final = 4 * 3600.0
MAX_HOPS: Final = 100
MAX_HEADER: Final = 1 << 20
_TLS_OPTIONAL: Final = re.compile(rb"(?:^|\n)tls-required[ \t]*:[ \t]*no[ \t]*\r?(?:\n|$)", re.IGNORECASE)
# RFC 2369 §3, RFC 2919 §3, RFC 8058; Precedence is nobody's standard, and everybody's habit (RFC 3834 §3.1.8)
_BULK: Final = re.compile(
    rb"(?:^|\n)(?:list-(?:id|help|unsubscribe|subscribe|post|owner|archive|unsubscribe-post)[ \t]*:|precedence[ \t]*:[ \t]*(?:bulk|list|junk)\b)",
    re.IGNORECASE,
)
_RECEIVED: Final = re.compile(rb"(?:^|\n)received[ \t]*:", re.IGNORECASE)


class LetterRecipient(NamedTuple):
    """A recipient of a letter: its number in the envelope, its mailbox, NOTIFY and ORCPT (RFC 3461 §4.1, §4.2) or empty."""

    number: int
    address: str
    notify: str = ""
    orcpt: str = ""


def _always() -> bool:
    return True


class NotInHandError(Exception):
    """A letter was not sent to its end: it may be in another process's hands by now."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message for one destination, ready to be sent: `body` is all of it, signed, with CRLF lines, not yet dot-stuffed.

    Attributes:
        accepted_id: The accepted message, 16 octets.
        mail_from: The envelope sender, empty for the null path.
        recipients: Those at the destination.
        body: The octets.
        eight_bit: BODY=8BITMIME was given, or the body has octets above 127.
        smtputf8: SMTPUTF8 is needed (RFC 6531).
        ret: FULL, HDRS or empty (RFC 3461 §4.3).
        envid: ENVID, decoded (RFC 3461 §4.4).
        require_tls: REQUIRETLS was given (RFC 8689).
        tls_optional: The message says that it matters more to arrive than how (RFC 8689 §5): no policy of the domain is kept.
        tenant_id: Whose it is.
        priority: Its class (`Priority`).
        current: Whether it is still ours to send, asked right before its end is.
    """

    accepted_id: bytes
    mail_from: str
    recipients: tuple[LetterRecipient, ...]
    body: bytes
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    tls_optional: bool = False
    tenant_id: int = 0
    priority: int = 1
    current: Callable[[], bool] = _always


class Verdict(Enum):
    """What became of one recipient at this attempt."""

    SENT = 1
    DEFERRED = 2
    REFUSED = 3


class Reply(NamedTuple):
    """What was answered last.

    Attributes:
        code: The SMTP code; 0 when no server was reached, or it gave none.
        enhanced: The enhanced status code (RFC 3463), the server's or ours; never empty.
        text: What it said, of printable characters, at most 400; of our own words where there was no server.
        host: The server's name, empty when none was reached.
    """

    code: int
    enhanced: str
    text: str
    host: str = ""


COMPLAINED: Final = "5.7.1"
"""Status, of our own, of mail to somebody who complained of its sender (RFC 3463 §3.8)."""


class Answer(NamedTuple):
    """The answer for one recipient of a letter.

    Attributes:
        number: The recipient's number in the envelope.
        verdict: What became of it.
        reply: What was answered.
        relayed_dsn: Whether the server took over the duty to notify (RFC 3461 §5.2.1): it announced DSN.
        reached: False when the destination itself could not be reached, so that others for it need not be tried now.
        untried_until: Unix seconds before which the recipient is not tried, for what its server said before; else 0.
    """

    number: int
    verdict: Verdict
    reply: Reply
    relayed_dsn: bool = False
    reached: bool = True
    untried_until: float = 0.0


class Priority(Enum):
    """Which units go first where not all can."""

    NOTICE = 0
    PERSON = 1
    BULK = 2


def goes_in_circles(body: bytes) -> bool:
    """Whether a message has passed so many servers that it goes in circles (RFC 5321 §6.3: 100 Received fields at least)."""
    header = body[:MAX_HEADER].partition(b"\r\n\r\n")[0]
    return len(_RECEIVED.findall(header)) > MAX_HOPS


def is_bulk(body: bytes) -> bool:
    """Whether the header of a message says that many get the like: a field of mailing lists, or Precedence."""
    header = _header(body)
    low = header.lower()  # the many letters that are none are seen by it much faster than by the pattern
    return (b"list-" in low or b"precedence" in low) and _BULK.search(header) is not None


def does_without_tls(body: bytes) -> bool:
    """Whether the header of a message says `TLS-Required: No` (RFC 8689 §5)."""
    header = _header(body)
    return b"tls-required" in header.lower() and _TLS_OPTIONAL.search(header) is not None


def _header(body: bytes) -> bytes:
    end = body.find(b"\r\n\r\n", 0, MAX_HEADER)
    return body[: MAX_HEADER if end < 0 else end]


def pause_before(attempts: int, first: float = UNIT_SECONDS_FIRST, longest: float = UNIT_SECONDS_LONGEST) -> float:
    """Seconds until the next attempt after `attempts` that failed (1 or more): doubled by each, from `first` up to `longest`.

    RFC 5321 §4.5.4.1 asks for 30 minutes between attempts in general and for faster ones at first where the reason calls for it.
    """
    return float(min(first * (1 << min(max(attempts - 1, 0), 20)), longest))


def destination_of(address: str) -> str:
    """Return the domain of a mailbox in lower case and A-labels (RFC 5890 §2.3.2.1); an address literal as it is; empty for neither."""
    domain = address.rpartition("@")[2].rstrip(".").lower()
    if domain.startswith("[") or domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


def with_crlf(message: bytes) -> bytes:
    """Return a message whose lines all end with CRLF (RFC 5321 §2.3.8); one that was imported may have bare LF or CR.

    Sent as they are, they would be what smuggling is made of; changed after the signature, they would break it.
    """
    pairs = message.count(b"\r\n")
    if message.count(b"\n") == pairs == message.count(b"\r") and message.endswith(b"\r\n"):
        return message
    whole = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return whole if whole.endswith(b"\r\n") else whole + b"\r\n"
