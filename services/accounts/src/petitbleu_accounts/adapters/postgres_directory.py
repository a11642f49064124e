"""Reading the directory: reference tables, so these statements name no partition."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import asyncpg

from petitbleu_accounts.adapters.database import Pool
from petitbleu_accounts.domain.resolution import MAX_ALIAS_DEPTH, Entry, HostedDomain
from petitbleu_kit.kept_connections import KeptConnections

_ENTRY: Final = "a.address, a.domain_id, a.alias_id, a.account_id, c.tenant_id, c.state, c.guarded"
_ACCOUNT_ENTRY: Final = (
    "'' AS address, c.domain_id, NULL::bigint AS alias_id, c.account_id, c.tenant_id, c.state, c.guarded"
)

_DOMAINS: Final = """/* reference:accounts.domains */
SELECT domain_id, tenant_id, name, catch_all_account_id FROM domain WHERE name = ANY($1::text[])"""
_ENTRIES: Final = f"""/* reference:accounts.entries */
SELECT {_ENTRY} FROM address a LEFT JOIN account c ON c.account_id = a.account_id WHERE a.address = ANY($1::text[])"""
# A question at RCPT is one statement: beside its rows, a statement costs as much as the whole of the call.
_PLACES: Final = f"""/* reference:accounts.places */
SELECT {_ENTRY}, NULL::bigint AS catch_all_account_id, false AS is_domain
FROM address a LEFT JOIN account c ON c.account_id = a.account_id WHERE a.address = ANY($1::text[])
UNION ALL
SELECT d.name, d.domain_id, NULL, NULL, d.tenant_id, NULL, NULL, d.catch_all_account_id, true
FROM domain d WHERE d.name = ANY($2::text[])"""
_MEMBERS: Final = f"""/* reference:accounts.members */
SELECT m.alias_id AS owner, {_ENTRY} FROM alias_member m JOIN address a ON a.address = m.member
LEFT JOIN account c ON c.account_id = a.account_id WHERE m.alias_id = ANY($1::bigint[]) ORDER BY m.alias_id, m.member"""
_BY_ID: Final = f"""/* reference:accounts.entries_by_id */
SELECT {_ACCOUNT_ENTRY} FROM account c WHERE c.account_id = ANY($1::bigint[])"""
_ADMINISTRATORS: Final = f"""/* reference:accounts.administrators */
SELECT {_ACCOUNT_ENTRY} FROM account c
WHERE c.tenant_id = ANY($1::bigint[]) AND c.administers AND c.state = 1 ORDER BY c.account_id"""
_FIRST_TENANT: Final = """/* reference:accounts.first_tenant */
SELECT d.domain_id, d.tenant_id, d.name, d.catch_all_account_id FROM domain d JOIN tenant t USING (tenant_id)
ORDER BY t.created_at, t.tenant_id, d.created_at, d.domain_id LIMIT 1"""
_FIRST_ADULT: Final = f"""/* reference:accounts.first_adult */
SELECT {_ACCOUNT_ENTRY} FROM account c WHERE c.domain_id = $1 AND c.state = 1 AND NOT c.guarded
ORDER BY c.account_id LIMIT 1"""


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(*row.values())


def _domain(row: asyncpg.Record) -> HostedDomain:
    return HostedDomain(*row.values())


class PostgresDirectory:
    """What the directory holds, as it is now."""

    def __init__(self, pool: Pool | KeptConnections) -> None:
        self._pool = pool

    async def domains(self, names: Collection[str]) -> dict[str, HostedDomain]:
        """Hosted domains by name."""
        rows = await self._pool.fetch(_DOMAINS, list(names))
        return {row["name"]: _domain(row) for row in rows}

    async def entries(self, addresses: Collection[str]) -> dict[str, Entry]:
        """Entries by canonical address."""
        rows = await self._pool.fetch(_ENTRIES, list(addresses))
        return {row["address"]: _entry(row) for row in rows}

    async def places(
        self, addresses: Collection[str], domains: Collection[str]
    ) -> tuple[dict[str, Entry], dict[str, HostedDomain]]:
        """Entries by canonical address, and hosted domains by name, as they are at one instant."""
        entries: dict[str, Entry] = {}
        hosted: dict[str, HostedDomain] = {}
        for row in await self._pool.fetch(_PLACES, list(addresses), list(domains)):
            name, domain_id, alias_id, account_id, tenant_id, state, guarded, catch_all, is_domain = row.values()
            if is_domain:
                hosted[name] = HostedDomain(domain_id, tenant_id, name, catch_all)
            else:
                entries[name] = Entry(name, domain_id, alias_id, account_id, tenant_id, state, guarded)
        return entries, hosted

    async def members(self, alias_ids: Collection[int], depth: int = MAX_ALIAS_DEPTH) -> dict[int, list[Entry]]:
        """Members of aliases, and of the aliases among them, `depth` levels down; one statement a level."""
        known: dict[int, list[Entry]] = {}
        level = set(alias_ids)
        for _ in range(depth):
            if not level:
                break
            for alias_id in level:
                known[alias_id] = []
            below: set[int] = set()
            for row in await self._pool.fetch(_MEMBERS, list(level)):
                owner, *values = row.values()
                entry = Entry(*values)
                known[owner].append(entry)
                if entry.alias_id is not None and entry.alias_id not in known:
                    below.add(entry.alias_id)
            level = below
        return known

    async def entries_by_id(self, account_ids: Collection[int]) -> dict[int, Entry]:
        """Accounts as entries, by id."""
        rows = await self._pool.fetch(_BY_ID, list(account_ids))
        return {row["account_id"]: _entry(row) for row in rows}

    async def administrators(self, tenant_ids: Collection[int]) -> dict[int, list[Entry]]:
        """Active administrators of tenants."""
        found: dict[int, list[Entry]] = {}
        for row in await self._pool.fetch(_ADMINISTRATORS, list(tenant_ids)):
            found.setdefault(row["tenant_id"], []).append(_entry(row))
        return found

    async def first_domain(self) -> HostedDomain | None:
        """The first domain of the first tenant: whose administrators answer for the platform."""
        row = await self._pool.fetchrow(_FIRST_TENANT)
        return None if row is None else _domain(row)

    async def first_adult(self, domain_id: int) -> Sequence[Entry]:
        """Some active account of a domain that is not a child's, or nothing."""
        row = await self._pool.fetchrow(_FIRST_ADULT, domain_id)
        return [] if row is None else [_entry(row)]
