"""Looks every record of a hosted domain up, and has it judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, TypeVar

import msgspec

from petitbleu_delivery.domain.domain_keys import KeyState
from petitbleu_delivery.domain.records import Answer, Expected, Finding, RecordState
from petitbleu_delivery.domain.records_client import OFFERED, Service, check_bimi, check_service
from petitbleu_delivery.domain.records_sender import check_dkim, check_dmarc, check_mx, check_spf
from petitbleu_delivery.domain.records_transport import (
    Association,
    Fetched,
    check_dane,
    check_sts_policy,
    check_sts_record,
    check_tls_rpt,
)
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_mail.auth.dmarc import TreeWalk
from petitbleu_mail.auth.dmarc_record import DmarcRecord, Policy
from petitbleu_mail.auth.resolver import NoSuchNameError, Resolver, TemporaryDnsError
from petitbleu_mail.auth.spf import SpfResult, check_mail_from
from petitbleu_mail.mta_sts import StsPolicy

Record = TypeVar("Record")
# MX hosts whose TLSA records are looked up.
_MAX_HOSTS = 8


class Lookups(Resolver, Protocol):
    """The DNS, with what only a check of records asks for."""

    async def srv(self, name: str) -> tuple[Service, ...]:
        """The SRV records, the most preferred first."""

    async def tlsa(self, name: str) -> tuple[tuple[Association, ...], bool]:
        """The TLSA records, and whether DNSSEC proves them."""


class Policies(Protocol):
    """The policies that are served."""

    async def get(self, domain: str) -> StsPolicy | None:
        """The policy of a domain, None when it has none."""
        ...


class DomainCheck:
    """Checks hosted domains.

    Args:
        lookups: The DNS.
        keeper: Has the keys.
        policies: The policies that were set.
        fetch: Fetches what is served under a URL.
        expected: What the operator says of the platform, anew each time: certificates change.
        addresses: Addresses from which the platform sends, where they are known.
    """

    def __init__(
        self,
        lookups: Lookups,
        keeper: KeyKeeper,
        policies: Policies,
        fetch: Callable[[str], Awaitable[Fetched]],
        expected: Callable[[], Expected],
        addresses: Sequence[IPv4Address | IPv6Address] = (),
    ) -> None:
        self._lookups = lookups
        self._keeper = keeper
        self._policies = policies
        self._fetch = fetch
        self._expected = expected
        self._addresses = addresses

    async def check(self, domain: str) -> list[Finding]:
        """Return what is to be said of each record of a domain (lower case, A-labels)."""
        expected = msgspec.structs.replace(self._expected(), policy=await self._policies.get(domain))
        keys = [key for key in await self._keeper.keys(domain) if key.state is not KeyState.RETIRED]
        lookups = self._lookups
        mx, spf, sts, tls_rpt, bimi = await asyncio.gather(
            answered(lookups.mx(domain)),
            answered(lookups.txt(domain)),
            answered(lookups.txt(f"_mta-sts.{domain}")),
            answered(lookups.txt(f"_smtp._tls.{domain}")),
            answered(lookups.txt(f"default._bimi.{domain}")),
        )
        fetched, spf_results, dmarc = await asyncio.gather(
            self._fetch(f"https://mta-sts.{domain}/.well-known/mta-sts.txt"),
            self._spf_results(domain),
            self._dmarc(domain),
        )
        hosts = list(dict.fromkeys([one.exchange for one in mx.records if one.exchange] or expected.mx))[:_MAX_HOSTS]
        dkim, services, dane = await asyncio.gather(
            asyncio.gather(*[answered(lookups.txt(key.record_name)) for key in keys]),
            asyncio.gather(*[answered(lookups.srv(f"{label}.{domain}")) for label in OFFERED]),
            asyncio.gather(*[self._tlsa(host) for host in hosts]),
        )
        policy = check_sts_policy(domain, fetched, expected, hosts)
        return [
            check_mx(domain, mx, expected),
            check_spf(domain, spf, expected, spf_results),
            *[check_dkim(key, answer) for key, answer in zip(keys, dkim, strict=True)],
            check_dmarc(domain, dmarc[0], dmarc[1]),
            check_sts_record(domain, sts, expected, served=policy.state is RecordState.RIGHT),
            policy,
            check_tls_rpt(domain, tls_rpt),
            *[check_dane(host, answer, expected) for host, answer in zip(hosts, dane, strict=True)],
            *[check_service(domain, label, answer, expected) for label, answer in zip(OFFERED, services, strict=True)],
            check_bimi(domain, bimi, enforced=dmarc[2]),
        ]

    async def _tlsa(self, host: str) -> Answer[Association]:
        try:
            records, proven = await self._lookups.tlsa(f"_25._tcp.{host}")
        except NoSuchNameError:
            return Answer()
        except TemporaryDnsError:
            return Answer(failed=True)
        return Answer(records, proven=proven)

    async def _spf_results(self, domain: str) -> list[tuple[str, SpfResult]]:
        outcomes = await asyncio.gather(
            *[check_mail_from(self._lookups, one, f"postmaster@{domain}", domain) for one in self._addresses]
        )
        return [(str(one), outcome.result) for one, outcome in zip(self._addresses, outcomes, strict=True)]

    async def _dmarc(self, domain: str) -> tuple[Answer[bytes], tuple[str, DmarcRecord] | None, bool]:
        """Return the answer for the domain's own record, the record above it that counts, and whether something is enforced."""
        own = await answered(self._lookups.txt(f"_dmarc.{domain}"))
        above, enforced = None, False
        try:
            walked = await TreeWalk(self._lookups).walk(domain)
        except TemporaryDnsError:
            return own, None, False
        if walked:
            record = walked[0].record
            policy = record.policy if walked[0].domain == domain else record.for_subdomain(exists=True)
            enforced = policy is not None and policy is not Policy.NONE
            if walked[0].domain != domain:
                above = (walked[0].domain, record)
        return own, above, enforced


async def answered(question: Awaitable[tuple[Record, ...]]) -> Answer[Record]:
    """Return what a question gave; no such name is no record."""
    try:
        return Answer(await question)
    except NoSuchNameError:
        return Answer()
    except TemporaryDnsError:
        return Answer(failed=True)
