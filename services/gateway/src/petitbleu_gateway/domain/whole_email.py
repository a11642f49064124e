"""Octets that should be a whole message: whether they are one, and when it came."""

from __future__ import annotations

from typing import Final

from petitbleu_mail.header_values import as_date
from petitbleu_mail.headers import Headers, scan_headers

# Of a message at least one of these is asked for: RFC 5322 §3.6 wants a date and an originator, and mail often enough lacks one.
_KNOWN: Final = frozenset(
    {
        b"from", b"date", b"to", b"cc", b"bcc", b"subject", b"message-id", b"sender", b"reply-to", b"in-reply-to", b"references",
        b"received", b"return-path", b"mime-version", b"resent-from", b"resent-date",
    }
)  # fmt: skip
_HEADER_OCTETS: Final = 1 << 20


def header_of(raw: bytes) -> Headers | None:
    """Return the header of a message, or None when the octets are no message: no picture, no text, no part (RFC 5322 §2.2)."""
    headers = scan_headers(raw[:_HEADER_OCTETS])
    return headers if _KNOWN.intersection(headers.names) else None


def arrival_ms(headers: Headers) -> int | None:
    """Return Unix milliseconds of the most recent Received field, None when there is none to read (RFC 8621 §4.8)."""
    latest = headers.first(b"received")
    if latest is None:
        return None
    date = as_date(latest.rpartition(b";")[2])
    return date.seconds * 1000 if date is not None and date.seconds > 0 else None
