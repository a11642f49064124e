"""Writing accounts: reserve, then make visible."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.adapters.facts import directory_changed
from petitbleu_accounts.domain.chosen_names import alike_digest
from petitbleu_accounts.domain.people import Child, Draft, Role
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

_RESERVE: Final = """/* reference:accounts.reserve_address */
INSERT INTO address (address, domain_id, account_id, main, alike, chosen)
SELECT address, domain_id, account_id, true, alike, chosen
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bool[]) AS n (address, domain_id, account_id, alike, chosen)
ORDER BY address ON CONFLICT DO NOTHING RETURNING address"""
# A statement of its own: it sees what a closing that the INSERT waited for has committed. What a person chose may not look like what
# anybody has or had either.
_RETIRED: Final = """/* reference:accounts.refuse_retired */
DELETE FROM address a WHERE a.address = ANY($1::text[]) AND (
EXISTS (SELECT FROM retired_address r WHERE r.digest = sha256(convert_to(a.address, 'UTF8')))
OR (a.chosen AND EXISTS (SELECT FROM retired_address r WHERE r.alike = a.alike))
OR (a.chosen AND EXISTS (SELECT FROM address b WHERE b.alike = a.alike AND b.address <> a.address))) RETURNING a.address"""
_ACCOUNT: Final = """/* reference:accounts.reserve_account */
INSERT INTO account (account_id, partition, tenant_id, domain_id, state, guarded, administers)
SELECT account_id, partition, tenant_id, domain_id, 0, guarded, administers
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bool[], $6::bool[])
AS n (account_id, partition, tenant_id, domain_id, guarded, administers)"""
# Lists of lists do not travel as one array of their own shape, so roles and guardians come as text.
_PERSON: Final = """/* cold:accounts.reserve_person */
INSERT INTO person (partition, account_id, display_name, language, quota_octets, roles, password_hash, pending_guardians,
recovery_digest, pending_child)
SELECT partition, account_id, display_name, language, quota_octets, roles::smallint[], password_hash, guardians::bigint[], recovery, child::jsonb
FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::text[])
AS n (partition, account_id, display_name, language, quota_octets, roles, password_hash, guardians, recovery, child)"""
_PENDING: Final = """/* cold:accounts.pending */
SELECT c.account_id, c.partition, c.tenant_id, c.domain_id, a.address, p.display_name, p.language, p.quota_octets,
c.guarded, p.roles, p.pending_guardians, p.password_hash, a.chosen, p.recovery_digest, p.pending_child::text AS child
FROM account c JOIN address a ON a.account_id = c.account_id AND a.main
JOIN person p ON p.partition = c.partition AND p.account_id = c.account_id WHERE c.state = 0"""
_PENDING_BY_ADDRESS: Final = _PENDING + " AND a.address = ANY($1::text[])"
_PENDING_OLD: Final = _PENDING + " AND c.changed_at < now() - make_interval(secs => $1) ORDER BY c.changed_at LIMIT 500"
_ACTIVATE: Final = """/* reference:accounts.activate */
UPDATE account SET state = 1, changed_at = now() WHERE account_id = ANY($1::bigint[]) AND state = 0
RETURNING account_id"""
_SETTLE_PERSON: Final = """/* cold:accounts.settle_person */
UPDATE person p SET password_hash = n.password_hash, display_name = n.display_name, language = n.language,
recovery_digest = n.recovery, pending_guardians = '{}', pending_child = NULL
FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])
AS n (partition, account_id, password_hash, display_name, language, recovery)
WHERE p.partition = n.partition AND p.account_id = n.account_id AND p.partition = ANY($1::smallint[])"""
_MAKE_GUARDIANS: Final = """/* cold:accounts.make_guardians */
UPDATE person p SET roles = (SELECT array_agg(DISTINCT r ORDER BY r) FROM unnest(p.roles || $3::smallint) AS r)
WHERE p.partition = ANY($1::smallint[]) AND p.account_id = ANY($2::bigint[]) AND NOT ($3::smallint = ANY(p.roles))"""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What became of a reservation: new addresses, and drafts that an earlier, unfinished call left."""

    fresh: frozenset[str]
    pending: dict[str, Draft]


def _draft(row: asyncpg.Record) -> Draft:
    return Draft(
        row["account_id"], row["partition"], row["tenant_id"], row["domain_id"], row["address"], row["display_name"],
        row["language"], row["quota_octets"], row["guarded"], tuple(Role(number) for number in row["roles"]),
        tuple(row["pending_guardians"]), row["password_hash"], row["chosen"], row["recovery_digest"],
        None if row["child"] is None else Child(*json.loads(row["child"])),
    )  # fmt: skip


def _array(numbers: Collection[int]) -> str:
    return "{" + ",".join(str(int(number)) for number in numbers) + "}"


class PostgresCreation:
    """Accounts on their way to being visible."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def reserve(self, drafts: Sequence[Draft]) -> Reserved:
        """Write pending accounts with their addresses, which nobody sees yet."""

        async def work(connection: Connection) -> frozenset[str]:
            rows = await connection.fetch(
                _RESERVE, [d.address for d in drafts], [d.domain_id for d in drafts], [d.account_id for d in drafts],
                [alike_digest(d.address) for d in drafts], [d.chosen for d in drafts],
            )  # fmt: skip
            fresh = {row["address"] for row in rows}
            fresh -= {row["address"] for row in await connection.fetch(_RETIRED, list(fresh))}
            new = [draft for draft in drafts if draft.address in fresh]
            if not new:
                return frozenset()
            await connection.execute(
                _ACCOUNT, [d.account_id for d in new], [d.partition for d in new], [d.tenant_id for d in new],
                [d.domain_id for d in new], [d.guarded for d in new], [Role.TENANT_ADMIN in d.roles for d in new],
            )  # fmt: skip
            await connection.execute(
                _PERSON, [d.partition for d in new], [d.account_id for d in new], [d.display_name for d in new],
                [d.language for d in new], [d.quota_octets for d in new], [_array(d.roles) for d in new],
                [d.password_hash for d in new], [_array(d.guardian_ids) for d in new], [d.recovery_digest for d in new],
                [None if d.child is None else json.dumps(dataclasses.astuple(d.child)) for d in new],
            )  # fmt: skip
            return frozenset(fresh)

        fresh = await in_transaction(self._pool, work)
        rest = [draft.address for draft in drafts if draft.address not in fresh]
        rows = await self._pool.fetch(_PENDING_BY_ADDRESS, rest) if rest else []
        return Reserved(fresh, {row["address"]: _draft(row) for row in rows})

    async def unfinished(self, older_than_seconds: float) -> list[Draft]:
        """Pending accounts that a crash or an absent peer left behind."""
        return [_draft(row) for row in await self._pool.fetch(_PENDING_OLD, older_than_seconds)]

    async def activate(self, drafts: Sequence[Draft]) -> frozenset[int]:
        """Make pending accounts visible, with the passwords and names of these drafts; return those made so now."""

        async def work(connection: Connection) -> tuple[frozenset[int], list[OutboxRow]]:
            rows = await connection.fetch(_ACTIVATE, [draft.account_id for draft in drafts])
            made = frozenset(row["account_id"] for row in rows)
            new = [draft for draft in drafts if draft.account_id in made]
            await connection.execute(
                _SETTLE_PERSON, [d.partition for d in new], [d.account_id for d in new],
                [d.password_hash for d in new], [d.display_name for d in new], [d.language for d in new],
                [d.recovery_digest for d in new],
            )  # fmt: skip
            guardians = {account_id for draft in new for account_id in draft.guardian_ids}
            if guardians:
                await _make_guardians(connection, guardians)
            events = []
            for tenant_id in {draft.tenant_id for draft in new}:
                mine = [draft for draft in new if draft.tenant_id == tenant_id]
                ids = {d.account_id for d in mine} | {g for d in mine for g in d.guardian_ids}
                events.append(directory_changed(tenant_id, ids, {d.domain_id for d in mine}))
            await self._outbox.insert(connection, events)
            return made, events

        made, events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return made


async def _make_guardians(connection: Connection, account_ids: Collection[int]) -> None:
    """Give accounts the role of guardian."""
    partitions = {partition_of_account(account_id) for account_id in account_ids}
    await connection.execute(_MAKE_GUARDIANS, list(partitions), list(account_ids), int(Role.GUARDIAN))
