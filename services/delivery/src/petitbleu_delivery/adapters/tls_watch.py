"""Tells what TLS with a server was like, for the reports of the day (RFC 8460 §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from petitbleu_delivery.domain.dane import Tlsa
from petitbleu_delivery.domain.tls_report import PolicyType, ResultType, TlsFailure, TlsPolicy
from petitbleu_delivery.smtp_client.session import Session, TlsRefusedError
from petitbleu_mail.mta_sts import StsPolicy


class TlsWatch(Protocol):
    """Counts sessions; `service.domains.tls_results` does."""

    def saw(self, domain: str, policy: TlsPolicy, failure: TlsFailure | None = None) -> None:
        """Count a session with a server of a domain."""
        ...


def tlsa_policy(host: str, records: Sequence[Tlsa]) -> TlsPolicy:
    """Return the TLSA records of a host as reports name them (RFC 8460 §4.4)."""
    strings = tuple(f"{one.usage} {one.selector} {one.matching} {one.data.hex()}" for one in records)
    return TlsPolicy(PolicyType.TLSA, host, strings)


def sts_policy(domain: str, policy: StsPolicy | None) -> TlsPolicy:
    """Return an MTA-STS policy as reports name it; None for one that could not be had."""
    if policy is None:
        return TlsPolicy(PolicyType.STS, domain)
    return TlsPolicy(PolicyType.STS, domain, tuple(policy.text.split("\r\n")[:-1]), policy.mx)


class Witness:
    """Sees one session with one exchanger being opened, and tells of it once.

    Args:
        watch: Who counts; None for what no report is about: the operator's own routes, and reports themselves (RFC 8460 §3).
        domain: The domain whose mail it is.
        host: The exchanger.

    Attributes:
        policy: What the session is under.
    """

    def __init__(self, watch: TlsWatch | None, domain: str, host: str) -> None:
        self._watch = watch
        self._domain = domain
        self._host = host
        self.policy = TlsPolicy(PolicyType.NONE, domain)

    def kept(self) -> None:
        """TLS is as the policy wants it."""
        self._tell(None)

    def failed(self, result: ResultType, reason: str = "", session: Session | None = None) -> None:
        """TLS is not, or not as the policy wants it."""
        receiver, sender = ("", "") if session is None else _ends(session)
        self._tell(TlsFailure(result, self._host, receiver, sender, reason))

    def refused(self, error: TlsRefusedError, session: Session) -> None:
        """TLS was refused."""
        self.failed(error.result, error.detail, session)

    def aside(self, policy: TlsPolicy, failure: TlsFailure) -> None:
        """Tell of another policy, which failed before it could be applied; the session is still to be told of."""
        if self._watch is not None:
            self._watch.saw(self._domain, policy, failure)

    def _tell(self, failure: TlsFailure | None) -> None:
        if self._watch is not None:
            self._watch.saw(self._domain, self.policy, failure)
            self._watch = None


NOBODY = Witness(None, "", "")


def _ends(session: Session) -> tuple[str, str]:
    """Return the server's address and ours, empty where the socket does not say."""
    peer, own = (session.writer.get_extra_info(name) for name in ("peername", "sockname"))
    return (peer[0] if peer else "", own[0] if own else "")
