"""TNEF, the `winmail.dat` of Outlook and Exchange: a message's body and attachments in one part ([MS-OXTNEF]).

`read_tnef` takes any octets and never raises: what is cut off or damaged is read as far as it goes. Attributes are passed over
once, forwards; a message within a message is read in place. Checksums are not looked at, since real senders get them wrong.
"""

from __future__ import annotations

import re
import struct
from pathlib import PurePath

import msgspec

from petitbleu_mail.charsets import decode
from petitbleu_mail.compressed_rtf import decompress_rtf
from petitbleu_mail.mapi_properties import PropertyLists, Value, codec_of

# Messages within each other
MAX_DEPTH = 5
# Attachments of one stream, those of messages within it included
MAX_ATTACHMENTS = 500
# Attributes looked at of one stream: a message has about twenty, an attachment six
MAX_ATTRIBUTES = 10_000
MAX_NAME = 1000

_SIGNATURE = 0x223E9F78
_SIGNED = struct.Struct("<IH")
_ATTRIBUTE = struct.Struct("<BHHI")  # level, id, type, length; a checksum of two octets is behind the data
_RENDERING, _ATTACHMENT, _PROPERTIES = 0x9002, 0x9005, 0x9003
_DATA, _TITLE, _TRANSPORT_NAME, _SUBJECT, _CLASS, _BODY, _CODEPAGE = (
    0x800F,
    0x8010,
    0x9001,
    0x8004,
    0x8008,
    0x800C,
    0x9007,
)
# [MS-OXPROPS]: PidTag…
_P_CLASS, _P_SUBJECT, _P_BODY, _P_RTF, _P_HTML, _P_ID, _P_CODEPAGE = (
    0x001A,
    0x0037,
    0x1000,
    0x1009,
    0x1013,
    0x1035,
    0x3FDE,
)
_P_SENDER, _P_SENDER_ADDRESS, _P_SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_OF_MESSAGE = frozenset(
    {_P_CLASS, _P_SUBJECT, _P_BODY, _P_RTF, _P_HTML, _P_ID, _P_CODEPAGE, _P_SENDER, _P_SENDER_ADDRESS, _P_SENDER_SMTP}
)
_P_NAME, _P_DATA, _P_SHORT, _P_LONG, _P_TYPE, _P_CID, _P_LOCATION, _P_HIDDEN = (
    0x3001, 0x3701, 0x3704, 0x3707, 0x370E, 0x3712, 0x3713, 0x7FFE,
)  # fmt: skip
_OF_ATTACHMENT = frozenset({_P_NAME, _P_DATA, _P_SHORT, _P_LONG, _P_TYPE, _P_CID, _P_LOCATION, _P_HIDDEN})
# [MS-OXTNEF], PropObject: what an embedded object is comes before it
_IID_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")
_IID_STORAGES = frozenset(bytes.fromhex(f"{n}00000000000000c000000000000046") for n in ("0b", "0c"))
_IID_SIZE = 16

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_TYPES = {
    "avi": "video/x-msvideo", "bmp": "image/bmp", "csv": "text/csv", "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "eml": "message/rfc822", "gif": "image/gif",
    "htm": "text/html", "html": "text/html", "ics": "text/calendar", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet", "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf", "png": "image/png", "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", "rtf": "application/rtf",
    "tif": "image/tiff", "tiff": "image/tiff", "txt": "text/plain", "vcf": "text/vcard", "wav": "audio/wav", "webp": "image/webp",
    "xls": "application/vnd.ms-excel", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml", "zip": "application/zip",
}  # fmt: skip


class TnefAttachment(msgspec.Struct):
    """A file, or a message within the message: `message`, which is not written as RFC 5322 has it, and no `data`.

    `type` is what the sender said, else what the name's ending says, else application/octet-stream.
    """

    name: str | None = None
    type: str = "application/octet-stream"
    data: bytes = b""
    cid: str | None = None
    location: str | None = None
    is_hidden: bool = False
    message: TnefMessage | None = None


class TnefMessage(msgspec.Struct):
    """A message as it is in TNEF. Bodies are None where there are none; `rtf` is decompressed.

    `is_damaged` says that something was missing, wrong or beyond a limit.
    """

    subject: str | None = None
    message_class: str | None = None
    message_id: str | None = None
    sender_name: str | None = None
    sender_address: str | None = None
    text: str | None = None
    html: str | None = None
    rtf: bytes | None = None
    attachments: list[TnefAttachment] = []
    is_damaged: bool = False


def read_tnef(data: bytes) -> TnefMessage | None:
    """Return the message in a TNEF stream; None when the octets are no TNEF at all."""
    if len(data) < _SIGNED.size or _SIGNED.unpack_from(data)[0] != _SIGNATURE:
        return None
    return _Stream(data).message(0, len(data), 0)


class _Stream:
    """One blob; its counters hold for the messages within it, too."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.lists = PropertyLists(blob)
        self.attributes = 0
        self.attachments = 0

    def message(self, start: int, end: int, depth: int) -> TnefMessage:
        """Read the stream at `start:end`, whose signature is known to be right."""
        return _MessageReader(self, depth).read(start + _SIGNED.size, end)


class _MessageReader:
    def __init__(self, stream: _Stream, depth: int) -> None:
        self.stream = stream
        self.blob = stream.blob
        self.depth = depth
        self.found = TnefMessage()
        self.attachment: TnefAttachment | None = None
        self.charset = "cp1252"

    def read(self, at: int, end: int) -> TnefMessage:
        """Go over the attributes ([MS-OXTNEF], TNEF stream)."""
        while at + _ATTRIBUTE.size < end:
            level, name, _, length = _ATTRIBUTE.unpack_from(self.blob, at)
            start = at + _ATTRIBUTE.size
            stop = min(start + length, end)
            self.stream.attributes += 1
            if level not in {1, 2} or self.stream.attributes > MAX_ATTRIBUTES:
                self.found.is_damaged = True
                break
            if start + length > end:
                self.found.is_damaged = True
            if level == 1:
                self._of_message(name, start, stop)
            else:
                self._of_attachment(name, start, stop)
            at = stop + 2
        return self.found

    def _of_message(self, name: int, start: int, end: int) -> None:
        found = self.found
        if name == _PROPERTIES:
            self._message_properties(start, end)
        elif name == _CODEPAGE:
            self.charset = codec_of(int.from_bytes(self.blob[start : start + 4], "little"))
        elif name == _SUBJECT:
            found.subject = found.subject or self._text(start, end)
        elif name == _CLASS:
            found.message_class = found.message_class or self._text(start, end)
        elif name == _BODY:
            found.text = found.text or self._text(start, end)

    def _text(self, start: int, end: int) -> str | None:
        return decode(self.blob[start:end], self.charset)[0].partition("\0")[0] or None

    def _message_properties(self, start: int, end: int) -> None:
        values, wrong = self.stream.lists.read(start, end, _OF_MESSAGE, self.charset)
        found = self.found
        found.is_damaged |= wrong
        found.subject = _string(values, _P_SUBJECT) or found.subject
        found.message_class = _string(values, _P_CLASS) or found.message_class
        found.message_id = _string(values, _P_ID)
        found.sender_name = _string(values, _P_SENDER)
        found.sender_address = _string(values, _P_SENDER_SMTP) or _string(values, _P_SENDER_ADDRESS)
        found.text = _string(values, _P_BODY) or found.text
        html = values.get(_P_HTML)
        if isinstance(html, tuple):
            codepage = values.get(_P_CODEPAGE)
            octets = self.blob[html[0] : html[1]]
            found.html = (
                decode(octets, codec_of(codepage) if isinstance(codepage, int) else None)[0].rstrip("\0") or None
            )
        else:
            found.html = _string(values, _P_HTML)
        rtf = values.get(_P_RTF)
        if isinstance(rtf, tuple):
            found.rtf, wrong = decompress_rtf(self.blob[rtf[0] : rtf[1]])
            found.is_damaged |= wrong

    def _of_attachment(self, name: int, start: int, end: int) -> None:
        if name == _RENDERING or self.attachment is None:  # [MS-OXTNEF], attAttachRendData: it begins an attachment
            self.stream.attachments += 1
            self.attachment = TnefAttachment()
            if self.stream.attachments <= MAX_ATTACHMENTS:
                self.found.attachments.append(self.attachment)
            else:
                self.found.is_damaged = True
        attachment = self.attachment
        if self.stream.attachments > MAX_ATTACHMENTS:
            return
        if name == _DATA:
            attachment.data = self.blob[start:end]
        elif name in {_TITLE, _TRANSPORT_NAME}:
            attachment.name = attachment.name or _file_name(self._text(start, end))
            attachment.type = _type_of(None, attachment)
        elif name == _ATTACHMENT:
            self._attachment_properties(attachment, start, end)

    def _attachment_properties(self, attachment: TnefAttachment, start: int, end: int) -> None:
        values, wrong = self.stream.lists.read(start, end, _OF_ATTACHMENT, self.charset)
        self.found.is_damaged |= wrong
        best = _string(values, _P_LONG) or _string(values, _P_SHORT) or attachment.name or _string(values, _P_NAME)
        attachment.name = _file_name(best)
        attachment.cid = _string(values, _P_CID)
        attachment.location = _string(values, _P_LOCATION)
        attachment.is_hidden = values.get(_P_HIDDEN) == 1
        data = values.get(_P_DATA)
        if isinstance(data, tuple):
            self._object(attachment, *data)
        attachment.type = _type_of(_string(values, _P_TYPE), attachment)

    def _object(self, attachment: TnefAttachment, start: int, end: int) -> None:
        """Take what is attached from PidTagAttachDataObject: a message, or an object of another program."""
        inner = start + _IID_SIZE
        if self.blob[start:inner] != _IID_MESSAGE:
            is_storage = self.blob[start:inner] in _IID_STORAGES
            attachment.data = attachment.data or self.blob[inner if is_storage else start : end]
        elif self.depth + 1 >= MAX_DEPTH or self.blob[inner : inner + 4] != _SIGNATURE.to_bytes(4, "little"):
            attachment.data = self.blob[inner:end]
            self.found.is_damaged = True
        else:
            attachment.data = b""  # so far it is a picture of the message
            attachment.message = self.stream.message(inner, end, self.depth + 1)


def _string(values: dict[int, Value], name: int) -> str | None:
    value = values.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _file_name(name: str | None) -> str | None:
    """Return a name without folders and controls, which a stranger has no say in."""
    return _CONTROLS.sub(" ", _FOLDERS.sub("", name)).strip()[:MAX_NAME] or None if name else None


def _type_of(said: str | None, attachment: TnefAttachment) -> str:
    if attachment.message is not None:
        return "message/rfc822"
    if said and _MEDIA_TYPE.fullmatch(said.lower()):
        return said.lower()
    suffix = PurePath(attachment.name).suffix if attachment.name else ""
    return _TYPES.get(suffix[1:].lower(), "application/octet-stream")
