"""Settings of delivery, read from `PETITBLEU_…` variables."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from petitbleu_delivery.domain.bounce_token import MAX_DAYS, BounceTokenMode
from petitbleu_kit.scanners.settings import ScannerSettings

_SOURCE_TREE = Path(__file__).parents[2] / "migrations"
_PACKAGE = Path(__file__).parent / "migrations"


class DeliverySettings(ScannerSettings):
    """What an operator may set. Defaults suit the embedded stack and a cluster alike."""

    delivery_round_recipients: int = Field(
        256, ge=1, le=1000,
        description="Most recipients in one round; halved after a round that failed, doubled back by rounds that work. "
        "store takes at most 1,000 items a call.",
    )  # fmt: skip
    delivery_events: int = Field(
        128, ge=1, le=1000,
        description="Most events handled as one list. An event names up to 1,000 messages and is acknowledged only when "
        "all of the list is settled; meanwhile the bus is told that work goes on.",
    )  # fmt: skip
    delivery_gather_ms: int = Field(
        8, ge=0, le=1000,
        description="After a list of several events, that is under load, wait so long for more before the next round: a "
        "round costs about as much for one message as for thirty. A lone message on an idle system never waits.",
    )  # fmt: skip
    delivery_ack_seconds: int = Field(
        10, ge=5, le=600,
        description="After this long without a sign of life the bus hands an event out again: the time that mail waits "
        "when a process of delivery was killed.",
    )  # fmt: skip
    delivery_cache_seconds: float = Field(
        60, ge=0, le=60,
        description="How long an answer of the directory is believed; events of accounts make it shorter. 0 remembers nothing.",
    )  # fmt: skip
    delivery_cache_entries: int = Field(
        20_000, ge=0,
        description="Most addresses and targets remembered, counted together: about 0.5 KB each.",
    )  # fmt: skip
    delivery_call_seconds: float = Field(5, gt=0, description="Deadline of a look-up at store or accounts.")
    delivery_commit_seconds: float = Field(15, gt=0, description="Deadline of a call to store that commits.")
    delivery_guard_seconds: float = Field(
        2, gt=0, description="Deadline of a question to junior-guard; without an answer the recipient waits."
    )
    delivery_drain_seconds: float = Field(
        8, gt=0, description="At SIGTERM, seconds for the list in hand to be settled."
    )
    smtp_hostname: str = Field("", description="Our name in what we write and send; this host's name when empty.")
    authserv_id: str = Field(
        "",
        description="Our name in Authentication-Results (RFC 8601 §2.5), as ingest has it; `smtp_hostname` when empty.",
    )
    delivery_key_file: Path | None = Field(
        None,
        description="32 random bytes, base64: DKIM keys, and what delivery keeps of people, are sealed under it. "
        "`{data}/keys/delivery.key` when unset; made at the very first start, never again. With another one nothing can be read.",
    )
    dkim_ed25519: bool = Field(
        True, description="Whether messages have a second signature, by Ed25519 (RFC 8463); RSA-2048 is always there."
    )
    dkim_rotate_days: float = Field(
        180,
        gt=0,
        description="Age of a key that signs at which its successor is made. M3AAWG: at least every six months.",
    )
    dkim_publish_days: float = Field(
        2,
        ge=0,
        description="A new key signs so long after its record was first seen: what caches hold is gone by then.",
    )
    dkim_retire_days: float = Field(
        14, ge=0,
        description="A record stays so long after its key signed last: mail is on its way for 5 days, and looked at again later.",
    )  # fmt: skip
    mx_names: str = Field(
        "",
        description="Names of this platform's MX hosts, comma separated: what MX records and MTA-STS policies of hosted domains name.",
    )
    mx_cert: Path | None = Field(
        None, description="Certificate (PEM) of the MX hosts: `domain check` tells the TLSA record that fits it (DANE)."
    )
    mail_host: str = Field(
        "", description="Name under which clients reach the platform: what SRV records of hosted domains name."
    )
    policy_host: str = Field(
        "", description="Name of the host that serves `mta-sts.` names of hosted domains; `mail_host` when unset."
    )
    spf_mechanism: str = Field(
        "mx",
        description="What an SPF record of a hosted domain contains so that the platform may send for it, as `include:_spf.example.net`.",
    )
    sending_addresses: str = Field(
        "", description="Addresses from which the platform sends, comma separated: `domain check` tries SPF with them."
    )
    dmarc_report_from: str = Field(
        "",
        description="Address of a hosted domain from which DMARC aggregate reports are sent; without it nothing is gathered.",
    )
    dmarc_report_organization: str = Field("", description="Name of who reports; the address' domain when unset.")
    dmarc_report_seconds: float = Field(900, gt=0, description="How often it is looked whether reports are due.")
    tls_report_from: str = Field(
        "",
        description="Address of a hosted domain from which reports of TLS (RFC 8460) are sent, in the name of `dmarc_report_organization`; without it nothing is gathered.",
    )
    tls_results_seconds: float = Field(
        60, gt=0, description="How often what TLS with others was like is written to the database."
    )
    dkim_upkeep_seconds: float = Field(
        900,
        gt=0,
        description="How often it is looked whether keys go on to their next state, their records in the DNS included.",
    )
    submission_hour_recipients: int = Field(
        2_000,
        ge=1,
        description="The most recipients that an account submits to over JMAP in an hour; beyond, `rateLimit`.",
    )
    submission_day_recipients: int = Field(5_000, ge=1, description="The same in a day.")
    submission_keep_days: int = Field(
        30,
        ge=1,
        le=365,
        description="Days for which a submission is shown once nothing is to be done for it (RFC 8621 §7).",
    )
    permit_account_hour: int = Field(
        2_000,
        ge=0,
        description="Most recipients of an account in an hour, its submissions of all kinds together; 0: no limit.",
    )
    permit_account_day: int = Field(10_000, ge=0, description="The same in a day.")
    permit_tenant_hour: int = Field(
        40_000, ge=0, description="Most recipients of all accounts of a tenant in an hour; 0: no limit."
    )
    permit_tenant_day: int = Field(200_000, ge=0, description="The same in a day.")
    srs: Literal["on", "off"] = Field(
        "on",
        description="`on`: what rules send on has a rewritten envelope sender (SRS), so that its bounces reach who sent it; where bounce tokens are off. "
        "`off`: the owner of the rule is its envelope sender, and gets them.",
    )  # fmt: skip
    bounce_tokens: BounceTokenMode = Field(
        BounceTokenMode.OFF,
        description='`sign`: what leaves has a keyed token in its envelope sender, as a detail behind "+". `enforce`: what comes without sender to an '
        "address that sends with tokens, and has none, is a forged bounce and goes to Junk. Sign for `bounce_token_days` before that.",
    )  # fmt: skip
    bounce_token_days: int = Field(
        15, ge=1, le=MAX_DAYS, description="A token counts for so many days: those of our own attempts, and of the next server's."
    )  # fmt: skip
    bounce_key_days: float = Field(90, gt=0, description="Age of the secret of tokens at which the next is made.")
    feedback_addresses: str = Field(
        "",
        description="Addresses of hosted domains to which others send feedback reports (RFC 5965), comma separated; what comes to them by others is mail alone.",
    )
    complaint_seconds: float = Field(
        365 * 86_400.0, ge=0, description="Seconds for which an account does not write to somebody who complained of its mail; 0: nobody is kept back for it."
    )  # fmt: skip
    abuse_fresh: int = Field(
        500, ge=0, description="An account with more recipients in a day to whom it never wrote, and more than `abuse_fresh_factor` times its busiest of 30 days, is slowed; 0: never.",
    )  # fmt: skip
    abuse_fresh_factor: float = Field(5.0, ge=1, description="See `abuse_fresh`.")
    abuse_bounces: int = Field(
        30, ge=0, description="So many recipients in seven days who do not exist, and `abuse_bounce_rate` of all, speak against an account; 0: never.",
    )  # fmt: skip
    abuse_bounce_rate: float = Field(0.15, ge=0, le=1, description="See `abuse_bounces`.")
    abuse_complaints: int = Field(
        3, ge=0, description="So many complaints in seven days, and `abuse_complaint_rate` of all recipients, speak against an account; 0: never.",
    )  # fmt: skip
    abuse_complaint_rate: float = Field(0.003, ge=0, le=1, description="See `abuse_complaints`.")
    abuse_spam: int = Field(
        10, ge=0, description="So many messages in seven days to which a scanner gave `abuse_spam_points` speak against an account; 0: never.",
    )  # fmt: skip
    abuse_spam_points: float = Field(6.0, ge=0, description="See `abuse_spam`; 6 is where rspamd adds a header.")
    abuse_slow_seconds: float = Field(86_400.0, gt=0, description="For so long an account is slowed.")
    abuse_slow_hour: int = Field(50, ge=1, description="Most recipients in an hour of an account that is slowed.")
    suppression_first_seconds: float = Field(
        3600.0,
        ge=0,
        description="Seconds for which an account is not to write to an address again whose server said that it does not exist; 0: never.",
    )
    suppression_longest_seconds: float = Field(
        7 * 86_400.0, ge=1, description="The same at most: each further refusal makes it four times as long."
    )
    outbound_relay: str = Field(
        "", description="`host:port` of a smart host that takes all mail for other servers; the MX look-up when empty."
    )
    outbound_name: str = Field("", description="Name said in EHLO; that of the MX, or this machine's, when empty.")
    outbound_sources: str = Field(
        "",
        description="Local addresses from which mail leaves, in pools, each with the name that is said in EHLO: "
        "`main=192.0.2.1 out1.example.net, 2001:db8::1 out1.example.net; bulk=192.0.2.9 out9.example.net`. Unset, the machine chooses.",
    )
    outbound_source_rules: str = Field(
        "",
        description="Who uses which pool, the first that fits: `tenant 12=own; bulk=bulk; *=main`; classes are notice, person, bulk. Else the first pool.",
    )
    outbound_warm_first: int = Field(
        50,
        ge=1,
        description="Letters of a new address to one provider on its first day; doubled by each day that went well.",
    )
    outbound_warm_full: int = Field(
        20_000, ge=1, description="With so many letters a day a new address is as an old one to that provider."
    )
    outbound_warm_days: int = Field(60, ge=1, description="After so many days a new address is an old one.")
    outbound_port: int = Field(25, ge=1, le=65535, description="Port of other servers' mail exchangers; for tests.")
    dns_validates: bool = Field(
        False, description="Whether the resolver of `dns` validates DNSSEC, over a way that nobody else can change: then DANE (RFC 7672) is kept.",
    )  # fmt: skip
    outbound_connections: int = Field(
        200, ge=1, description="Letters on their way to other servers at once. Postfix default_process_limit 100."
    )
    outbound_destination_connections: int = Field(
        20,
        ge=1,
        description="The same to one destination, once it takes them. Postfix default_destination_concurrency_limit 20.",
    )
    outbound_destination_first: int = Field(
        5,
        ge=1,
        description="The same to a destination of which nothing is known. Postfix initial_destination_concurrency 5.",
    )
    outbound_units: int = Field(
        5000, ge=1, description="Units of the queue that a process has in hand; the others wait in their rows."
    )
    outbound_octets: int = Field(256 << 20, ge=1 << 20, description="Octets of letters in memory at once.")
    outbound_first_retry_seconds: float = Field(
        300, gt=0, description="Pause after the first attempt, doubled by each. Postfix minimal_backoff_time 300."
    )
    outbound_longest_retry_seconds: float = Field(
        14_400, gt=0, description="Longest pause between attempts. Postfix maximal_backoff_time 4000."
    )
    outbound_expire_seconds: float = Field(
        432_000,
        gt=0,
        description="After so long a recipient has failed. RFC 5321 §4.5.4.1: at least 4 to 5 days. Postfix maximal_queue_lifetime 5d.",
    )
    outbound_warn_seconds: float = Field(
        14_400,
        gt=0,
        description="After so long the sender is told that it takes long, once. Postfix delay_warning_time, 0 there.",
    )
    outbound_silent_seconds: float = Field(
        30, ge=2, description="A process that was not heard of for so long has lost what it had in hand."
    )
    migrations_dir: Path = Field(
        _SOURCE_TREE if _SOURCE_TREE.is_dir() else _PACKAGE, description="Where the migrations are."
    )

    def key_file(self) -> Path:
        """Return where the key is."""
        return self.delivery_key_file or self.data / "keys" / "delivery.key"

    def own_mx(self) -> tuple[str, ...]:
        """Names of the platform's MX hosts, in lower case."""
        return tuple(name.strip().lower().removesuffix(".") for name in self.mx_names.split(",") if name.strip())

    @property
    def hostname(self) -> str:
        """Return our name."""
        return self.smtp_hostname or socket.getfqdn() or "localhost"

    @property
    def own_name(self) -> str:
        """Return our name in Authentication-Results."""
        return self.authserv_id or self.hostname
