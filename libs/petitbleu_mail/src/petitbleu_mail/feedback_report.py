"""Feedback reports (RFC 5965, RFC 6650): the machine's part of "somebody called it spam", read.

The part's type is message/feedback-report.
"""

from __future__ import annotations

import re

import msgspec

from petitbleu_mail import report_fields
from petitbleu_mail.report_fields import without_comments

TYPES = frozenset({"message/feedback-report"})
MAX_RECIPIENTS = 100
_TYPE = re.compile(r"[a-z0-9-]{1,40}")


class FeedbackReport(msgspec.Struct, frozen=True):
    """A report: its type in lower case (RFC 5965 §3.5, §7.3), the envelope of the message where it is told (§3.2).

    Addresses are as written, without angle brackets and comments; they may be redacted (RFC 6590).
    """

    feedback_type: str
    original_mail_from: str = ""
    original_rcpt_to: tuple[str, ...] = ()


def read_feedback(data: bytes) -> FeedbackReport | None:
    """Return the report that a part's content is; None for one without a type (RFC 5965 §3.1). Never raises."""
    found = report_fields.groups(data, 1)
    if not found:
        return None
    fields = found[0]
    kind = fields.word("feedback-type")
    if kind is None or not _TYPE.fullmatch(kind):
        return None
    return FeedbackReport(
        kind,
        _address(fields.text("original-mail-from") or ""),
        tuple(_address(one) for one in fields.every("original-rcpt-to")[:MAX_RECIPIENTS]),
    )


def _address(text: str) -> str:
    return without_comments(text).strip().removeprefix("<").removesuffix(">").strip()
