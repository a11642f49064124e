"""The mail that carries a DMARC aggregate report: a line for people, and the report in gzip (RFC 9990)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256

from petitbleu_mail.auth.dmarc_report import AggregateReport

_LINE = 76  # RFC 2045 §6.8


def report_mail(report: AggregateReport, sender: str, to: str, receiver: str, now: datetime) -> bytes:
    """Return the message. `receiver` is the domain in whose name we report; addresses are ASCII."""
    packed = base64.b64encode(report.packed())
    boundary = "=_" + sha256(report.report_id.encode()).hexdigest()[:32]
    name = report.file_name(receiver)
    begin, end = [datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%d %H:%M:%S") for one in (report.begin, report.end)]
    head = [
        f"From: <{sender}>",
        f"To: <{to}>",
        f"Subject: {report.subject(receiver)}",
        f"Date: {format_datetime(now.astimezone(UTC))}",
        f"Message-ID: <{sha256((report.report_id + to).encode()).hexdigest()[:32]}@{receiver}>",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/mixed; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"DMARC aggregate report for {report.domain}, from {begin} to {end} UTC.",
        f"--{boundary}",
        f'Content-Type: application/gzip; name="{name}"',
        f'Content-Disposition: attachment; filename="{name}"',
        "Content-Transfer-Encoding: base64",
        "",
    ]
    lines = [packed[at : at + _LINE] for at in range(0, len(packed), _LINE)]
    return b"\r\n".join([*[line.encode("ascii") for line in head], *lines, f"--{boundary}--".encode(), b""])
