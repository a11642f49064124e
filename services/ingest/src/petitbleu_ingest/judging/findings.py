"""What the checks of one message found, and what follows from it: who is authenticated, and what the domain owner asks for."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Final

import msgspec

from petitbleu_ingest.domain.verdicts import Verdicts
from petitbleu_mail.auth.arc import ArcVerdict
from petitbleu_mail.auth.author import Author
from petitbleu_mail.auth.client import HeloOutcome, IprevOutcome
from petitbleu_mail.auth.dkim import Verdict as DkimVerdict
from petitbleu_mail.auth.dkim_record import Result
from petitbleu_mail.auth.dmarc import DmarcOutcome, DmarcResult, Identifiers, identifiers_of
from petitbleu_mail.auth.dmarc_record import Policy
from petitbleu_mail.auth.resolver import ascii_domain
from petitbleu_mail.auth.spf import SpfOutcome, SpfResult

# The best first: what a message has several signatures for is that one of them holds (RFC 6376 §6.1)
_DKIM_ORDER: Final = (
    Result.PASS, Result.TEMPERROR, Result.FAIL, Result.POLICY, Result.NEUTRAL, Result.PERMERROR, Result.NONE,
)  # fmt: skip


class ClientFindings(msgspec.Struct, frozen=True):
    """What the DNS says of the client and of the name that it gave; `listed` are the block lists that have it (RFC 5782 §2.1)."""

    iprev: IprevOutcome
    helo: SpfOutcome
    name: HeloOutcome
    listed: tuple[str, ...] = ()


class Findings(msgspec.Struct, frozen=True):
    """All of one message. `client` and `spf` are None where the client has no address that can be asked for."""

    mail_from: str
    author: Author
    client: ClientFindings | None
    spf: SpfOutcome | None
    dkim: list[DkimVerdict]
    arc: ArcVerdict
    dmarc: DmarcOutcome

    @property
    def signers(self) -> list[str]:
        """Domains whose signatures hold."""
        return [one.domain for one in self.dkim if one.passed]


def identifiers(spf: SpfOutcome | None, dkim: list[DkimVerdict]) -> Identifiers:
    """Return what DMARC goes by (RFC 9989 §4.3)."""
    return identifiers_of(
        spf, [one.domain for one in dkim if one.passed], [one.domain for one in dkim if one.result is Result.TEMPERROR]
    )


def from_authenticated(found: Findings) -> bool:
    """Whether the author is who From says: DMARC passes or, where there is no policy, the very domain is authenticated.

    Never where From is missing, repeated, unreadable or names several (RFC 9989 §11.5).
    """
    if found.author.fault is not None or len(found.author.domains) != 1:
        return False
    if found.dmarc.result is not DmarcResult.NONE:
        return found.dmarc.result is DmarcResult.PASS
    known = identifiers(found.spf, found.dkim)
    return found.author.domains[0] in {known.spf, *known.dkim} - {""}


def envelope_authenticated(found: Findings) -> bool:
    """Whether the envelope sender is who it says: SPF passes, or a signature of its domain holds.

    A signature of the author's says nothing of who replays the message (RFC 6376 §8.6).
    """
    if not found.mail_from:
        return False
    if found.spf is not None and found.spf.result is SpfResult.PASS:
        return True
    domain = ascii_domain(found.mail_from.rpartition("@")[2])
    return bool(domain) and any(_covers(ascii_domain(signer), domain) for signer in found.signers)


def _covers(signer: str, domain: str) -> bool:
    return "." in signer and (domain == signer or domain.endswith("." + signer))


class Measure(Enum):
    """What is done with a message; the values are the words of settings."""

    NONE = "none"
    JUNK = "junk"
    REFUSE = "refuse"


class PolicyRules(msgspec.Struct, frozen=True):
    """What this house does with what a domain owner asks for (RFC 9989 §5.4), and whose ARC seals it believes (RFC 8617 §7.2)."""

    reject: Measure = Measure.REFUSE
    quarantine: Measure = Measure.JUNK
    trusted_sealers: Collection[str] = frozenset()
    listed: Measure = Measure.REFUSE


def asked_of(found: Findings, rules: PolicyRules) -> Policy:
    """Return what the domain owner asks for: nothing where DMARC does not fail, or where a forwarder of trust speaks for the message."""
    if found.dmarc.result is not DmarcResult.FAIL or overridden(found, rules):
        return Policy.NONE
    return found.dmarc.policy or Policy.NONE


def overridden(found: Findings, rules: PolicyRules) -> bool:
    """Whether a whole ARC chain, all of whose sealers are believed, speaks for the message (RFC 8617 §7.2.1)."""
    sealers = [ascii_domain(one) for one in found.arc.sealers]
    return found.arc.passed and bool(sealers) and all(one in rules.trusted_sealers for one in sealers)


def verdicts_of(found: Findings, *, junk: bool, spam_score: int = 0, junk_recipients: tuple[int, ...] = ()) -> Verdicts:
    """Return what travels with the message."""
    best = min((one.result for one in found.dkim), key=_DKIM_ORDER.index, default=Result.NONE)
    return Verdicts(
        from_authenticated(found),
        envelope_authenticated(found),
        found.spf.result.value if found.spf is not None else "",
        best.value,
        found.dmarc.result.value,
        found.arc.result.value,
        junk,
        spam_score,
        junk_recipients=junk_recipients,
    )
