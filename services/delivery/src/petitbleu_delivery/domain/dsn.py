"""Delivery status notifications as mail (RFC 3461 §6, RFC 3464): readable by people, in their language, and by machines.

Pure: who is told, and whether at all, is decided elsewhere (`service/outbound/notices.py`). Whatever servers answered and senders wrote,
a notice comes out, and nothing of it becomes a header field or a line of its own.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.header import Header
from enum import StrEnum
from typing import Final

import msgspec

from petitbleu_delivery.domain.dsn_texts import Texts, reason_of, texts_of
from petitbleu_delivery.domain.outbound import COMPLAINED, Answer
from petitbleu_mail.delivery_status import DeliveryStatus, RecipientStatus, write_delivery_status
from petitbleu_mail.encoded_words import decode_words
from petitbleu_mail.header_values import SentAt, to_text
from petitbleu_mail.headers import scan_headers, unfold
from petitbleu_mail.received import rfc5322_date
from petitbleu_mail.report_fields import Typed, recipient
from petitbleu_mail.reports import write_report
from petitbleu_mail.smtp_parameters import decode_xtext

MAX_HEADER: Final = 64 << 10
"""Octets of the original's header that come back at most."""
MAX_ORIGINAL: Final = 1 << 20
"""Octets of an original that comes back whole (RET=FULL) at most; of a larger one the header does (RFC 3461 §6.2 leaves it to us)."""
_MAX_SUBJECT: Final = 150
_MAX_WORD: Final = 400
_CONTROLS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_STATUS: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_CLASS: Final = {"failed": "5", "delayed": "4", "delivered": "2", "relayed": "2"}


class Action(StrEnum):
    """What a notice tells (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


class Concerned(msgspec.Struct, frozen=True):
    """A recipient of whom a notice tells: its mailbox, ORCPT as given (RFC 3461 §4.2) or empty, and what was answered."""

    address: str
    orcpt: str
    answer: Answer


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice is made of. Times are Unix seconds.

    Attributes:
        action: What it tells.
        language: BCP 47, of whom it is told.
        to: The envelope sender of the original.
        reporting_mta: Our host name; it is also the domain that the notice comes from.
        recipients: Of whom, at least one, at most 1,000.
        original: The original's octets, or the beginning of them with the header.
        full: Whether the original comes back whole where it is not too large.
        envid: ENVID of the original (RFC 3461 §4.4), or empty.
        arrived: When the original was accepted.
        now: When the notice is written.
        until: Until when it is tried, for one that is delayed.
        message_id: Of the notice, without angle brackets.
    """

    action: Action
    language: str
    to: str
    reporting_mta: str
    recipients: tuple[Concerned, ...]
    original: bytes
    full: bool = False
    envid: str = ""
    arrived: float
    now: float
    until: float = 0.0
    message_id: str


def delivery_notice(notice: Notice) -> bytes:
    """Return a notice as a message, CRLF ended; its envelope sender is the null path (RFC 3461 §6.1)."""
    texts = texts_of(notice.language)
    action = notice.action.value
    header = _header(notice.original)
    fields = {name.lower(): value for name, value in reversed(scan_headers(header).fields)}
    whole = notice.full and len(notice.original) <= MAX_ORIGINAL and len(header) < len(notice.original)
    body = write_report(
        "delivery-status", _text(notice, texts, _subject(fields)), write_delivery_status(_machine(notice)),
        notice.original if whole else header, header_only=not whole,
    )  # fmt: skip
    lines = [
        f"From: {_words(texts.sender)} <mailer-daemon@{notice.reporting_mta}>",
        f"To: <{_one_line(notice.to)}>",
        f"Subject: {_words(texts.subjects[action])}",
        f"Date: {rfc5322_date(datetime.fromtimestamp(notice.now, UTC))}",
        f"Message-ID: <{notice.message_id}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5: it answers a message, and nobody answers it
    ]
    answered = _MESSAGE_ID.search(to_text(unfold(fields.get(b"message-id", b"")[:1000])))
    if answered is not None:  # RFC 3834 §3.1.5: it stands with what it tells of
        lines += [f"In-Reply-To: {answered[0]}", f"References: {answered[0]}"]
    return "\r\n".join([*lines, ""]).encode("utf-8", "replace") + body


def _header(original: bytes) -> bytes:
    """Return the header with its last line end and without the empty line, cut at a line where it is very long."""
    end = original.find(b"\r\n\r\n")
    header = original[: end + 2] if end >= 0 else original
    if len(header) <= MAX_HEADER:
        return header
    return header[: header.rfind(b"\n", 0, MAX_HEADER) + 1]


def _subject(fields: dict[bytes, bytes]) -> str:
    text = _one_line(decode_words(to_text(unfold(fields.get(b"subject", b"")[:4000])).strip()), " ")
    return text if len(text) <= _MAX_SUBJECT else text[:_MAX_SUBJECT] + "…"


def _one_line(text: str, blank: str = "") -> str:
    return _CONTROLS.sub(blank, text.encode("utf-8", "replace").decode())


def _words(text: str) -> str:
    """Return a text as words of a header field (RFC 2047)."""
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=60).encode(linesep="\r\n")


def _status(action: str, enhanced: str) -> str:
    """Return a status code that goes with the action: an expired 4.4.7 has failed all the same (RFC 3463 §3.5)."""
    if not _STATUS.fullmatch(enhanced):
        return f"{_CLASS[action]}.0.0"
    if enhanced[0] == _CLASS[action] or (action == "failed" and enhanced[0] == "4"):
        return enhanced
    return _CLASS[action] + (enhanced[1:] if action in {"failed", "delayed"} and enhanced[0] != "2" else ".0.0")


def _text(notice: Notice, texts: Texts, subject: str) -> str:
    action = notice.action.value
    lines = [texts.about.format(subject=subject), ""] if subject else []
    lines += [texts.intros[action], ""]
    for one in notice.recipients:
        lines.append(f"  {_one_line(one.address)}")
        reply = one.answer.reply
        if notice.action in {Action.FAILED, Action.DELAYED}:
            until = _minute(one.answer.untried_until)
            if one.answer.untried_until and reply.enhanced == COMPLAINED:
                lines += ["  " + texts.complained.format(until=until), ""]
                continue
            lines.append(f"  {texts.reasons[reason_of(reply.enhanced)]}")
            said = _one_line(f"{reply.code or ''} {reply.enhanced} {reply.text}".strip(), " ")
            if reply.host:
                lines.append("  " + texts.said.format(host=_one_line(reply.host), text=said))
            if one.answer.untried_until:
                lines.append("  " + texts.untried.format(until=until))
        lines.append("")
    if notice.action is Action.DELAYED and notice.until:
        lines += [texts.until.format(until=_minute(notice.until)), ""]
    return "\n".join([*lines, texts.closing, ""])


def _machine(notice: Notice) -> DeliveryStatus:
    return DeliveryStatus(
        reporting_mta=Typed("dns", notice.reporting_mta),
        recipients=tuple(_recipient(notice, one) for one in notice.recipients),
        original_envelope_id=_field(notice.envid),
        arrival=SentAt(int(notice.arrived), 0),
    )


def _recipient(notice: Notice, one: Concerned) -> RecipientStatus:
    """Return the group of a recipient (RFC 3464 §2.3)."""
    action = notice.action.value
    reply = one.answer.reply
    diagnostic = None
    if reply.code and reply.host and (text := _field(f"{reply.code} {reply.enhanced} {reply.text}")) is not None:
        diagnostic = Typed("smtp", text)  # RFC 3464 §2.3.6: only what an SMTP server said
    return RecipientStatus(
        final_recipient=recipient(_field(one.address) or "unknown"),
        action=action,
        status=_status(action, reply.enhanced),
        original_recipient=_original(one.orcpt),
        remote_mta=Typed("dns", host) if (host := _field(reply.host)) is not None else None,
        diagnostic_code=diagnostic,
        last_attempt=SentAt(int(notice.now), 0),
        will_retry_until=SentAt(int(notice.until), 0) if notice.action is Action.DELAYED and notice.until else None,
    )


def _minute(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _field(text: str) -> str | None:
    """Return a text as the value of a field: one line, no word longer than a line may be; None for nothing."""
    words = _one_line(text, " ").split()
    return " ".join(word[:_MAX_WORD] if len(word.encode()) > _MAX_WORD else word for word in words) or None


def _original(orcpt: str) -> Typed | None:
    """Return the original recipient as its sender named it (RFC 3461 §6.3), None when it named none."""
    kind, semicolon, value = orcpt.partition(";")
    if not semicolon or not _ATOM.fullmatch(kind):
        return None
    decoded = decode_xtext(value.encode()) if value.isascii() else value
    text = _field(decoded or value)
    return None if text is None else Typed(kind.lower(), text)
