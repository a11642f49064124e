"""What the header of a message says of its sending: who writes, to whom, and whether it is fit to leave (RFC 5322 §3.6)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from petitbleu_gateway.domain.submission_envelope import MAX_RECIPIENTS, too_many_recipients
from petitbleu_gateway.errors import SetError, SetFault
from petitbleu_mail.address_list import as_addresses
from petitbleu_mail.addresses import AddressError, canonical_mailbox
from petitbleu_mail.header_values import as_date
from petitbleu_mail.headers import MAX_VALUE, Headers
from petitbleu_mail.same_reading import Oddity, oddity_of, same_mailboxes
from petitbleu_mail.submitted import header_octets

_ONCE: Final = {
    b"from": "from", b"sender": "sender", b"reply-to": "replyTo", b"to": "to", b"cc": "cc", b"bcc": "bcc", b"date": "sentAt",
    b"message-id": "messageId", b"in-reply-to": "inReplyTo", b"references": "references", b"subject": "subject",
}  # fmt: skip
"""Fields that a message has once (RFC 5322 §3.6), and the properties of the Email that they are."""


@dataclass(frozen=True, slots=True)
class SubmittedHeader:
    """Addresses as written. `sender` is empty without the field."""

    from_: tuple[str, ...]
    sender: str
    recipients: tuple[str, ...]
    has_date: bool
    has_message_id: bool
    eight_bit: bool

    @property
    def author(self) -> str:
        """The address that an envelope without a sender has (RFC 8621 §7)."""
        return self.sender or self.from_[0]


def read_header(headers: Headers, octets: bytes, *, body: bool = False) -> SubmittedHeader:
    """Read the header of a message that is to be sent.

    Args:
        headers: Its scan.
        octets: As far as the scan went.
        body: Whether there is more of the message behind them.

    Raises:
        SetError: `invalidEmail` naming the properties that are wrong (RFC 8621 §7.5), `tooManyRecipients`.
    """
    oddity = oddity_of(octets)
    if oddity is None and body and header_octets(octets) != len(octets):
        oddity = Oddity.NOT_FIELDS  # the scan ended at them
    if oddity is not None:
        raise SetError(SetFault.INVALID_EMAIL, oddity.value, properties=["headers"])
    wrong = [name for field, name in _ONCE.items() if headers.count(field) > 1]
    from_ = _addresses(headers, b"from")
    sender = _addresses(headers, b"sender")
    if not from_ or not all(map(_is_address, from_)):
        wrong.append("from")
    # RFC 5322 §3.6.2: one Sender, and it must be there when several write
    there = headers.count(b"sender") > 0
    if (there or len(from_) > 1) and (len(sender) != 1 or not _is_address(sender[0])):
        wrong.append("sender")
    wrong += [
        name
        for field, name in ((b"from", "from"), (b"sender", "sender"))
        if not all(map(same_mailboxes, headers.all(field)))
    ]
    date = headers.last(b"date")
    if date is not None and as_date(date) is None:
        wrong.append("sentAt")
    if wrong:
        raise SetError(SetFault.INVALID_EMAIL, properties=list(dict.fromkeys(wrong)))
    recipients = [address for field in (b"to", b"cc", b"bcc") for address in _addresses(headers, field)]
    return SubmittedHeader(
        tuple(from_), sender[0] if sender else "", tuple(recipients), date is not None,
        headers.count(b"message-id") > 0, not octets.isascii(),
    )  # fmt: skip


def _addresses(headers: Headers, field: bytes) -> list[str]:
    value = headers.last(field)
    if value is None:
        return []
    found = [one.email for one in as_addresses(value)]
    # beyond, the reader of fields does not look: nobody may be left out without a word
    if len(value) >= MAX_VALUE or len(found) >= MAX_RECIPIENTS:
        raise too_many_recipients()
    return found


def _is_address(text: str) -> bool:
    try:
        return bool(canonical_mailbox(text).domain)
    except AddressError:
        return False


def is_own(address: str, emails: Collection[str]) -> bool:
    """Whether an address is among these, or is one of these with a detail behind it (RFC 5233)."""
    try:
        wanted = canonical_mailbox(address)
        own = {canonical_mailbox(email).address for email in emails}
    except AddressError:
        return False
    return wanted.address in own or f"{wanted.base}@{wanted.domain}" in own
