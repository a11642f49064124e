"""What all sessions of a worker share."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from petitbleu_ingest.config import IngestSettings, networks
from petitbleu_ingest.domain.message import KeyMaker
from petitbleu_ingest.judging.judge import Judge
from petitbleu_ingest.ports import Store
from petitbleu_ingest.service.acceptance import Acceptance
from petitbleu_ingest.service.admission import Admission
from petitbleu_ingest.service.memory import ByteBudget
from petitbleu_ingest.service.recipients import RecipientBook
from petitbleu_ingest.smtp.instant import Instant
from petitbleu_ingest.smtp.message_log import MessageLog
from petitbleu_ingest.smtp.tls import Certificate
from petitbleu_mail.auth.forged import OwnNames
from petitbleu_mail.future_release import MAX_HOLD_SECONDS

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger
    from petitbleu_ingest.smtp.submission import Submission

# One read from a socket; the buffer is shared, since a read is copied out before the next begins.
READ_OCTETS: Final = 64 << 10


@dataclass(slots=True)
class Door:
    """The worker's settings, use cases and open sessions."""

    settings: IngestSettings
    store: Store
    recipients: RecipientBook
    acceptance: Acceptance
    admission: Admission
    budget: ByteBudget
    certificate: Certificate
    log: MessageLog
    keys: KeyMaker
    loop: asyncio.AbstractEventLoop
    hostname: str
    own_names: OwnNames
    judge: Judge | None = None
    submission: Submission | None = None
    tracing: bool = False
    draining: bool = False
    sessions: set[MailExchanger] = field(default_factory=set)
    buffer: bytearray = field(default_factory=lambda: bytearray(READ_OCTETS))
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    instant: Instant = field(default_factory=Instant)
    greeting: bytes = b""
    helo_reply: bytes = b""

    def __post_init__(self) -> None:
        """Prepare the replies that never change."""
        # RFC 5321 §3.1, §4.3.1: the greeting begins with our name
        self.greeting = f"220 {self.hostname} ESMTP\r\n".encode()
        self.helo_reply = f"250 {self.hostname}\r\n".encode()
        if self.settings.proxy_protocol:
            self.proxies = networks(self.settings.proxy_trusted)

    def tls_context(self) -> ssl.SSLContext | None:
        """Context for the next handshake; None when TLS is not offered."""
        return self.certificate.context

    def is_proxy(self, address: str) -> bool:
        """Whether a peer must begin with a PROXY header."""
        if not self.proxies:
            return False
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self.proxies)

    def ehlo_reply(self, *, tls: bool, address: str = "", end_point: bytes = b"") -> bytes:
        """Reply to EHLO (RFC 5321 §4.1.1.1).

        `tls` says whether the session is under TLS already, `address` is the client's, `end_point` what an exchange can be bound to.
        """
        settings = self.settings
        words = [
            self.hostname,
            "PIPELINING",  # RFC 2920
            f"SIZE {settings.smtp_message_size}",  # RFC 1870
            "8BITMIME",  # RFC 6152
            "SMTPUTF8",  # RFC 6531
            "CHUNKING",  # RFC 3030
            "DSN",  # RFC 3461
            "ENHANCEDSTATUSCODES",  # RFC 2034
            f"LIMITS MAILMAX={settings.smtp_messages} RCPTMAX={settings.smtp_recipients}",  # RFC 9422
            "HELP",
        ]
        if self.submission is not None:
            mechanisms = self.submission.mechanisms(address, tls=tls, end_point=end_point)
            latest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + MAX_HOLD_SECONDS))
            words.insert(-1, f"FUTURERELEASE {MAX_HOLD_SECONDS} {latest}")  # RFC 4865 §3
            if mechanisms:  # RFC 4954 §3
                words.insert(-1, " ".join(("AUTH", *mechanisms)))
        # RFC 3207 §4.2: not offered once it is active
        if not tls and self.certificate.context is not None:
            words.insert(-1, "STARTTLS")
        return b"".join([b"250%c%b\r\n" % (b" " if word is words[-1] else b"-", word.encode()) for word in words])
