"""Delivery status notifications (RFC 3464): the machine's part of "it could not be delivered", read and written.

The part's type is message/delivery-status, or message/global-delivery-status where it is not ASCII (RFC 6533 §4).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import msgspec

from petitbleu_mail import report_fields
from petitbleu_mail.header_values import SentAt, as_date
from petitbleu_mail.report_fields import Fields, Typed

TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})  # RFC 3464 §2.3.3
MAX_RECIPIENTS = 1000
MAX_EXTENSIONS = 100
_OF_MESSAGE = frozenset({"original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date"})
_OF_RECIPIENT = frozenset(
    {
        "original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date",
        "final-log-id", "will-retry-until",
    }
)  # fmt: skip
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463 §2
_WORD = re.compile(r"[a-z]{1,20}")


class RecipientStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the message for one recipient (RFC 3464 §2.3). `action` is in lower case."""

    final_recipient: Typed
    action: str
    status: str
    original_recipient: Typed | None = None
    remote_mta: Typed | None = None
    diagnostic_code: Typed | None = None
    last_attempt: SentAt | None = None
    final_log_id: str | None = None
    will_retry_until: SentAt | None = None
    extensions: tuple[tuple[str, str], ...] = ()


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A whole report (RFC 3464 §2.2): the fields of the message, and a group for each recipient."""

    reporting_mta: Typed | None
    recipients: tuple[RecipientStatus, ...]
    original_envelope_id: str | None = None
    gateway: Typed | None = None
    received_from: Typed | None = None
    arrival: SentAt | None = None
    extensions: tuple[tuple[str, str], ...] = ()


def read_delivery_status(data: bytes) -> DeliveryStatus | None:
    """Return the report that a part's content is, None when it says of no recipient what became of it.

    Recipients whose group lacks a recipient, an action or a status (RFC 3464 §2.3) are left out. A report without the group of the
    message, which RFC 3464 §2.2 asks for, is read all the same.
    """
    found = report_fields.groups(data, MAX_RECIPIENTS + 1)
    recipients = tuple(one for fields in found if (one := _recipient(fields)) is not None)
    if not recipients:
        return None
    message = found[0]
    if message.text("final-recipient") is not None and message.text("reporting-mta") is None:
        return DeliveryStatus(reporting_mta=None, recipients=recipients)
    return DeliveryStatus(
        reporting_mta=message.typed("reporting-mta"),
        recipients=recipients,
        original_envelope_id=message.text("original-envelope-id"),
        gateway=message.typed("dsn-gateway"),
        received_from=message.typed("received-from-mta"),
        arrival=_date(message, "arrival-date"),
        extensions=message.others(_OF_MESSAGE | _OF_RECIPIENT)[:MAX_EXTENSIONS],
    )


def _recipient(fields: Fields) -> RecipientStatus | None:
    final, action = fields.typed("final-recipient"), fields.word("action")
    status = _STATUS.match(fields.word("status") or "")
    if final is None or action is None or status is None or not _WORD.fullmatch(action):
        return None
    return RecipientStatus(
        final_recipient=final,
        action=action,
        status=status[0],
        original_recipient=fields.typed("original-recipient"),
        remote_mta=fields.typed("remote-mta"),
        diagnostic_code=fields.typed("diagnostic-code"),
        last_attempt=_date(fields, "last-attempt-date"),
        final_log_id=fields.text("final-log-id"),
        will_retry_until=_date(fields, "will-retry-until"),
        extensions=fields.others(_OF_RECIPIENT | _OF_MESSAGE)[:MAX_EXTENSIONS],
    )


def _date(fields: Fields, name: str) -> SentAt | None:
    text = fields.text(name)
    return None if text is None else as_date(text.encode())


def write_delivery_status(report: DeliveryStatus) -> bytes:
    """Return the content of the part.

    Raises:
        ValueError: for values that would not be read as they are, and a report that says nothing (RFC 3464 §2.2.2, §2.3).
    """
    if report.reporting_mta is None or not 1 <= len(report.recipients) <= MAX_RECIPIENTS:
        raise ValueError("a report says who reports, and of whom")
    groups = [
        report_fields.write_fields(
            ("Original-Envelope-Id", report.original_envelope_id),
            ("Reporting-MTA", report.reporting_mta.text),
            ("DSN-Gateway", _text(report.gateway)),
            ("Received-From-MTA", _text(report.received_from)),
            ("Arrival-Date", _date_text(report.arrival)),
            *_extensions(report.extensions),
        ),
        *(_write_recipient(one) for one in report.recipients),
    ]
    return b"\r\n".join(groups)


def _write_recipient(one: RecipientStatus) -> bytes:
    if one.action not in ACTIONS or not _STATUS.fullmatch(one.status):
        raise ValueError("no such action or status")
    return report_fields.write_fields(
        ("Original-Recipient", _text(one.original_recipient)),
        ("Final-Recipient", one.final_recipient.text),
        ("Action", one.action),
        ("Status", one.status),
        ("Remote-MTA", _text(one.remote_mta)),
        ("Diagnostic-Code", _text(one.diagnostic_code)),
        ("Last-Attempt-Date", _date_text(one.last_attempt)),
        ("Final-Log-ID", one.final_log_id),
        ("Will-Retry-Until", _date_text(one.will_retry_until)),
        *_extensions(one.extensions),
    )


def _extensions(extensions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if any(name.lower() in _OF_MESSAGE | _OF_RECIPIENT for name, _ in extensions):
        raise ValueError("an extension has a name of its own")
    return extensions


def _text(typed: Typed | None) -> str | None:
    return None if typed is None else typed.text


def _date_text(sent: SentAt | None) -> str | None:
    if sent is None:
        return None
    zone = timezone(timedelta(minutes=sent.offset)) if sent.offset else UTC
    return format_datetime(datetime.fromtimestamp(sent.seconds, tz=zone))
