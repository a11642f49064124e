"""The mails that carry reports: a line for people, and the report in gzip, of DMARC (RFC 9990) or of TLS (RFC 8460 §5.3)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256

from petitbleu_delivery.domain.tls_report import TlsReport
from petitbleu_mail.auth.dmarc_report import AggregateReport

_LINE = 76  # RFC 2045 §6.8


def report_mail(report: AggregateReport, sender: str, to: str, receiver: str, now: datetime) -> bytes:
    """Return the message. `receiver` is the domain in whose name we report; addresses are ASCII."""
    name = report.file_name(receiver)
    begin, end = [datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%d %H:%M:%S") for one in (report.begin, report.end)]
    return _mail(
        report.report_id, report.packed(), sender, to, receiver, now,
        fields=[f"Subject: {report.subject(receiver)}"],
        multipart="multipart/mixed",
        line=f"DMARC aggregate report for {report.domain}, from {begin} to {end} UTC.",
        attachment=[
            f'Content-Type: application/gzip; name="{name}"',
            f'Content-Disposition: attachment; filename="{name}"',
        ],
    )  # fmt: skip


def tls_report_mail(report: TlsReport, sender: str, to: str, reporter: str, now: datetime) -> bytes:
    """Return the message (RFC 8460 §5.3). `reporter` is the domain in whose name we report; addresses are ASCII."""
    name = report.file_name(reporter)
    return _mail(
        report.report_id, report.packed(), sender, to, reporter, now,
        fields=[
            f"Subject: {report.subject(reporter)}",
            f"TLS-Report-Domain: {report.domain}",
            f"TLS-Report-Submitter: {reporter}",
            # RFC 8460 §3: delivered despite any failure of TLS, of which it tells; RFC 8689 §5 says so to every server on its way
            "TLS-Required: No",
        ],
        multipart='multipart/report; report-type="tlsrpt"',
        line=f"Report of TLS with the servers of {report.domain}, from {report.begin:%Y-%m-%d %H:%M:%S} to {report.end:%Y-%m-%d %H:%M:%S} UTC.",
        attachment=["Content-Type: application/tlsrpt+gzip", f'Content-Disposition: attachment; filename="{name}"'],
    )  # fmt: skip


def _mail(
    report_id: str, packed: bytes, sender: str, to: str, by: str, now: datetime, *,
    fields: Sequence[str], multipart: str, line: str, attachment: Sequence[str],
) -> bytes:  # fmt: skip
    encoded = base64.b64encode(packed)
    boundary = "=_" + sha256(report_id.encode()).hexdigest()[:32]
    head = [
        f"From: <{sender}>",
        f"To: <{to}>",
        *fields,
        f"Date: {format_datetime(now.astimezone(UTC))}",
        f"Message-ID: <{sha256((report_id + to).encode()).hexdigest()[:32]}@{by}>",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: {multipart}; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        line,
        f"--{boundary}",
        *attachment,
        "Content-Transfer-Encoding: base64",
        "",
    ]
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return b"\r\n".join([*[one.encode("ascii") for one in head], *lines, f"--{boundary}--".encode(), b""])
