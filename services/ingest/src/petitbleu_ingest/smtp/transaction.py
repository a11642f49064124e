"""A session and a mail transaction, in the vocabulary of aiosmtpd: `Session` and `Envelope` with what we add."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from aiosmtpd.smtp import Envelope, Session
from opentelemetry.trace import Span, SpanKind

from petitbleu_ingest.domain.message import Recipient
from petitbleu_kit.telemetry import tracer
from petitbleu_mail.smtp_grammar import Mail

if TYPE_CHECKING:
    from petitbleu_ingest.domain.submitter import Submitter
    from petitbleu_ingest.judging.findings import ClientFindings
    from petitbleu_ingest.judging.judgement import Judgement
    from petitbleu_ingest.smtp.submission import Exchange


class MxSession(Session):
    """What is known of the peer. `address` is its IP address, the proxy's word when there is one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.id = os.urandom(8).hex()
        self.address = ""
        self.cipher: str | None = None
        self.about_client: asyncio.Task[ClientFindings] | None = None
        self.submitter: Submitter | None = None
        self.exchange: Exchange | None = None
        self.failures = 0
        self.end_point = b""  # of the certificate that TLS began with
        self.stands_until = 0.0  # of the loop's clock

    def forget(self) -> None:
        """Forget what the client said before TLS (RFC 3207 §4.2)."""
        self.host_name = None
        self.extended_smtp = False
        self.submitter = None
        self.exchange = None


class Transaction(Envelope):
    """One mail transaction: the envelope, and where it stands."""

    def __init__(self, session: MxSession, mail: Mail, *, tracing: bool) -> None:
        super().__init__()
        self.session = session
        self.mail = mail
        self.mail_from = mail.sender.address if mail.sender is not None else ""
        self.smtp_utf8 = mail.smtputf8
        self.recipients: list[Recipient] = []
        self.queue_id = os.urandom(8).hex()
        self.begun = time.monotonic()
        self.judgement: Judgement | None = None
        self.span: Span | None = tracer().start_span("smtp.message", kind=SpanKind.SERVER) if tracing else None

    def add(self, recipient: Recipient) -> None:
        """Add a recipient; the same address a second time changes nothing."""
        if recipient.address not in self.rcpt_tos:
            self.rcpt_tos.append(recipient.address)
            self.recipients.append(recipient)

    @property
    def trace_id(self) -> str:
        """Trace id of the span, empty when there is none."""
        return f"{self.span.get_span_context().trace_id:032x}" if self.span is not None else ""

    @property
    def traceparent(self) -> str:
        """W3C traceparent of the span, empty when there is none."""
        if self.span is None:
            return ""
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, verdict: str, octets: int) -> None:
        """End the span, and ask nothing more."""
        if self.judgement is not None:
            self.judgement.cancel()
        if self.span is not None:
            self.span.set_attributes({"petitbleu.verdict": verdict, "petitbleu.octets": octets})
            self.span.end()
            self.span = None
