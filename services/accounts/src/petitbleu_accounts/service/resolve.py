"""Resolve: where addresses lead, a batch in a few statements."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu_accounts.adapters.postgres_directory import PostgresDirectory
from petitbleu_accounts.domain.addresses import BARE_POSTMASTER, OFFICES, Wanted, hosted_domain, wanted
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.domain.resolution import (
    NOWHERE,
    REMOTE,
    AddressStatus,
    Entry,
    HostedDomain,
    Resolution,
    reached,
    resolution,
)


class Resolver:
    """Answers where mail goes."""

    def __init__(self, directory: PostgresDirectory) -> None:
        self._directory = directory

    async def resolve(self, addresses: Sequence[str]) -> list[Resolution]:
        """Return one answer for each address, same order.

        An exact address wins over the split of a detail (RFC 5233 §1), that over the offices of RFC 2142, those over the
        domain's catch-all. What is no address at all is unknown, never remote: it must not be relayed.
        """
        asked = await self._asked(addresses)
        names = {want.domain for want in asked if want is not None}
        keys = {key for want in asked if want is not None for key in (want.address, want.base)}
        entries, domains = await self._directory.places(keys, names) if names else ({}, {})
        aliases = {entry.alias_id for entry in entries.values() if entry.alias_id is not None}
        members = await self._directory.members(aliases) if aliases else {}

        answers: list[Resolution] = []
        fallbacks: list[tuple[int, Wanted, HostedDomain]] = []
        for index, want in enumerate(asked):
            domain = None if want is None else domains.get(want.domain)
            if want is None or domain is None:
                answers.append(NOWHERE if want is None else REMOTE)
                continue
            answer = self._direct(want, domain, entries, members)
            answers.append(answer or NOWHERE)
            if answer is None:
                fallbacks.append((index, want, domain))
        if fallbacks:
            await self._fall_back(fallbacks, answers)
        return answers

    async def domains(self, names: Sequence[str]) -> list[HostedDomain]:
        """Return those of some domains that are hosted here; what is no name of a domain is hosted nowhere."""
        asked = {name for name in map(hosted_domain, names) if name is not None}
        return list((await self._directory.domains(asked)).values())

    async def _asked(self, addresses: Sequence[str]) -> list[Wanted | None]:
        """The addresses in the form for look-up; the bare postmaster is that of the first domain hosted here."""
        asked = [wanted(address) for address in addresses]
        if BARE_POSTMASTER in asked:
            first = await self._directory.first_domain()
            postmaster = None if first is None else wanted(f"{BARE_POSTMASTER.local}@{first.name}")
            asked = [postmaster if want is BARE_POSTMASTER else want for want in asked]
        return asked

    @staticmethod
    def _direct(
        want: Wanted, domain: HostedDomain, entries: dict[str, Entry], members: dict[int, list[Entry]]
    ) -> Resolution | None:
        """The answer of the directory's own rows; None when nothing but a fallback can answer."""
        detail = ""
        entry = entries.get(want.address)
        if entry is None or entry.state == State.PENDING:
            detail = want.detail
            entry = entries.get(want.base)
            if entry is None or entry.state == State.PENDING:
                return None
        found = resolution(domain, reached(entry, members), detail, entry.alias_id or 0)
        # RFC 5321 §4.5.1: an office whose own address reaches nobody still reaches somebody
        return None if not found.targets and want.local in OFFICES else found

    async def _fall_back(
        self, fallbacks: Sequence[tuple[int, Wanted, HostedDomain]], answers: list[Resolution]
    ) -> None:
        """Fill in offices (RFC 2142) and catch-alls."""
        offices = {domain.tenant_id for _, want, domain in fallbacks if want.local in OFFICES}
        administrators = await self._directory.administrators(offices) if offices else {}
        ids = {domain.catch_all_account_id for _, _, domain in fallbacks if domain.catch_all_account_id is not None}
        catch_alls = await self._directory.entries_by_id(ids) if ids else {}
        for index, want, domain in fallbacks:
            answer = Resolution(AddressStatus.UNKNOWN, (), domain.domain_id, domain.tenant_id)
            if want.local in OFFICES:
                answer = resolution(domain, administrators.get(domain.tenant_id, ()), "", domain.domain_id)
            catch_all = catch_alls.get(domain.catch_all_account_id or 0)
            if not answer.targets and catch_all is not None and catch_all.state == State.ACTIVE:
                answer = resolution(domain, [catch_all], want.detail, domain.domain_id)
            if not answer.targets and want.local in OFFICES:
                answer = resolution(domain, await self._directory.first_adult(domain.domain_id), "", domain.domain_id)
            answers[index] = answer
