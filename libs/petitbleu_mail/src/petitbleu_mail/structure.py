"""What JMAP shows of a message (RFC 8621 §4): envelope, body structure, the lists of body parts, preview; and their record.

`parse_message` reads it out of the octets once, at delivery. `encode_meta` packs it for the message's row, so that a list
is shown without reading any body; `decode_meta` gives it back.
"""

from __future__ import annotations

import msgspec

from petitbleu_mail.address_list import EmailAddress, as_addresses
from petitbleu_mail.body_lists import BodyLists, body_lists
from petitbleu_mail.header_values import SentAt, as_date, as_message_ids, as_text
from petitbleu_mail.headers import MAX_VALUE, Blob, Headers
from petitbleu_mail.mime import Part, part_beginning, scan_message
from petitbleu_mail.preview import HTML_WINDOW, TEXT_WINDOW, preview_of_html, preview_of_text

__all__ = ["BodyLists", "MetaError", "ParsedMessage", "body_lists", "decode_meta", "encode_meta", "parse_message"]

# The first octet of a record; readers keep to what they know.
META_VERSION = 1
# RFC 5322 §2.1.1 knows no limit for an unfolded field; what a list shows needs one.
MAX_SUBJECT = 2000


class ParsedMessage(msgspec.Struct, array_like=True, gc=False):
    """A message as JMAP's Email object has it. None means that the header field is absent or cannot be read.

    `size` is that of the blob in octets. `received` counts the Received fields.
    """

    root: Part
    size: int
    subject: str | None = None
    from_: list[EmailAddress] | None = None
    to: list[EmailAddress] | None = None
    cc: list[EmailAddress] | None = None
    bcc: list[EmailAddress] | None = None
    sender: list[EmailAddress] | None = None
    reply_to: list[EmailAddress] | None = None
    message_id: list[str] | None = None
    in_reply_to: list[str] | None = None
    references: list[str] | None = None
    sent_at: SentAt | None = None
    has_attachment: bool = False
    preview: str = ""
    received: int = 0


def parse_message(raw: bytes | bytearray | memoryview) -> ParsedMessage:
    """Read all that JMAP shows in lists out of a message. Takes any octets and never raises."""
    blob = raw if isinstance(raw, bytes) else bytes(raw)
    root, headers = scan_message(blob)
    message = ParsedMessage(root, len(blob))
    _read_envelope(message, headers)
    lists = body_lists(root)
    # RFC 8621 §4.1.4: an attachment that is not inline
    message.has_attachment = any(part.disposition != "inline" for part in lists.attachments)
    message.preview = _preview(blob, lists)
    return message


def _read_envelope(message: ParsedMessage, headers: Headers) -> None:
    # RFC 8621 §4.1.3: of several instances the last one counts
    last = headers.last_values()
    message.received = headers.count(b"received")
    subject = last.get(b"subject")
    if subject is not None:
        message.subject = as_text(subject[:MAX_VALUE])[:MAX_SUBJECT]
    date = last.get(b"date")
    if date is not None:
        message.sent_at = as_date(date)
    for name, attribute in _ADDRESS_FIELDS:
        if name in last:
            setattr(message, attribute, as_addresses(last[name][:MAX_VALUE]))
    for name, attribute in _ID_FIELDS:
        if name in last:
            setattr(message, attribute, as_message_ids(last[name][:MAX_VALUE]))


_ADDRESS_FIELDS = (
    (b"from", "from_"),
    (b"to", "to"),
    (b"cc", "cc"),
    (b"bcc", "bcc"),
    (b"sender", "sender"),
    (b"reply-to", "reply_to"),
)
_ID_FIELDS = ((b"message-id", "message_id"), (b"in-reply-to", "in_reply_to"), (b"references", "references"))


def _preview(blob: Blob, lists: BodyLists) -> str:
    for part in lists.text_body:
        if part.type == "text/html":
            text = preview_of_html(part_beginning(blob, part, HTML_WINDOW))
        elif part.type.startswith("text/"):
            text = preview_of_text(part_beginning(blob, part, TEXT_WINDOW))
        else:
            continue
        if text:
            return text
    return ""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ParsedMessage)


def encode_meta(message: ParsedMessage) -> bytes:
    """Pack a parsed message: one version octet, then msgpack arrays without names."""
    return bytes((META_VERSION,)) + _ENCODER.encode(message)


class MetaError(ValueError):
    """Raised for a record that is damaged or of another version."""


def decode_meta(data: bytes | memoryview) -> ParsedMessage:
    """Unpack what `encode_meta` packed. Raises `MetaError`."""
    if not data or data[0] != META_VERSION:
        raise MetaError("not a record of this version")
    try:
        return _DECODER.decode(memoryview(data)[1:])
    except msgspec.MsgspecError:
        raise MetaError("damaged record") from None
