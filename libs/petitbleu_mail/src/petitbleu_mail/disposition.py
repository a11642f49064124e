"""Message disposition notifications (RFC 8098): the machine's part of "it was displayed", read and written.

The part's type is message/disposition-notification, or message/global-disposition-notification where it is not ASCII (RFC 6533 §4).
"""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail import report_fields
from petitbleu_mail.report_fields import Fields, Typed, without_comments

TYPES = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
MAX_ERRORS = 50
MAX_EXTENSIONS = 100
_KNOWN = frozenset(
    {
        "reporting-ua", "mdn-gateway", "original-recipient", "final-recipient", "original-message-id", "disposition", "error",
    }
)  # fmt: skip
# RFC 8098 §3.2.6
_DISPOSITION = re.compile(r"([a-z-]{1,64})\s*/\s*([a-z-]{1,64})\s*;\s*([a-z-]{1,64})\s*(?:/\s*(.*))?")
_MODIFIER = re.compile(r"[a-z0-9!#$%&'*+^_`{|}~.-]{1,64}")


class Disposition(msgspec.Struct, frozen=True):
    """What became of a message, in lower case (RFC 8098 §3.2.6)."""

    action_mode: str
    sending_mode: str
    type: str
    modifiers: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The value of the field."""
        modifiers = f"/{','.join(self.modifiers)}" if self.modifiers else ""
        return f"{self.action_mode}/{self.sending_mode}; {self.type}{modifiers}"


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a notification (RFC 8098 §3.1). `extensions` are names and values in order."""

    disposition: Disposition
    final_recipient: Typed | None = None
    original_recipient: Typed | None = None
    reporting_ua: str | None = None
    gateway: Typed | None = None
    original_message_id: str | None = None
    errors: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()


def read_disposition(text: str | None) -> Disposition | None:
    """Return what a Disposition field says, None when it says nothing that can be read."""
    found = _DISPOSITION.fullmatch(without_comments(text or "").lower())
    if found is None:
        return None
    modifiers = [word.strip() for word in (found[4] or "").split(",")]
    return Disposition(found[1], found[2], found[3], tuple(word for word in modifiers if _MODIFIER.fullmatch(word)))


def read_notification(data: bytes) -> Notification | None:
    """Return the notification that a part's content is, None for one without a Disposition field that can be read.

    RFC 8098 §3.1 asks for a Final-Recipient too; notifications without one are sent, and they say enough.
    """
    for fields in report_fields.groups(data, 1):
        disposition = read_disposition(fields.text("disposition"))
        if disposition is not None:
            return _notification(fields, disposition)
    return None


def _notification(fields: Fields, disposition: Disposition) -> Notification:
    return Notification(
        disposition=disposition,
        final_recipient=fields.typed("final-recipient"),
        original_recipient=fields.typed("original-recipient"),
        reporting_ua=fields.text("reporting-ua"),
        gateway=fields.typed("mdn-gateway"),
        original_message_id=fields.text("original-message-id"),
        errors=fields.every("error")[:MAX_ERRORS],
        extensions=fields.others(_KNOWN)[:MAX_EXTENSIONS],
    )


def write_notification(notification: Notification) -> bytes:
    """Return the content of the part.

    Raises:
        ValueError: for values that would not be read as they are, and extensions that pose as fields of the standard.
    """
    if notification.final_recipient is None:
        raise ValueError("RFC 8098 §3.2.4: a notification names its recipient")
    if any(name.lower() in _KNOWN for name, _ in notification.extensions):
        raise ValueError("an extension has a name of its own")
    if read_disposition(notification.disposition.text) != notification.disposition:
        raise ValueError("not a disposition")
    return report_fields.write_fields(
        ("Reporting-UA", notification.reporting_ua),
        ("MDN-Gateway", _text(notification.gateway)),
        ("Original-Recipient", _text(notification.original_recipient)),
        ("Final-Recipient", notification.final_recipient.text),
        ("Original-Message-ID", notification.original_message_id),
        ("Disposition", notification.disposition.text),
        *(("Error", text) for text in notification.errors),
        *notification.extensions,
    )


def _text(typed: Typed | None) -> str | None:
    return None if typed is None else typed.text
