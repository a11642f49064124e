"""The header of a draft (RFC 8621 §4.6): the fields that the Email object's own properties set, and those that every message has."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from petitbleu_gateway.domain.header_forms import parse_header_property
from petitbleu_gateway.domain.header_writing import BadValueError, fold, write_field, write_property
from petitbleu_gateway.errors import Invalid, invalid

# RFC 8621 §4.1.3: property → field and form
CONVENIENT: Final = {
    "messageId": ("Message-ID", "MessageIds"), "inReplyTo": ("In-Reply-To", "MessageIds"),
    "references": ("References", "MessageIds"), "sender": ("Sender", "Addresses"), "from": ("From", "Addresses"),
    "to": ("To", "Addresses"), "cc": ("Cc", "Addresses"), "bcc": ("Bcc", "Addresses"),
    "replyTo": ("Reply-To", "Addresses"), "subject": ("Subject", "Text"), "sentAt": ("Date", "Date"),
}  # fmt: skip

_FIRST: Final = ("date", "message-id", "from", "to", "cc", "subject")


def write_header(email: Mapping[str, Any], domain: str, now: datetime, wrong: Invalid) -> tuple[bytes, set[str]]:
    """Write the message's own fields; return them, and the names in lower case of those that the client set.

    Args:
        email: The Email object.
        domain: Where a Message-ID of ours belongs.
        now: The instant for Date.
        wrong: Takes what is invalid.
    """
    written: dict[str, bytes] = {}
    for key, value in email.items():
        if key in CONVENIENT or key.startswith("header:"):
            with wrong:
                _add_field(written, key, value)
    names = set(written)
    elsewhere = _fields_of(root_part(email))
    if not written.get("message-id") and "message-id" not in elsewhere:
        written["message-id"] = fold("Message-ID", [f"<{secrets.token_hex(16)}@{domain}>"])
    if not written.get("date") and "date" not in elsewhere:
        written["date"] = fold("Date", [format_datetime(now.astimezone(UTC))])
    if not written.get("mime-version"):
        written["mime-version"] = b"MIME-Version: 1.0\r\n"
    first = [written.pop(name) for name in _FIRST if name in written]
    return b"".join([*first, *written.values()]), names


def _add_field(written: dict[str, bytes], key: str, value: Any) -> None:
    """Write the field that a property of the Email object sets; one that is null sets none, but stands for its field."""
    if key in CONVENIENT:
        name, form = CONVENIENT[key]
        field_name = name.lower()
        wanted = None
    else:
        wanted = parse_header_property(key)
        # RFC 8621 §4.6: Content-* belongs to parts; forms that a field may not have are refused
        if wanted is None or wanted.field.startswith("content-"):
            raise invalid(key)
        field_name = wanted.field
    if field_name in written:  # RFC 8621 §4.6: one property a field, whatever its letters' case
        raise invalid(key, why="the field is set twice")
    try:
        if value is None:
            written[field_name] = b""
        elif wanted is None:
            written[field_name] = write_field(name, form, value)
        else:
            written[field_name] = write_property(wanted, value)
    except BadValueError:
        raise invalid(key) from None


def root_part(email: Mapping[str, Any]) -> Any:
    """Return the part whose fields are the message's own: the root of the structure, or a text that stands alone; else None."""
    if "bodyStructure" in email:
        return email["bodyStructure"]
    lists = [email[key] for key in ("textBody", "htmlBody", "attachments") if email.get(key)]
    alone = len(lists) == 1 and not email.get("attachments") and isinstance(lists[0], list) and len(lists[0]) == 1
    return lists[0][0] if alone else None


def _fields_of(part: Any) -> set[str]:
    """Return the fields, in lower case, that a part sets by `header:…`: those of the root are the message's own."""
    keys = part if isinstance(part, dict) else ()
    return {wanted.field for key in keys if (wanted := parse_header_property(key)) is not None}
