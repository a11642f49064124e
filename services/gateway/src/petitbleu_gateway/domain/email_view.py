"""A message's row as a JMAP Email object (RFC 8621 §4.1), by the properties that a client wants."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.header_forms import (
    HeaderProperty,
    addresses_value,
    date_value,
    header_list,
    header_value,
    parse_header_property,
)
from petitbleu_gateway.jmap import ids
from petitbleu_mail.headers import Headers
from petitbleu_mail.mime import Part
from petitbleu_mail.structure import BodyLists, ParsedMessage, body_lists, decode_meta

# RFC 8621 §4.2
DEFAULT_PROPERTIES: Final = (
    "id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo", "references",
    "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment", "preview", "bodyValues",
    "textBody", "htmlBody", "attachments",
)  # fmt: skip
DEFAULT_BODY_PROPERTIES: Final = (
    "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
)  # fmt: skip


_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400


@functools.lru_cache(4096)
def _day(days: int) -> str:
    return date.fromordinal(_EPOCH + days).isoformat()


def utc_date(millis: int) -> str:
    """Return Unix milliseconds as a UTCDate (RFC 8620 §1.4): no fraction when it is zero."""
    seconds, rest = divmod(millis, 1000)
    days, second = divmod(seconds, _DAY_SECONDS)
    try:
        day = _day(days)
    except (ValueError, OverflowError):
        return "1970-01-01T00:00:00Z"
    text = f"{day}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{text}.{rest:03}Z" if rest else f"{text}Z"


def date_or_none(milliseconds: int) -> str | None:
    """Return a UTCDate (RFC 8620 §1.4), None for no time."""
    return utc_date(milliseconds) if milliseconds else None


@dataclass(slots=True)
class Reading:
    """A message being shown: its row, what was decoded of it once, and the octets that were read.

    `parts_of_blob` is what the blob ids of its parts begin with: those of a message in the account, unless told otherwise.
    `header` is the message's own header as served; `part_headers` those of parts by where they begin; `body_values` is
    the property of that name.
    """

    row: pb.Message
    parts_of_blob: str = ""
    header: Headers | None = None
    part_headers: dict[int, Headers] = field(default_factory=dict)
    body_values: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    _meta: ParsedMessage | None = None
    _lists: BodyLists | None = None

    @property
    def meta(self) -> ParsedMessage:
        """The record of the message, decoded once."""
        if self._meta is None:
            self._meta = decode_meta(self.row.meta)
        return self._meta

    @property
    def lists(self) -> BodyLists:
        """The three lists of parts, sorted once."""
        if self._lists is None:
            self._lists = body_lists(self.meta.root)
        return self._lists


def parts_of(root: Part) -> Iterator[Part]:
    """Give a part and those in it, messages within messages excepted."""
    yield root
    for child in root.parts:
        yield from parts_of(child)


def find_part(root: Part, part_id: str) -> Part | None:
    """Return the leaf with this part id, also one within an attached message."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.part_id == part_id:
            return part
        waiting.extend(part.parts)
        if part.message is not None:
            waiting.append(part.message)
    return None


# property → value, from the row alone
_ROW: Final[dict[str, Callable[[pb.Message], Any]]] = {
    "id": lambda row: f"M{row.message_id}",
    "blobId": lambda row: f"B{row.message_id}",
    "threadId": lambda row: f"T{row.thread_id}",
    "mailboxIds": lambda row: {f"F{number}": True for number in row.mailbox_ids},
    "keywords": lambda row: dict.fromkeys(row.keywords, True),
    "size": lambda row: row.size,
    "receivedAt": lambda row: utc_date(row.received_at_ms),
}
# property → value, from the record
_META: Final[dict[str, Callable[[ParsedMessage], Any]]] = {
    "messageId": lambda meta: meta.message_id,
    "inReplyTo": lambda meta: meta.in_reply_to,
    "references": lambda meta: meta.references,
    "sender": lambda meta: addresses_value(meta.sender),
    "from": lambda meta: addresses_value(meta.from_),
    "to": lambda meta: addresses_value(meta.to),
    "cc": lambda meta: addresses_value(meta.cc),
    "bcc": lambda meta: addresses_value(meta.bcc),
    "replyTo": lambda meta: addresses_value(meta.reply_to),
    "subject": lambda meta: meta.subject,
    "sentAt": lambda meta: date_value(meta.sent_at),
    "hasAttachment": lambda meta: meta.has_attachment,
    "preview": lambda meta: meta.preview,
}
_BODY: Final = frozenset({"bodyStructure", "textBody", "htmlBody", "attachments"})
_KNOWN: Final = frozenset({*_ROW, *_META, *_BODY, "headers", "bodyValues"})
# RFC 8621 §4.1.3: these properties are short for header properties, so those need no reading either
_SHORT: Final = {
    ("message-id", "MessageIds"): "messageId", ("in-reply-to", "MessageIds"): "inReplyTo",
    ("references", "MessageIds"): "references", ("sender", "Addresses"): "sender", ("from", "Addresses"): "from",
    ("to", "Addresses"): "to", ("cc", "Addresses"): "cc", ("bcc", "Addresses"): "bcc",
    ("reply-to", "Addresses"): "replyTo", ("subject", "Text"): "subject", ("date", "Date"): "sentAt",
}  # fmt: skip

_PART: Final[dict[str, Callable[[str, Part], Any]]] = {
    "partId": lambda _blob, part: part.part_id,
    "blobId": lambda blob, part: ids.part_blob_id(blob, part.part_id) if part.part_id else None,
    "size": lambda _blob, part: part.size,
    "name": lambda _blob, part: part.name,
    "type": lambda _blob, part: part.type,
    "charset": lambda _blob, part: part.charset,
    "disposition": lambda _blob, part: part.disposition,
    "cid": lambda _blob, part: part.cid,
    "language": lambda _blob, part: part.language,
    "location": lambda _blob, part: part.location,
}


class UnknownPropertyError(ValueError):
    """A property that no Email or EmailBodyPart has; its argument is the property."""


_WRITINGS: Final = 4
"""Ways to write the name of one field that a call may ask for at once: of ten letters there are a thousand."""


def _header_property(key: str, seen: Counter[str]) -> HeaderProperty:
    wanted = parse_header_property(key)
    seen[key.lower()] += 1
    if wanted is None or seen[key.lower()] > _WRITINGS:
        raise UnknownPropertyError(key)
    return wanted


class EmailView:
    """Shows messages by a fixed choice of properties, worked out once for all messages of a call.

    Args:
        properties: Of the Email.
        body_properties: Of each EmailBodyPart.

    Raises:
        UnknownPropertyError: for a property that does not exist, a header form that its field may not have, or one that
            stands there too often, its field's name written in another way each time.
    """

    def __init__(self, properties: Sequence[str], body_properties: Sequence[str]) -> None:
        self._row: list[tuple[str, Callable[[pb.Message], Any]]] = [("id", _ROW["id"])]
        self._meta: list[tuple[str, Callable[[ParsedMessage], Any]]] = []
        self._headers: list[HeaderProperty] = []
        self._body: list[str] = []
        self.wants_headers = False
        self.wants_body_values = False
        seen: Counter[str] = Counter()
        for key in dict.fromkeys(properties):
            self._add(key, seen)
        self._part: list[tuple[str, Callable[[str, Part], Any]]] = []
        self._part_headers: list[HeaderProperty] = []
        self._part_header_list = False
        self._sub_parts = False
        seen = Counter()
        for key in dict.fromkeys(body_properties):
            self._add_part(key, seen)

    def _add(self, key: str, seen: Counter[str]) -> None:
        if key in _ROW:
            if key != "id":
                self._row.append((key, _ROW[key]))
        elif key in _META:
            self._meta.append((key, _META[key]))
        elif key in _BODY:
            self._body.append(key)
        elif key == "bodyValues":
            self.wants_body_values = True
        elif key == "headers":
            self.wants_headers = True
        else:
            wanted = _header_property(key, seen)
            short = None if wanted.all else _SHORT.get((wanted.field, wanted.form))
            if short is not None and short != "subject":  # the record cuts very long subjects
                self._meta.append((key, _META[short]))
            else:
                self._headers.append(wanted)

    def _add_part(self, key: str, seen: Counter[str]) -> None:
        if key in _PART:
            self._part.append((key, _PART[key]))
        elif key == "headers":
            self._part_header_list = True
        elif key == "subParts":
            self._sub_parts = True
        else:
            wanted = _header_property(key, seen)
            self._part_headers.append(wanted)

    @property
    def needs_meta(self) -> bool:
        """Whether the record is needed at all."""
        return bool(self._meta or self._body or self.wants_body_values or self.needs_header or self.needs_part_headers)

    @property
    def needs_header(self) -> bool:
        """Whether the octets of the message's header must be read."""
        return self.wants_headers or bool(self._headers)

    @property
    def needs_part_headers(self) -> bool:
        """Whether the octets of the parts' headers must be read."""
        return bool(self._body) and (self._part_header_list or bool(self._part_headers))

    def parts_shown(self, reading: Reading) -> Iterator[Part]:
        """Give the parts that the object will show, some perhaps twice."""
        for key in self._body:
            if key == "bodyStructure":
                yield from parts_of(reading.meta.root)
            else:
                yield from _list_of(reading.lists, key)

    def show(self, reading: Reading) -> dict[str, Any]:
        """Return the Email object of a message whose octets have been read as far as needed."""
        row = reading.row
        found: dict[str, Any] = {key: value(row) for key, value in self._row}
        if self._meta:
            meta = reading.meta
            for key, read in self._meta:
                found[key] = read(meta)
        for key in self._body:
            if key == "bodyStructure":
                found[key] = self._structure(reading, reading.meta.root)
            else:
                found[key] = [self._show_part(reading, part) for part in _list_of(reading.lists, key)]
        if self.wants_body_values:
            found["bodyValues"] = reading.body_values
        if reading.header is not None:
            if self.wants_headers:
                found["headers"] = header_list(reading.header)
            for wanted in self._headers:
                found[wanted.key] = header_value(reading.header, wanted)
        return found

    def _show_part(self, reading: Reading, part: Part) -> dict[str, Any]:
        blob = reading.parts_of_blob or ids.blob_id(reading.row.message_id)
        found = {key: value(blob, part) for key, value in self._part}
        if self._sub_parts:
            found["subParts"] = None
        headers = reading.part_headers.get(part.header_start)
        if headers is not None:
            if self._part_header_list:
                found["headers"] = header_list(headers)
            for wanted in self._part_headers:
                found[wanted.key] = header_value(headers, wanted)
        return found

    def _structure(self, reading: Reading, part: Part) -> dict[str, Any]:
        # RFC 8621 §4.1.4: a message within a message is a leaf
        found = self._show_part(reading, part)
        if part.is_multipart:
            found["subParts"] = [self._structure(reading, child) for child in part.parts]
        return found


def _list_of(lists: BodyLists, key: str) -> list[Part]:
    if key == "textBody":
        return lists.text_body
    return lists.html_body if key == "htmlBody" else lists.attachments


def is_known_property(key: str) -> bool:
    """Whether an Email has such a property (RFC 8621 §4.1)."""
    return key in _KNOWN or parse_header_property(key) is not None


def is_known_part_property(key: str) -> bool:
    """Whether an EmailBodyPart has such a property (RFC 8621 §4.1.4)."""
    return key in _PART or key in {"headers", "subParts"} or parse_header_property(key) is not None
