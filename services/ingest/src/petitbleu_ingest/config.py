"""Settings of ingest. Each limit names the clause of RFC 5321 or the Postfix parameter that it answers to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from petitbleu_ingest.judging.findings import Measure, PolicyRules
from petitbleu_kit.scanners.settings import ScannerSettings
from petitbleu_mail.auth.resolver import ascii_domain

SMTP_PORT = 2525
SUBMISSION_PORT = 2587
SUBMISSIONS_PORT = 2465
HEALTH_PORT = 2801
# RFC 5321 §4.5.3.1.8
MIN_RECIPIENTS = 100
MIB = 1 << 20


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read a comma-separated list of networks; raises ValueError for what is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def names(text: str) -> list[str]:
    """Read a comma-separated list of names."""
    return [part.strip() for part in text.split(",") if part.strip()]


class IngestSettings(ScannerSettings):
    """Settings of ingest, from `PETITBLEU_…`; times in seconds, sizes in octets."""

    smtp_host: str = Field("127.0.0.1", description="Address that the MX listens on.")
    smtp_port: int = Field(0, ge=0, le=65535, description="Port of the MX; 2525 + `port_offset` when 0.")
    smtp_hostname: str = Field("", description="Name said in greeting, EHLO and Received; this host's name when empty.")
    submission_port: int = Field(0, ge=-1, le=65535, description="Port of submission with STARTTLS (RFC 6409); 2587 + `port_offset` when 0, -1 for none.")  # fmt: skip
    submissions_port: int = Field(0, ge=-1, le=65535, description="Port of submission with TLS from the start (RFC 8314 §3.3); 2465 + `port_offset` when 0, -1 for none.")  # fmt: skip
    submission_login_seconds: float = Field(
        10, gt=0, description="Deadline of a login: a password is hashed meanwhile."
    )
    dev: bool = Field(
        False, description="Whether a client on this machine may log in without TLS; for development only."
    )
    ingest_workers: int = Field(1, ge=1, le=256, description="Processes on the port, by SO_REUSEPORT.")
    ingest_worker: int = Field(-1, description="Index of this worker; set by the supervising process, -1 otherwise.")
    ingest_supervisor: int = Field(0, description="Process id of the supervisor; a worker ends when it is gone.")

    tls_cert: Path | None = Field(None, description="PEM chain for STARTTLS (RFC 3207); none, none offered.")
    tls_key: Path | None = Field(None, description="PEM private key for STARTTLS.")
    tls_poll_seconds: float = Field(5, gt=0, description="How often the certificate files are looked at for a change.")
    tls_handshake_seconds: float = Field(30, gt=0, description="Time for a handshake. Postfix smtpd_starttls_timeout.")

    smtp_message_size: int = Field(
        50 * MIB, ge=64 << 10,
        description="Largest message. RFC 5321 §4.5.3.1.7 asks for 64K at least; Postfix message_size_limit is 10 MB; "
        "50 MiB is what large providers take. Announced by SIZE (RFC 1870), answered by 552 5.3.4.",
    )  # fmt: skip
    smtp_text_line: int = Field(
        MIB, ge=1000,
        description="Longest line in DATA, CRLF included. RFC 5321 §4.5.3.1.6 obliges us to take 1,000 and §4.5.3.1 asks "
        "for no limit where possible; mail with longer lines is common, and refusing it loses mail. Postfix's "
        "smtpd takes any length. This one only bounds what a reader of lines must hold. Answered by 550 5.6.0.",
    )  # fmt: skip
    smtp_header_size: int = Field(
        256 << 10, ge=64 << 10, le=512 << 10,
        description="Largest header. RFC 5321 has no figure; real ones have a few KiB. Postfix header_size_limit 102400, which cuts; "
        "here nothing is cut and all of it is read, so more is answered by 552 5.3.4.",
    )  # fmt: skip
    smtp_recipients: int = Field(
        1000, ge=MIN_RECIPIENTS,
        description="Recipients of one message; 100 at least (RFC 5321 §4.5.3.1.8), more are told 452 4.5.3 "
        "(§4.5.3.1.10). Postfix smtpd_recipient_limit 1000.",
    )  # fmt: skip
    smtp_received: int = Field(
        100, ge=1,
        description="Received fields of a message at most; more is a loop, 554 5.4.6. RFC 5321 §6.3: normally at least 100. "
        "Postfix hopcount_limit 50.",
    )  # fmt: skip
    smtp_errors: int = Field(
        20, ge=1, description="Bad commands in a session, then 421. Postfix smtpd_hard_error_limit 20."
    )
    smtp_junk_commands: int = Field(100, ge=1, description="NOOP, RSET, VRFY, HELP, EHLO without mail between, before they count as bad. Postfix smtpd_junk_command_limit 100.")  # fmt: skip
    smtp_unknown_recipients: int = Field(10, ge=1, description="Unknown recipients in a session before answers slow down. Postfix smtpd_soft_error_limit 10.")  # fmt: skip
    smtp_unknown_recipients_hard: int = Field(20, ge=1, description="Unknown recipients in a session, then 421 4.7.0. Postfix smtpd_hard_error_limit 20.")  # fmt: skip
    smtp_unknown_delay: float = Field(1, ge=0, description="First delay for an unknown recipient too many; it doubles, up to 30. Postfix smtpd_error_sleep_time 1.")  # fmt: skip
    smtp_messages: int = Field(10_000, ge=1, description="Messages in a session, then 421 4.7.0 at the next MAIL. Postfix has only rates for it; this bounds a session's life.")  # fmt: skip

    smtp_command_seconds: float = Field(300, gt=0, description="Wait for a command. RFC 5321 §4.5.3.2.7: at least 5 minutes. Postfix smtpd_timeout 300.")  # fmt: skip
    smtp_data_seconds: float = Field(180, gt=0, description="Wait for the next octets of a message. RFC 5321 §4.5.3.2.5: 3 minutes.")  # fmt: skip
    smtp_session_seconds: float = Field(3600, gt=0, description="Life of a session whatever it does. RFC 5321 has no figure; Postfix bounds requests (smtpd_per_request_deadline). An hour is 14 KiB/s for the largest message.")  # fmt: skip
    submission_standing_seconds: float = Field(60, ge=0, le=60, description="For how long it is believed that a login still stands; then accounts is asked at the next MAIL.")  # fmt: skip
    smtp_drain_seconds: float = Field(8, gt=0, description="Time that a message in transfer is given when the service stops.")  # fmt: skip
    smtp_sweep_seconds: float = Field(1, gt=0, description="How often time limits are looked at; their precision.")

    smtp_connections: int = Field(2000, ge=1, description="Sessions a worker, then 421 4.7.0 (4.3.2 in RFC 5321 §3.8 terms). Postfix default_process_limit 100, a process each.")  # fmt: skip
    smtp_connections_ip: int = Field(50, ge=1, description="Sessions of one client (IPv6: of one /64) a worker. Postfix smtpd_client_connection_count_limit 50.")  # fmt: skip
    smtp_rate_ip: int = Field(1200, ge=0, description="New sessions of one client a minute a worker; 0 for no limit. Postfix smtpd_client_connection_rate_limit, 0 there.")  # fmt: skip
    smtp_exempt: str = Field("127.0.0.0/8,::1", description="Networks free of the limits a client. Postfix smtpd_client_event_limit_exceptions, $mynetworks.")  # fmt: skip

    proxy_protocol: bool = Field(False, description="Whether `proxy_trusted` peers begin with a PROXY protocol v2 header. Postfix smtpd_upstream_proxy_protocol.")  # fmt: skip
    proxy_trusted: str = Field("", description="Networks of the proxies; others are taken as clients themselves.")
    proxy_seconds: float = Field(
        5, gt=0, description="Wait for the PROXY header. Postfix smtpd_upstream_proxy_timeout 5."
    )

    ingest_inline: int = Field(
        256 << 10, ge=1024, le=MIB, description="Largest body sent inside Accept; a larger one is staged."
    )
    ingest_inline_pressed: int = Field(
        64 << 10, ge=1024, description="The same, once half of `ingest_memory` is in use."
    )
    ingest_session_memory: int = Field(MIB, ge=512 << 10, description="Octets of a message held for one session.")
    ingest_memory: int = Field(
        64 * MIB, ge=MIB, description="Octets held for all sessions of a worker; then they wait."
    )
    ingest_memory_wait: float = Field(20, gt=0, description="Wait for memory, then the largest holders get 452 4.3.1.")

    ingest_batch_items: int = Field(64, ge=1, le=256, description="Messages in one Accept.")
    ingest_batch_octets: int = Field(8 * MIB, ge=MIB, le=8 * MIB, description="Octets of bodies in one Accept.")
    ingest_batches: int = Field(
        1, ge=1, description="Accept calls in flight; with one, the next batch gathers meanwhile."
    )
    ingest_linger_seconds: float = Field(
        0.005,
        ge=0,
        le=0.05,
        description="Wait of a batch for as many messages as the last one had; never of a lone one. A call costs half a "
        "millisecond whatever it carries, and a commit more.",
    )
    ingest_lookup_linger_seconds: float = Field(
        0.015,
        ge=0,
        le=0.05,
        description="The same of recipients that are looked up. Longer: no commit waits for it, and they come one after the other, "
        "as the messages before them are answered.",
    )
    ingest_accept_seconds: float = Field(
        30, gt=0, description="Deadline of Accept; RFC 5321 §4.5.3.2.6 gives 10 minutes."
    )
    ingest_stage_seconds: float = Field(60, gt=0, description="Time for store to finish a staged body.")
    ingest_mark_seconds: float = Field(
        0.2, ge=0, description="Wait for a batch that takes marks along; then they go alone."
    )
    ingest_lookup_seconds: float = Field(10, gt=0, description="Deadline of a recipient look-up.")
    ingest_cache_seconds: float = Field(60, gt=0, le=60, description="Longest life of a recipient's answer.")
    ingest_cache_unknown_seconds: float = Field(10, gt=0, le=60, description="The same for refusals, quota included.")
    ingest_cache_entries: int = Field(100_000, ge=1, description="Answers remembered; the oldest go first.")
    ingest_secret_file: Path | None = Field(None, description="Key of the idempotency HMAC, 32 octets or more, the same for all workers and hosts; derived from `identity_key` when unset.")  # fmt: skip

    ingest_judge: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether the senders of mail are judged (SPF, DKIM, DMARC, ARC); `auto`: when `dns` is set."
    )
    authserv_id: str = Field(
        "", description="Our name in Authentication-Results (RFC 8601 §2.5); `smtp_hostname` when empty."
    )
    authserv_ids: str = Field(
        "",
        description="Names, comma separated, of all other hosts of ours that write such fields: those of strangers in their name go.",
    )
    dmarc_report_from: str = Field("", description="Address from which delivery sends DMARC aggregate reports; without it nothing is counted for them.")  # fmt: skip
    judge_seconds: float = Field(20, gt=0, le=120, description="Time for the DNS about one message, its transfer not counted. RFC 7208 §4.6.4: at least 20.")  # fmt: skip
    judge_reject: Measure = Field(Measure.REFUSE, description="What is done with a message that fails DMARC where the owner's policy is `reject`: refuse (550 5.7.1), junk, none.")  # fmt: skip
    judge_quarantine: Measure = Field(Measure.JUNK, description="The same where it is `quarantine`.")
    arc_trusted: str = Field("", description="Domains, comma separated, whose ARC seals (RFC 8617) are believed: a whole chain of theirs overrides DMARC.")  # fmt: skip

    dnsbl: str = Field("", description="Block lists (RFC 5782), zones comma separated, that are asked for the client where mail is judged.")  # fmt: skip
    dnsbl_measure: Measure = Field(Measure.REFUSE, description="What is done with mail of a client that one of them has: refuse (550 5.7.1), junk, none.")  # fmt: skip
    greylist: Literal["on", "off"] = Field("off", description="Whether mail of which nothing is authenticated must come again (RFC 6647); needs judging and Redis.")  # fmt: skip
    greylist_seconds: int = Field(
        60, ge=1, le=3600, description="How long it must wait. RFC 6647 §5: a minute. Postgrey 300."
    )
    greylist_exempt: str = Field("", description="Networks, comma separated, that are not greylisted.")
    spam_scorer: Literal["auto", "on", "off"] = Field("auto", description="Whether the built-in scorer looks for spam and phishing; `auto`: where mail is judged and no rspamd is set.")  # fmt: skip
    spam_junk_points: float = Field(5, gt=0, description="From how many points of it on mail goes to Junk; it refuses nothing.")  # fmt: skip
    scan_spam: Literal["refuse", "junk"] = Field("refuse", description="What is done with what rspamd rejects: refuse (550 5.7.1), junk.")  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        networks(self.smtp_exempt)
        networks(self.proxy_trusted)
        networks(self.greylist_exempt)
        if self.greylist == "on" and not (self.judges and self.redis_url):
            raise ValueError("greylist needs judging (dns) and redis_url")
        return self

    @property
    def port(self) -> int:
        """Port of the MX."""
        return self.smtp_port or SMTP_PORT + self.port_offset

    @property
    def submission_ports(self) -> list[tuple[int, bool]]:
        """Ports of submission, and whether TLS is there from the start. Without a certificate only the first has any use."""
        wanted = ((self.submission_port, SUBMISSION_PORT, False), (self.submissions_port, SUBMISSIONS_PORT, True))
        return [
            (port or default + self.port_offset, implicit)
            for port, default, implicit in wanted
            if port >= 0 and (self.tls_cert is not None or (self.dev and not implicit))
        ]

    @property
    def worker_health_port(self) -> int:
        """Health port of this worker: ten apart, so that every worker has its own."""
        base = self.health_port or HEALTH_PORT + self.port_offset
        return base + 10 * max(self.ingest_worker, 0)

    @property
    def judges(self) -> bool:
        """Whether mail is judged."""
        return self.ingest_judge == "on" or (self.ingest_judge == "auto" and bool(self.dns))

    @property
    def scores(self) -> bool:
        """Whether the built-in scorer is used."""
        return self.spam_scorer == "on" or (self.spam_scorer == "auto" and self.judges and not self.rspamd_url)

    @property
    def rules(self) -> PolicyRules:
        """What follows from DMARC and block lists."""
        trusted = frozenset(map(ascii_domain, names(self.arc_trusted)))
        return PolicyRules(self.judge_reject, self.judge_quarantine, trusted, self.dnsbl_measure)

    @property
    def own_names(self) -> list[str]:
        """The authserv-ids that are ours, the one that this worker writes first."""
        return [self.authserv_id or self.hostname, *names(self.authserv_ids)]

    @property
    def hostname(self) -> str:
        """Name that the MX calls itself."""
        return self.smtp_hostname or socket.getfqdn() or "localhost"
