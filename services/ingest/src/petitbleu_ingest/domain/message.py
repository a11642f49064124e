"""A message on its way in: envelope, parameters, the key that makes a repeat harmless, and what its header tells."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec

from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.addresses import Mailbox
from petitbleu_mail.auth.author import Author, author_of, author_of_field
from petitbleu_mail.headers import MAX_FIELDS, Headers, scan_headers
from petitbleu_mail.smtp_grammar import Mail, Notify, Rcpt
from petitbleu_mail.smtp_parameters import encode_xtext

# Octets of a header that are looked at for loops and for the author; a setting refuses headers that are longer.
MAX_HEADER_SCAN: Final = 512 << 10
_MAX_REMEMBERED_VALUE: Final = 200
_BLOCK: Final = 64
_BLANK_LINE: Final = re.compile(rb"\A\r?\n|\n\r?\n")
_NOTIFY_WORDS: Final = (
    (Notify.NEVER, "NEVER"),
    (Notify.SUCCESS, "SUCCESS"),
    (Notify.FAILURE, "FAILURE"),
    (Notify.DELAY, "DELAY"),
)


class Recipient(msgspec.Struct, frozen=True):
    """One accepted recipient: `notify` and `orcpt` as they stand in RCPT, empty when absent (RFC 3461 §4)."""

    mailbox: Mailbox
    address: str
    notify: str
    orcpt: str
    tenant_id: int


def recipient_of(command: Rcpt, address: str, tenant_id: int) -> Recipient:
    """Return the recipient that a RCPT command names, with NOTIFY (RFC 3461 §4.1) and ORCPT (RFC 3461 §4.2)."""
    notify = command.notify
    orcpt = command.orcpt
    return Recipient(
        command.recipient,
        address,
        ",".join([word for flag, word in _NOTIFY_WORDS if flag in notify]) if notify else "",
        f"{orcpt[0]};{encode_xtext(orcpt[1]).decode('ascii')}" if orcpt else "",
        tenant_id,
    )


class Incoming(msgspec.Struct):
    """One whole message, ready for `store`. Either `body` or `staged_id` is set."""

    key: bytes
    mail: Mail
    recipients: list[Recipient]
    trace: bytes
    body: bytes
    staged_id: bytes
    header_from: str
    traceparent: str
    verdicts: Verdicts | None = None
    submitter: Submitter | None = None
    hold_until_ms: int = 0
    """Unix milliseconds before which nobody has it (RFC 4865); 0 for at once."""

    @property
    def mail_from(self) -> str:
        """The envelope sender as received; empty for the null path."""
        sender = self.mail.sender
        return sender.address if sender is not None else ""


class KeyMaker:
    """Makes idempotency keys: HMAC-SHA-256 (RFC 2104) of the envelope and of the body's SHA-256.

    A sender that missed our 250 repeats (RFC 1047), and its repeat gets the same key. The keyed hashes are made once and
    copied, which is five times as fast as `hmac.digest`.
    """

    def __init__(self, secret: bytes) -> None:
        key = (sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes([octet ^ 0x36 for octet in key]))
        self._outer = sha256(bytes([octet ^ 0x5C for octet in key]))

    def key(self, mail_from: str, recipients: list[Recipient], body_digest: bytes) -> bytes:
        """Return the key, 32 octets.

        Each part is preceded by its length, so that no two envelopes give the same octets. The order of recipients does
        not count: a sender may sort its queue anew.
        """
        parts = [mail_from.encode()]
        parts.extend(sorted([recipient.address.encode() for recipient in recipients]))
        inner = self._inner.copy()
        inner.update(b"".join([b"%d:%b" % (len(part), part) for part in parts]) + body_digest)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Head(msgspec.Struct, frozen=True):
    """What a message's header tells: Received fields, and the one address of From, empty when there is not one."""

    received: int
    header_from: str
    headers: Headers

    def author(self) -> Author:
        """Return the author domain, or what is wrong with it (RFC 9989 §5.3.1)."""
        values = self.headers.all(b"from") if len(self.headers.fields) < MAX_FIELDS else []
        if len(values) == 1 and len(values[0]) < _MAX_REMEMBERED_VALUE:
            return _author_remembered(values[0])
        return author_of(self.headers)


def read_head(message: bytes) -> Head:
    """Read the header that `message` begins with, or as much of it as `MAX_HEADER_SCAN` octets hold."""
    headers = scan_headers(message if len(message) <= MAX_HEADER_SCAN else message[:MAX_HEADER_SCAN])
    # RFC 5322 §3.6: one From field; RFC 7489 §6.6.1: with several there is no author to speak of
    fields = headers.all(b"from")
    return Head(headers.count(b"received"), _only_address(fields[0]) if len(fields) == 1 else "", headers)


def blank_line(message: bytes) -> int:
    """Return where the first blank line ends (RFC 5322 §2.1), -1 where there is none yet; a bare LF ends a line for some."""
    found = _BLANK_LINE.search(message)
    return found.end() if found is not None else -1


def without_blank_line(header: bytes) -> bytes:
    """Return a header that may end with its blank line without it, its last field's line end kept."""
    for line_end in (b"\r\n", b"\n"):
        if header == line_end or header.endswith(b"\n" + line_end):
            return header[: -len(line_end)]
    return header


def header_whole(message: bytes) -> bool:
    """Whether the header of a message that is still coming is here: behind it there is a blank line, or text that is none."""
    # two whole lines that are no field: of a single one the next decides (`petitbleu_mail.headers`)
    return blank_line(message) >= 0 or message.count(b"\n", scan_headers(message).body_start) > 1


def _only_address(value: bytes) -> str:
    # a sender mostly has one author, and says so in each message
    return _only_address_remembered(value) if len(value) < _MAX_REMEMBERED_VALUE else _only_address_read(value)


def _only_address_read(value: bytes) -> str:
    addresses = as_addresses(value)
    return addresses[0].email if len(addresses) == 1 else ""


_only_address_remembered = lru_cache(maxsize=1024)(_only_address_read)
_author_remembered = lru_cache(maxsize=1024)(author_of_field)
