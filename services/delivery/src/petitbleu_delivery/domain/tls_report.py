"""Reports of TLS (RFC 8460): what a session was like, what a domain's day was like as JSON, and to whom that is sent. Pure."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from petitbleu_delivery.domain.records_transport import tls_report_uris
from petitbleu_mail.auth.dmarc_report import report_addresses

_VERSION: Final = b"v=TLSRPTv1"
# Places of one record that are told; a record may name as many strangers as it likes.
_MAX_PLACES: Final = 4
_MAX_URL: Final = 1000
_DAY: Final = timedelta(days=1)


class PolicyType(StrEnum):
    """Which policy a session was under (RFC 8460 §4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class ResultType(StrEnum):
    """In what a session failed its policy (RFC 8460 §4.3)."""

    NO_STARTTLS = "starttls-not-supported"
    WRONG_HOST = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_FETCH = "sts-policy-fetch-error"
    STS_INVALID = "sts-policy-invalid"
    STS_WEBPKI = "sts-webpki-invalid"


class TlsPolicy(msgspec.Struct, frozen=True):
    """A policy as reports name it: `strings` are its records or lines, `mx` the patterns of MTA-STS.

    `domain` is the domain itself, for DANE the host whose TLSA records these are (§1.1).
    """

    type: PolicyType
    domain: str
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()


class TlsFailure(msgspec.Struct, frozen=True):
    """A way to fail: addresses are empty where no connection was made, `reason` is a word of ours."""

    type: ResultType
    host: str = ""
    receiver: str = ""
    sender: str = ""
    reason: str = ""


class TlsSession(msgspec.Struct, frozen=True):
    """Sessions that were alike; `failure` is None for those that kept the policy."""

    policy: TlsPolicy
    failure: TlsFailure | None = None


class TlsReport(msgspec.Struct, frozen=True):
    """A domain's day. `sessions` are kinds of sessions with their counts, no kind twice."""

    organization: str
    contact: str
    report_id: str
    begin: datetime
    domain: str
    sessions: tuple[tuple[TlsSession, int], ...]

    @property
    def end(self) -> datetime:
        """The last second that is covered."""
        return self.begin + _DAY - timedelta(seconds=1)

    def json(self) -> bytes:
        """Return the report (RFC 8460 §4.4)."""
        policies = sorted({session.policy for session, _ in self.sessions}, key=msgspec.json.encode)
        return msgspec.json.encode(
            {
                "organization-name": self.organization,
                "date-range": {"start-datetime": _time(self.begin), "end-datetime": _time(self.end)},
                "contact-info": self.contact,
                "report-id": self.report_id,
                "policies": [self._policy(policy) for policy in policies],
            }
        )

    def packed(self) -> bytes:
        """Return the report in gzip (§5.2); the same report gives the same octets."""
        return gzip.compress(self.json(), mtime=0)

    def file_name(self, reporter: str) -> str:
        """Return the attachment's name (§5.1)."""
        return f"{reporter}!{self.domain}!{int(self.begin.timestamp())}!{int(self.end.timestamp())}.json.gz"

    def subject(self, reporter: str) -> str:
        """Return the Subject by which reports are known (§5.3)."""
        return f"Report Domain: {self.domain} Submitter: {reporter} Report-ID: <{self.report_id}>"

    def _policy(self, policy: TlsPolicy) -> dict[str, object]:
        found = [(session.failure, count) for session, count in self.sessions if session.policy == policy]
        failures = [(failure, count) for failure, count in found if failure is not None]
        described: dict[str, object] = {"policy-type": policy.type.value, "policy-domain": policy.domain}
        if policy.type is not PolicyType.NONE:
            described["policy-string"] = policy.strings
        if policy.mx:
            described["mx-host"] = policy.mx
        told: dict[str, object] = {
            "policy": described,
            "summary": {
                "total-successful-session-count": sum(count for failure, count in found if failure is None),
                "total-failure-session-count": sum(count for _, count in failures),
            },
        }
        if failures:
            told["failure-details"] = [_failure(failure, count) for failure, count in failures]
        return told


def _failure(failure: TlsFailure, count: int) -> dict[str, object]:
    fields = {
        "result-type": failure.type.value,
        "sending-mta-ip": failure.sender,
        "receiving-mx-hostname": failure.host,
        "receiving-ip": failure.receiver,
        "failure-reason-code": failure.reason,
    }
    return {name: value for name, value in fields.items() if value} | {"failed-session-count": count}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Places(msgspec.Struct, frozen=True):
    """Where a domain wants its reports: ASCII addresses, and `https:` URLs."""

    addresses: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


def report_places(records: Iterable[bytes]) -> Places | None:
    """Return where the TXT records of `_smtp._tls` want reports; None where no report is wanted (RFC 8460 §3).

    Of several records of this kind none counts, and of a record the first few places.
    """
    found = [record for record in records if record.startswith(_VERSION)]
    uris: Sequence[str] | None = tls_report_uris(found[0]) if len(found) == 1 else None
    if not uris:
        return None
    few = uris[:_MAX_PLACES]
    addresses = tuple(address for address, _ in report_addresses(few) if address.isascii())
    urls = tuple(dict.fromkeys(uri for uri in few if uri.startswith("https://") and _is_url(uri)))
    return Places(addresses, urls) if addresses or urls else None


def _is_url(text: str) -> bool:
    try:
        return text.isascii() and len(text) <= _MAX_URL and bool(urlsplit(text).hostname)
    except ValueError:
        return False
