"""JMAP ids (RFC 8620 §1.2) of ours: a letter that says what it is, then a number of the account.

Whatever a client sends that is none of these simply names nothing: `None`, never an error.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_SECTION: Final = r"-[1-9][0-9]{0,5}(?:_[1-9][0-9]{0,5}){0,99}"
_BLOB: Final = re.compile(rf"([BUC])([1-9][0-9]{{0,18}})((?:{_SECTION}){{0,5}})")
_MAX: Final = (1 << 63) - 1
_LONGEST: Final = 255
_FORM: Final = r"[A-Za-z0-9_-]{1,255}"
IdText = Annotated[str, Meta(pattern=rf"^{_FORM}\Z")]
"""Text that has the form of an Id (RFC 8620 §1.2), for what a client makes up: its creation ids."""


_ID: Final = re.compile(_FORM)


class BlobName(NamedTuple):
    """What a blob id names: a whole message, upload or script, one of a message's parts, or a part of a message within one of these.

    All but one of `message_id`, `upload_id` and `content_id` are 0. `part` is a section of the message that its record tells of; `within` are
    sections of messages that stand in a blob, each in the one before.
    """

    message_id: int
    upload_id: int
    part: str | None
    within: tuple[str, ...]
    content_id: int = 0


def is_id(text: str) -> bool:
    """Whether text has the form of an Id (RFC 8620 §1.2)."""
    return _ID.fullmatch(text) is not None


def _number(text: object, letter: str) -> int | None:
    if not isinstance(text, str) or text[:1] != letter or not _NUMBER.fullmatch(text, 1):
        return None
    number = int(text[1:])
    return number if number <= _MAX else None


def message_number(text: object) -> int | None:
    """Return the message that an Email id names."""
    return _number(text, "M")


def thread_number(text: object) -> int | None:
    """Return the thread that a Thread id names."""
    return _number(text, "T")


def mailbox_number(text: object) -> int | None:
    """Return the mailbox that a Mailbox id names."""
    return _number(text, "F")


def principal_number(text: object) -> int | None:
    """Return the account of the person that a Principal id names."""
    return _number(text, "P")


def submission_number(text: object) -> int | None:
    """Return the submission that an EmailSubmission id names."""
    return _number(text, "E")


def notification_number(text: object) -> int | None:
    """Return the notification that a ShareNotification id names."""
    return _number(text, "N")


def blob_name(text: object) -> BlobName | None:
    """Return what a blob id names."""
    found = _BLOB.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if found is None or int(found[2]) > _MAX:
        return None
    number = int(found[2])
    sections = tuple(found[3].replace("_", ".").split("-")[1:])
    if found[1] == "U":
        return BlobName(0, number, None, sections)
    if found[1] == "C":
        return BlobName(0, 0, None, sections, number)
    return BlobName(number, 0, sections[0] if sections else None, sections[1:])


def blob_id(message_id: int, part: str | None = None) -> str:
    """Return the blob id of a message or of one of its parts."""
    return f"B{message_id}{section_text(part)}" if part else f"B{message_id}"


def section_text(part: str) -> str:
    """Return what names a part behind the blob id of its message: an Id has no dots (RFC 8620 §1.2)."""
    return "-" + part.replace(".", "_")


def part_blob_id(begins: str, part: str) -> str:
    """Return the blob id of a part, from what the blob ids of the parts of its message begin with."""
    return begins + part.replace(".", "_") if begins.endswith("_") else begins + section_text(part)


def upload_blob_id(upload_id: int) -> str:
    """Return the blob id of an upload."""
    return f"U{upload_id}"


@functools.lru_cache(4096)
def account_id_text(account_id: int) -> str:
    """Return the JMAP id of an account: `a` and the base32 of its number (RFC 4648 §6, lower case, no padding)."""
    octets = account_id.to_bytes((account_id.bit_length() + 7) // 8 or 1, "big")
    return "a" + base64.b32encode(octets).rstrip(b"=").decode("ascii").lower()


def account_number(text: object) -> int | None:
    """Return the account that a JMAP account id names."""
    if not isinstance(text, str) or text[:1] != "a" or not 2 <= len(text) <= 14 or not text.isascii():
        return None
    body = text[1:].upper()
    try:
        number = int.from_bytes(base64.b32decode(body + "=" * (-len(body) % 8)), "big")
    except (binascii.Error, ValueError):
        return None
    return number if 0 < number <= _MAX and account_id_text(number) == text else None


def state_text(modseq: int) -> str:
    """Return the state that a modseq is (RFC 8620 §1.6.2); one log serves all types, so all share it."""
    return str(modseq)


def state_number(text: str) -> int | None:
    """Return the modseq that a state is, or None when it was never one of ours."""
    if text == "0":
        return 0
    return int(text) if _NUMBER.fullmatch(text) and int(text) <= _MAX else None
