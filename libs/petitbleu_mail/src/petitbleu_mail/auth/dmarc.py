"""DMARC (RFC 9989): policy discovery and alignment by a walk up the DNS, and the verdict on a message.

The clauses were read in draft-ietf-dmarc-dmarcbis-41, the text that became RFC 9989; the numbers of its sections are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from petitbleu_mail.auth.author import Author, AuthorFault
from petitbleu_mail.auth.dmarc_record import DmarcRecord, Policy, select_record
from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, TemporaryDnsError, ascii_domain, askable
from petitbleu_mail.auth.spf import SpfOutcome, SpfResult

# RFC 9989 §4.10: a name of eight labels or more goes on with its last seven
WALK_LABELS = 7
# Domains of valid signatures that are tried for alignment; a message has one or two.
MAX_SIGNERS = 16


class DmarcResult(Enum):
    """RFC 9989 §9, the results of the method "dmarc" in Authentication-Results."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class DmarcOutcome(msgspec.Struct, frozen=True):
    """The verdict.

    `domain` is the author domain, `policy_domain` where the record was found, `organizational` what relaxed alignment goes by.
    `published` is the policy that the record has for this domain, `policy` what its owner asks for now, which `t=y` lowers;
    both are NONE unless the result is FAIL. `spf_aligned` and `dkim_aligned` (a domain) say what aligned.
    `fault` is set when From names no single author; then the result is never PASS.
    """

    result: DmarcResult
    domain: str = ""
    policy_domain: str = ""
    organizational: str = ""
    published: Policy = Policy.NONE
    policy: Policy = Policy.NONE
    record: DmarcRecord | None = None
    spf_aligned: bool = False
    dkim_aligned: str = ""
    fault: AuthorFault | None = None


class Found(msgspec.Struct, frozen=True):
    """A record of a walk and the domain that it is of."""

    domain: str
    record: DmarcRecord


class TreeWalk:
    """Walks up the DNS; each name is asked for once (RFC 9989 §4.10)."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._known: dict[str, DmarcRecord | None] = {}
        self._failed: set[str] = set()

    async def record(self, domain: str) -> DmarcRecord | None:
        """Return the record of exactly this domain. Raises `TemporaryDnsError`."""
        if domain in self._failed:
            raise TemporaryDnsError
        if domain not in self._known:
            name = f"_dmarc.{domain}"
            try:
                self._known[domain] = select_record(await self.resolver.txt(name)) if askable(name) else None
            except NoSuchNameError:
                self._known[domain] = None
            except TemporaryDnsError:
                self._failed.add(domain)
                raise
        return self._known[domain]

    async def walk(self, domain: str) -> list[Found]:
        """Return the records from a domain upward, the longest name first. Raises `TemporaryDnsError`; at most 8 queries."""
        found = []
        for target in walk_targets(domain):
            record = await self.record(target)
            if record is not None:
                found.append(Found(target, record))
                if record.psd in {"y", "n"}:  # RFC 9989 §4.10 steps 2 and 6
                    break
        return found

    async def organizational(self, domain: str) -> str:
        """Return the organizational domain of a domain. Raises `TemporaryDnsError`."""
        return organizational_domain(domain, await self.walk(domain))


def walk_targets(domain: str) -> list[str]:
    """Return the names whose records a walk asks for, the domain itself first (RFC 9989 §4.10 steps 3, 4 and 7)."""
    labels = domain.split(".")
    rest = labels[1:][-WALK_LABELS:]
    return [domain, *[".".join(rest[at:]) for at in range(len(rest))]]


def organizational_domain(domain: str, found: Sequence[Found]) -> str:
    """Select the organizational domain from the records of a walk that began at `domain` (RFC 9989 §4.10.2)."""
    for one in found:
        if one.record.psd == "n":
            return one.domain
        if one.record.psd == "y" and one.domain != domain:
            below = one.domain.count(".") + 2
            return ".".join(domain.split(".")[-below:])
    return found[-1].domain if found else domain


class Identifiers(msgspec.Struct, frozen=True):
    """What is known of the senders of a message (RFC 9989 §4.3): domains that authenticated, and others that could not be asked."""

    spf: str = ""
    dkim: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def identifiers_of(spf: SpfOutcome | None, signed: Sequence[str], undecided: Sequence[str] = ()) -> Identifiers:
    """Gather them from the SPF outcome of MAIL FROM, the `d=` of valid DKIM signatures, and of those that met a DNS failure."""
    sender, unsure = "", list(undecided)
    if spf is not None and spf.identity == "mailfrom":  # RFC 9989 §4.4.2: HELO does not count
        if spf.result is SpfResult.PASS:
            sender = spf.domain
        elif spf.result is SpfResult.TEMPERROR:
            unsure.append(spf.domain)
    names = [tuple(dict.fromkeys(map(ascii_domain, some)))[:MAX_SIGNERS] for some in (signed, unsure)]
    return Identifiers(sender, names[0], names[1])


async def check_dmarc(resolver: Resolver, author: Author, identifiers: Identifiers) -> DmarcOutcome:
    """Judge a message. Never raises.

    Where From has several domains, each is judged, and the strictest policy of those that fail counts (RFC 9989 §11.5).
    """
    walk = TreeWalk(resolver)
    outcomes = [await _check_domain(walk, domain, identifiers) for domain in author.domains]
    if author.fault is None and len(outcomes) == 1:
        return outcomes[0]
    fault = author.fault or AuthorFault.MULTIPLE
    by_result = {one.result: one for one in sorted(outcomes, key=lambda one: one.policy)}  # the strictest stays
    # RFC 9989 §4.4: there is no telling whose policy applies, so nothing passes
    for result, as_result in (
        (DmarcResult.FAIL, DmarcResult.FAIL),
        (DmarcResult.TEMPERROR, DmarcResult.TEMPERROR),
        (DmarcResult.PASS, DmarcResult.PERMERROR),
    ):
        if result in by_result:
            return msgspec.structs.replace(by_result[result], result=as_result, fault=fault)
    return DmarcOutcome(DmarcResult.NONE, fault=fault)


async def _check_domain(walk: TreeWalk, domain: str, identifiers: Identifiers) -> DmarcOutcome:
    try:
        found = await _discover(walk, domain)
        if found is None or found.record.policy is None:
            return DmarcOutcome(DmarcResult.NONE, domain)
        return await _judge(walk, domain, found, identifiers)
    except TemporaryDnsError:
        return DmarcOutcome(DmarcResult.TEMPERROR, domain)  # RFC 9989 §5.3.6: neither pass nor fail


async def _discover(walk: TreeWalk, domain: str) -> Found | None:
    """Find the record that applies: the author domain's, its organizational domain's, its public suffix's (RFC 9989 §4.10.1)."""
    own = await walk.record(domain)
    if own is not None:
        return Found(domain, own)
    found = await walk.walk(domain)
    organizational = organizational_domain(domain, found)
    of_organization = [one for one in found if one.domain == organizational]
    of_suffix = [one for one in found if one.record.psd == "y"]
    return next(iter(of_organization + of_suffix), None)


async def _judge(walk: TreeWalk, domain: str, found: Found, identifiers: Identifiers) -> DmarcOutcome:
    record = found.record
    alignment = _Alignment(walk, domain)
    sender = identifiers.spf
    spf_aligned = bool(sender) and await alignment.holds(sender, strict=record.strict_spf)
    dkim_aligned = await alignment.first(identifiers.dkim, strict=record.strict_dkim)
    outcome = DmarcOutcome(
        DmarcResult.PASS, domain, found.domain, alignment.organizational or "", record=record,
        spf_aligned=spf_aligned, dkim_aligned=dkim_aligned,
    )  # fmt: skip
    if spf_aligned or dkim_aligned:  # RFC 9989 §5.3.5
        return outcome
    # RFC 9989 §5.3.6: where the DNS kept an answer back that could have made it pass, it did not fail either
    strict = record.strict_dkim and record.strict_spf
    undecided = await alignment.first(identifiers.undecided, strict=strict)
    if undecided or alignment.unknown:
        return msgspec.structs.replace(outcome, result=DmarcResult.TEMPERROR)
    published = record.policy
    if found.domain != domain:
        exists = record.nonexistent is None or await _exists(walk.resolver, domain)
        published = record.for_subdomain(exists=exists)
    asked = published or Policy.NONE
    applied = asked.lowered() if record.testing else asked
    return msgspec.structs.replace(outcome, result=DmarcResult.FAIL, published=asked, policy=applied)


class _Alignment:
    """Compares identifiers with one author domain (RFC 9989 §4.10.2); `unknown` when the DNS kept an answer back."""

    def __init__(self, walk: TreeWalk, domain: str) -> None:
        self.walk = walk
        self.domain = domain
        self.organizational: str | None = None
        self.unknown = False

    async def first(self, identifiers: Sequence[str], *, strict: bool) -> str:
        """Return the first of them that aligns, "" if none does."""
        for identifier in identifiers:
            if await self.holds(identifier, strict=strict):
                return identifier
        return ""

    async def holds(self, identifier: str, *, strict: bool) -> bool:
        if identifier == self.domain:  # RFC 9989 §4.10.2: whatever the organizational domain, it is the same
            return True
        # no two names below different top-level domains have an organizational domain in common
        if strict or identifier.rpartition(".")[2] != self.domain.rpartition(".")[2]:
            return False
        try:
            if self.organizational is None:
                self.organizational = await self.walk.organizational(self.domain)
            own = self.organizational
            # only what is at or below it can have it as its own: no walk for others' names
            if identifier != own and not identifier.endswith("." + own):
                return False
            return await self.walk.organizational(identifier) == own
        except TemporaryDnsError:
            self.unknown = True
            return False


async def _exists(resolver: Resolver, domain: str) -> bool:
    """Whether a domain exists: anything but NXDOMAIN is a yes (RFC 9989 §3.2.13). Raises `TemporaryDnsError`."""
    try:
        await resolver.a(domain)
    except NoSuchNameError:
        return False
    return True
