"""What a feedback report says (RFC 5965), and whether its author signed it: pure, bounded, never raising."""

from __future__ import annotations

from typing import Final, NamedTuple

from petitbleu_mail.auth.resolver import ascii_domain
from petitbleu_mail.auth.results import parse_results
from petitbleu_mail.feedback_report import read_feedback
from petitbleu_mail.header_values import to_text
from petitbleu_mail.headers import scan_headers, unfold
from petitbleu_mail.reports import find_report
from petitbleu_mail.transfer import decode_transfer

_KIND: Final = "feedback-report"
_REPORT_OCTETS: Final = 64 << 10
_FRIENDLY: Final = frozenset({"not-spam"})
"""RFC 6430: that the message was wanted is no complaint."""


class Feedback(NamedTuple):
    """A complaint: its type, the senders of the envelope that the report tells, and the recipients that it names."""

    kind: str
    senders: tuple[str, ...]
    recipients: tuple[str, ...]


def read_report(octets: bytes) -> Feedback | None:
    """Return what a mail complains of, None when it is no complaint."""
    report = find_report(octets)
    if report is None or report.kind != _KIND:
        return None
    part = report.machine
    content, _ = decode_transfer(octets[part.body_start : part.body_end][: 2 * _REPORT_OCTETS], part.encoding)
    found = read_feedback(content[:_REPORT_OCTETS])
    if found is None or found.feedback_type in _FRIENDLY:
        return None
    senders = [found.original_mail_from]
    if report.original is not None:
        original = report.original
        inner, _ = decode_transfer(
            octets[original.body_start : original.body_end][: 2 * _REPORT_OCTETS], original.encoding
        )
        path = scan_headers(inner[:_REPORT_OCTETS]).first(b"return-path")
        senders.append(to_text(unfold(path or b"")).strip().removeprefix("<").removesuffix(">"))
    return Feedback(found.feedback_type, tuple(one for one in senders if one), found.original_rcpt_to)


def signed_by_author(octets: bytes, own_name: str, author: str) -> bool:
    """Whether our own words on a mail say that a DKIM signature of its author's domain, or of one above or below, holds.

    Ours is the first field (RFC 8601 §5): what others write of our name is removed as the mail comes in.
    """
    value = scan_headers(octets).first(b"authentication-results")
    said = None if value is None else parse_results(value)
    domain = ascii_domain(author.rpartition("@")[2])
    if said is None or not domain or said.authserv_id.lower() != own_name.lower():
        return False
    return any(
        _aligned(ascii_domain(one.get("header", "d") or ""), domain)
        for one in said.results
        if one.method == "dkim" and one.result == "pass"
    )


def _aligned(signer: str, domain: str) -> bool:
    if "." not in signer or "." not in domain:
        return False
    return signer == domain or domain.endswith("." + signer) or signer.endswith("." + domain)
