"""Writing aliases and groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.adapters.facts import directory_changed
from petitbleu_accounts.domain.addresses import retired_digest
from petitbleu_accounts.domain.resolution import MAX_ALIAS_DEPTH, HostedDomain
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

# Two changes of aliases of one tenant at once could make a loop that neither sees.
_LOCK: Final = "/* reference:accounts.lock_aliases */ SELECT pg_advisory_xact_lock($1)"
_KNOWN: Final = """/* reference:accounts.alias_by_address */
SELECT alias_id, account_id FROM address WHERE address = $1"""
_RETIRED: Final = "/* reference:accounts.is_retired */ SELECT true FROM retired_address WHERE digest = $1"
_PUT: Final = """/* reference:accounts.put_alias */
INSERT INTO address (address, domain_id, alias_id) VALUES ($1, $2, $3) ON CONFLICT (address) DO NOTHING RETURNING true"""
_CLEAR: Final = "/* reference:accounts.clear_alias */ DELETE FROM alias_member WHERE alias_id = $1"
_FILL: Final = """/* reference:accounts.fill_alias */
INSERT INTO alias_member (alias_id, member) SELECT $1, member FROM unnest($2::text[]) AS n (member)"""
_BELOW: Final = """/* reference:accounts.aliases_below */
SELECT DISTINCT a.alias_id FROM alias_member m JOIN address a ON a.address = m.member
WHERE m.alias_id = ANY($1::bigint[]) AND a.alias_id IS NOT NULL"""
_ABOVE: Final = """/* reference:accounts.aliases_above */
SELECT DISTINCT m.alias_id FROM address a JOIN alias_member m ON m.member = a.address
WHERE a.alias_id = ANY($1::bigint[])"""
_LIST: Final = """/* reference:accounts.list_aliases */
SELECT a.alias_id, a.address, coalesce(array_agg(m.member ORDER BY m.member) FILTER (WHERE m.member IS NOT NULL), '{}') AS members
FROM (SELECT alias_id, address FROM address WHERE alias_id > $1 AND ($2::bigint IS NULL OR domain_id = $2)
      ORDER BY alias_id LIMIT $3) a
LEFT JOIN alias_member m ON m.alias_id = a.alias_id GROUP BY a.alias_id, a.address ORDER BY a.alias_id"""
_DELETE: Final = """/* reference:accounts.delete_alias */
DELETE FROM address WHERE address = $1 AND alias_id IS NOT NULL RETURNING alias_id"""


class Alias(NamedTuple):
    """An alias, or a group when it has several members."""

    alias_id: int
    address: str
    members: Sequence[str]


class PostgresAliases:
    """Aliases and groups of the directory."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def put(self, domain: HostedDomain, address: str, members: Sequence[str]) -> int:
        """Make or replace an alias; members are addresses that exist. Return its id.

        Raises:
            AccountsError: ALREADY_EXISTS for an address of an account, REFUSED for a loop, too deep, or retired.
        """

        async def work(connection: Connection) -> tuple[int, OutboxRow]:
            await connection.execute(_LOCK, domain.tenant_id)
            known = await connection.fetchrow(_KNOWN, address)
            if known is not None and known["account_id"] is not None:
                raise AccountsError(Fault.ALREADY_EXISTS, "the address is an account's")
            alias_id = new_row_id() if known is None else int(known["alias_id"])
            if known is None and not await connection.fetchval(_PUT, address, domain.domain_id, alias_id):
                raise AccountsError(Fault.ALREADY_EXISTS, "the address is an account's")
            if await connection.fetchval(_RETIRED, retired_digest(address)):
                raise AccountsError(Fault.REFUSED, "the address belonged to an account that was closed")
            await connection.execute(_CLEAR, alias_id)
            await connection.execute(_FILL, alias_id, sorted(set(members)))
            below = await self._height(connection, alias_id, _BELOW)
            above = await self._height(connection, alias_id, _ABOVE)
            if below + above + 1 > MAX_ALIAS_DEPTH:
                raise AccountsError(Fault.REFUSED, f"aliases may stand {MAX_ALIAS_DEPTH} behind each other, not more")
            event = directory_changed(domain.tenant_id, (), (domain.domain_id,))
            await self._outbox.insert(connection, [event])
            return alias_id, event

        alias_id, event = await in_transaction(self._pool, work)
        self._outbox.published_soon([event])
        return alias_id

    async def page(self, domain_id: int | None, after: int, limit: int) -> list[Alias]:
        """A page of aliases in order of id, of one domain or of all."""
        return [Alias(*row.values()) for row in await self._pool.fetch(_LIST, after, domain_id, limit)]

    async def delete(self, domain: HostedDomain, address: str) -> None:
        """Remove an alias, also from the groups that it is in. Raises `AccountsError` NOT_FOUND."""

        async def work(connection: Connection) -> OutboxRow:
            await connection.execute(_LOCK, domain.tenant_id)
            alias_id = await connection.fetchval(_DELETE, address)
            if alias_id is None:
                raise AccountsError(Fault.NOT_FOUND, "no alias has this address")
            await connection.execute(_CLEAR, alias_id)
            await connection.execute(
                "/* reference:accounts.drop_alias_memberships */ DELETE FROM alias_member WHERE member = $1",
                address,
            )
            event = directory_changed(domain.tenant_id, (), (domain.domain_id,))
            await self._outbox.insert(connection, [event])
            return event

        self._outbox.published_soon([await in_transaction(self._pool, work)])

    @staticmethod
    async def _height(connection: Connection, alias_id: int, statement: str) -> int:
        """Levels of aliases below or above one. Raises `AccountsError` REFUSED when it meets itself."""
        level: Collection[int] = [alias_id]
        for height in range(MAX_ALIAS_DEPTH + 1):
            level = [row["alias_id"] for row in await connection.fetch(statement, list(level))]
            if not level:
                return height
            if alias_id in level:
                raise AccountsError(Fault.REFUSED, "the aliases would lead back to themselves")
        return MAX_ALIAS_DEPTH + 1
