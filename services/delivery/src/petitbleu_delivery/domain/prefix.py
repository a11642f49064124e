"""The lines of final delivery that stand before the blob as served: Return-Path and Delivered-To (RFC 5321 §4.4, RFC 9228)."""

from __future__ import annotations

from functools import lru_cache

from petitbleu_mail.addresses import MAX_REVERSE_LOCAL, AddressError, Mailbox, parse_mailbox
from petitbleu_mail.received import delivered_to, return_path


def _mailbox(address: str) -> Mailbox:
    """Read an address of the envelope. What is none (it was let in by an older rule) is shown without what breaks a line."""
    try:
        return parse_mailbox(address, max_local=MAX_REVERSE_LOCAL)
    except AddressError:
        shown = "".join(c if c.isprintable() and c not in '<> "\\' else "?" for c in address[:256])
        local, at, domain = shown.rpartition("@")
        return Mailbox(local, domain) if at else Mailbox(shown, "")


@lru_cache(maxsize=4096)
def _return_path(mail_from: str) -> bytes:
    return return_path(_mailbox(mail_from) if mail_from else None)


@lru_cache(maxsize=4096)
def _delivered_to(address: str) -> bytes:
    return delivered_to(_mailbox(address))


def prefix(mail_from: str, address: str, results: bytes = b"") -> bytes:
    """Return the prefix for a recipient, CRLF ended; both addresses as received, `mail_from` empty for the null path.

    `results` is our Authentication-Results where ingest could not put it into the trace lines any more (RFC 8601 §4.1).
    """
    return _return_path(mail_from) + _delivered_to(address) + results
