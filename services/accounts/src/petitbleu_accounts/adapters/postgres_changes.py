"""Changing tenants, domains and accounts; each commit carries its fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.adapters.facts import directory_changed
from petitbleu_accounts.domain.addresses import retired_digest
from petitbleu_accounts.domain.chosen_names import alike_digest
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.domain.resolution import HostedDomain
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

_SET_STATE: Final = """/* reference:accounts.set_state */
UPDATE account SET state = $2, changed_at = now() WHERE account_id = $1 AND state IN (1, 2)"""
_CLOSE: Final = """/* reference:accounts.close */
UPDATE account SET state = 3, administers = false, changed_at = now() WHERE account_id = $1 AND state <> 3"""
_DROP_ADDRESSES: Final = """/* reference:accounts.drop_addresses */
DELETE FROM address WHERE account_id = $1 RETURNING address"""
_RETIRE: Final = """/* reference:accounts.retire_addresses */
INSERT INTO retired_address (digest, alike) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING"""
_DROP_MEMBERSHIPS: Final = """/* reference:accounts.drop_memberships */
DELETE FROM alias_member WHERE member = ANY($1::text[])"""
_DROP_CATCH_ALL: Final = """/* reference:accounts.drop_catch_all */
UPDATE domain SET catch_all_account_id = NULL WHERE catch_all_account_id = $1 RETURNING domain_id"""
_FORGET_PERSON: Final = """/* cold:accounts.forget_person */
UPDATE person SET display_name = '', password_hash = NULL, recovery_digest = NULL, roles = '{}', pending_guardians = '{}'
WHERE partition = $1 AND account_id = $2"""
_END_SESSIONS: Final = "/* cold:accounts.end_sessions */ DELETE FROM session WHERE partition = $1 AND account_id = $2"
_FORGET_IDENTITIES: Final = """/* cold:accounts.forget_identities */ WITH gone AS (
    DELETE FROM identity WHERE partition = $1 AND account_id = $2
) DELETE FROM identity_book WHERE partition = $1 AND account_id = $2"""
# RFC 8620 §7.2: push subscriptions end with the credential that they were made with.
_END_PUSH: Final = "/* cold:accounts.end_push */ DELETE FROM push_subscription WHERE partition = $1 AND account_id = $2"
_END_PUSH_OF: Final = f"{_END_PUSH} AND credential_id = $3"
_END_PUSH_OF_PASSWORD: Final = f"""{_END_PUSH} AND credential_id NOT IN (
    SELECT app_password_id FROM app_password WHERE partition = $1 AND account_id = $2)"""
_END_SESSION: Final = """/* cold:accounts.end_session */
DELETE FROM session WHERE partition = $1 AND account_id = $2 AND session_id = $3 RETURNING true"""
_FORGET_DEVICES: Final = (
    "/* cold:accounts.forget_devices */ DELETE FROM device WHERE partition = $1 AND account_id = $2"
)
_END_APP_PASSWORDS: Final = """/* cold:accounts.end_app_passwords */
DELETE FROM app_password WHERE partition = $1 AND account_id = $2"""
_FORGET_SALT: Final = """/* cold:accounts.forget_scram_salt */
DELETE FROM scram_salt WHERE partition = $1 AND account_id = $2"""
_REPLACE_HASH: Final = """/* cold:accounts.set_password */
UPDATE person SET password_hash = $3, credentials_changed_at = now() WHERE partition = $1 AND account_id = $2"""
_RECOVER: Final = """/* cold:accounts.recover */
UPDATE person SET password_hash = $3, recovery_digest = $5, credentials_changed_at = now()
WHERE partition = $1 AND account_id = $2 AND recovery_digest = $4 RETURNING true"""
_SET_QUOTA: Final = """/* cold:accounts.set_quota */
UPDATE person SET quota_octets = $3 WHERE partition = $1 AND account_id = $2"""
_CLOSING: Final = """/* reference:accounts.closing */
SELECT account_id, partition FROM account WHERE state = 3 ORDER BY changed_at LIMIT 100"""


class TenantRow(NamedTuple):
    """A tenant."""

    tenant_id: int
    name: str


class AccountKey(NamedTuple):
    """What a change needs to know of an account."""

    account_id: int
    partition: int
    tenant_id: int
    domain_id: int
    state: int


class PostgresChanges:
    """The operator's changes."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def create_tenant(self, name: str) -> TenantRow:
        """Make a tenant. Raises `AccountsError` ALREADY_EXISTS."""
        tenant = TenantRow(new_row_id(), name)
        done = await self._pool.fetchval(
            "/* reference:accounts.create_tenant */ INSERT INTO tenant (tenant_id, name) VALUES ($1, $2) "
            "ON CONFLICT (name) DO NOTHING RETURNING true", *tenant,
        )  # fmt: skip
        if not done:
            raise AccountsError(Fault.ALREADY_EXISTS, "a tenant has this name")
        return tenant

    async def tenants(self) -> list[TenantRow]:
        """All tenants by name."""
        rows = await self._pool.fetch(
            "/* reference:accounts.tenants */ SELECT tenant_id, name FROM tenant ORDER BY name"
        )
        return [TenantRow(*row.values()) for row in rows]

    async def tenant(self, name: str) -> TenantRow:
        """The tenant of a name. Raises `AccountsError` NOT_FOUND."""
        row = await self._pool.fetchrow(
            "/* reference:accounts.tenant */ SELECT tenant_id, name FROM tenant WHERE name = $1", name
        )
        if row is None:
            raise AccountsError(Fault.NOT_FOUND, "no tenant has this name")
        return TenantRow(*row.values())

    async def put_mark(self, tenant_id: int, name: str) -> None:
        """Record a step of setting a tenant up."""
        await self._pool.execute(
            "/* reference:accounts.put_mark */ INSERT INTO tenant_mark (tenant_id, name) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING", tenant_id, name,
        )  # fmt: skip

    async def marks(self, tenant_id: int) -> list[str]:
        """The steps recorded for a tenant."""
        rows = await self._pool.fetch(
            "/* reference:accounts.marks */ SELECT name FROM tenant_mark WHERE tenant_id = $1 ORDER BY name",
            tenant_id,
        )
        return [row["name"] for row in rows]

    async def create_domain(self, tenant_id: int, name: str) -> HostedDomain:
        """Make a domain. Raises `AccountsError` ALREADY_EXISTS."""
        domain = HostedDomain(new_row_id(), tenant_id, name, None)

        async def work(connection: Connection) -> list[OutboxRow]:
            done = await connection.fetchval(
                "/* reference:accounts.create_domain */ INSERT INTO domain (domain_id, tenant_id, name) "
                "VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING true", domain.domain_id, tenant_id, name,
            )  # fmt: skip
            if not done:
                raise AccountsError(Fault.ALREADY_EXISTS, "this domain is hosted already")
            return await self._tell(connection, directory_changed(tenant_id, (), (domain.domain_id,)))

        self._outbox.published_soon(await in_transaction(self._pool, work))
        return domain

    async def domains(self, tenant_id: int | None) -> list[HostedDomain]:
        """Domains of a tenant or all, by name."""
        rows = await self._pool.fetch(
            "/* reference:accounts.list_domains */ SELECT domain_id, tenant_id, name, catch_all_account_id, sign_up "
            "FROM domain WHERE $1::bigint IS NULL OR tenant_id = $1 ORDER BY name", tenant_id,
        )  # fmt: skip
        return [HostedDomain(*row.values()) for row in rows]

    async def set_catch_all(self, domain: HostedDomain, account_id: int | None) -> None:
        """Set or clear the account that gets unknown addresses of a domain."""

        async def work(connection: Connection) -> list[OutboxRow]:
            await connection.execute(
                "/* reference:accounts.set_catch_all */ UPDATE domain SET catch_all_account_id = $2 "
                "WHERE domain_id = $1", domain.domain_id, account_id,
            )  # fmt: skip
            return await self._tell(connection, directory_changed(domain.tenant_id, (), (domain.domain_id,)))

        self._outbox.published_soon(await in_transaction(self._pool, work))

    async def account(self, address: str) -> AccountKey | None:
        """The account of an address of its own, pending ones included."""
        row = await self._pool.fetchrow(
            "/* reference:accounts.account_by_address */ SELECT c.account_id, c.partition, c.tenant_id, "
            "c.domain_id, c.state FROM address a JOIN account c ON c.account_id = a.account_id WHERE a.address = $1",
            address,
        )
        return None if row is None else AccountKey(*row.values())

    async def set_state(self, key: AccountKey, state: State) -> None:
        """Enable or disable; disabling ends the sessions."""

        async def work(connection: Connection) -> list[OutboxRow]:
            await connection.execute(_SET_STATE, key.account_id, int(state))
            if state is State.DISABLED:
                await connection.execute(_END_SESSIONS, key.partition, key.account_id)
                await connection.execute(_END_PUSH, key.partition, key.account_id)
            return await self._tell(connection, directory_changed(key.tenant_id, (key.account_id,), (key.domain_id,)))

        self._outbox.published_soon(await in_transaction(self._pool, work))

    async def set_password(self, key: AccountKey, password_hash: str) -> None:
        """Replace the main password and end the sessions."""

        async def work(connection: Connection) -> list[OutboxRow]:
            await connection.execute(_REPLACE_HASH, key.partition, key.account_id, password_hash)
            await connection.execute(_END_SESSIONS, key.partition, key.account_id)
            await connection.execute(_END_PUSH_OF_PASSWORD, key.partition, key.account_id)
            return await self._tell(connection, directory_changed(key.tenant_id, (key.account_id,)))

        self._outbox.published_soon(await in_transaction(self._pool, work))

    async def recover(self, key: AccountKey, password_hash: str, digest: bytes, next_digest: bytes) -> bool:
        """Set a password by a recovery code, which another replaces; sessions and app passwords end. False when the code is another by now."""

        async def work(connection: Connection) -> list[OutboxRow]:
            if not await connection.fetchval(
                _RECOVER, key.partition, key.account_id, password_hash, digest, next_digest
            ):
                return []
            for statement in (_END_SESSIONS, _END_APP_PASSWORDS, _END_PUSH):
                await connection.execute(statement, key.partition, key.account_id)
            return await self._tell(connection, directory_changed(key.tenant_id, (key.account_id,)))

        events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return bool(events)

    async def set_sign_up(self, domain: HostedDomain, *, opened: bool) -> None:
        """Let people open accounts at a domain, or no more."""
        await self._pool.execute(
            "/* reference:accounts.set_sign_up */ UPDATE domain SET sign_up = $2 WHERE domain_id = $1",
            domain.domain_id, opened,
        )  # fmt: skip

    async def set_quota(self, key: AccountKey, quota_octets: int) -> None:
        """Record the quota that store was told."""

        async def work(connection: Connection) -> list[OutboxRow]:
            await connection.execute(_SET_QUOTA, key.partition, key.account_id, quota_octets)
            return await self._tell(connection, directory_changed(key.tenant_id, (key.account_id,)))

        self._outbox.published_soon(await in_transaction(self._pool, work))

    async def close(self, key: AccountKey) -> None:
        """Begin the end of an account: addresses retired, credentials gone, nothing resolves to it any more."""

        async def work(connection: Connection) -> list[OutboxRow]:
            await connection.execute(_CLOSE, key.account_id)
            addresses = [row["address"] for row in await connection.fetch(_DROP_ADDRESSES, key.account_id)]
            if key.state != State.PENDING:  # nobody ever wrote to an address that was never visible
                digests = [retired_digest(address) for address in addresses]
                await connection.execute(_RETIRE, digests, [alike_digest(address) for address in addresses])
            await connection.execute(_DROP_MEMBERSHIPS, addresses)
            domains = {row["domain_id"] for row in await connection.fetch(_DROP_CATCH_ALL, key.account_id)}
            await connection.execute(_FORGET_PERSON, key.partition, key.account_id)
            await connection.execute(_END_SESSIONS, key.partition, key.account_id)
            await connection.execute(_END_APP_PASSWORDS, key.partition, key.account_id)
            await connection.execute(_FORGET_DEVICES, key.partition, key.account_id)
            await connection.execute(_FORGET_SALT, key.partition, key.account_id)
            await connection.execute(_END_PUSH, key.partition, key.account_id)
            await connection.execute(_FORGET_IDENTITIES, key.partition, key.account_id)
            event = directory_changed(key.tenant_id, (key.account_id,), domains | {key.domain_id})
            return await self._tell(connection, event)

        self._outbox.published_soon(await in_transaction(self._pool, work))

    async def end_session(self, tenant_id: int, account_id: int, partition: int, session_id: int) -> bool:
        """End one session of an account; say whether there was one."""

        async def work(connection: Connection) -> list[OutboxRow]:
            gone = await connection.fetchval(_END_SESSION, partition, account_id, session_id)
            await connection.execute(_END_PUSH_OF, partition, account_id, session_id)
            return await self._tell(connection, directory_changed(tenant_id, (account_id,))) if gone else []

        events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return bool(events)

    async def closing(self) -> list[tuple[int, int]]:
        """Accounts (id, partition) whose erasure is not finished."""
        return [(row["account_id"], row["partition"]) for row in await self._pool.fetch(_CLOSING)]

    async def forget(self, account_id: int, partition: int) -> None:
        """Delete the last rows of a closed account, once store has erased its mail."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "/* cold:accounts.delete_person */ DELETE FROM person WHERE partition = $1 AND account_id = $2",
                partition, account_id,
            )  # fmt: skip
            await connection.execute(
                "/* reference:accounts.delete_account */ DELETE FROM account WHERE account_id = $1 AND state = 3",
                account_id,
            )

        await in_transaction(self._pool, work)

    async def _tell(self, connection: Connection, event: OutboxRow) -> list[OutboxRow]:
        rows: Sequence[OutboxRow] = [event]
        await self._outbox.insert(connection, rows)
        return list(rows)
