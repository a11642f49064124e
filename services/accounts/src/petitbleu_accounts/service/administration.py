"""The operator's changes, with the rules that keep tenants apart."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_aliases import Alias, PostgresAliases
from petitbleu_accounts.adapters.postgres_changes import AccountKey, PostgresChanges, TenantRow
from petitbleu_accounts.adapters.postgres_credentials import PostgresCredentials
from petitbleu_accounts.adapters.postgres_directory import PostgresDirectory
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.addresses import Wanted, hosted_domain, wanted
from petitbleu_accounts.domain.people import AccountInfo, State, is_name
from petitbleu_accounts.domain.resolution import HostedDomain
from petitbleu_accounts.domain.secrets import app_password_digest, new_app_password, prepare_password
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.ports import MailStore
from petitbleu_accounts.service.identities import Identities
from petitbleu_accounts.service.memory import CredentialMemory
from petitbleu_accounts.service.scram import Scram
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
MAX_MEMBERS: Final = 5_000
MAX_PAGE: Final = 1_000
_FOLLOWED: Final = 20
PROTOCOLS: Final = frozenset({"jmap", "smtp", "imap", "dav", "sieve"})


class Administration:
    """Tenants, domains, accounts and aliases, as the operator changes them."""

    def __init__(
        self, settings: Settings, directory: PostgresDirectory, accounts: PostgresAccounts, changes: PostgresChanges,
        aliases: PostgresAliases, credentials: PostgresCredentials, passwords: PasswordPool, store: MailStore,
        memory: CredentialMemory, identities: Identities, scram: Scram,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._directory = directory
        self._accounts = accounts
        self._changes = changes
        self._aliases = aliases
        self._credentials = credentials
        self._passwords = passwords
        self._store = store
        self._memory = memory
        self._identities = identities
        self._scram = scram

    async def create_tenant(self, name: str) -> TenantRow:
        """Make a tenant."""
        if not is_name(name):
            raise AccountsError(Fault.INVALID, "a tenant's name has 1-64 letters, digits, dots and hyphens")
        return await self._changes.create_tenant(name)

    async def tenants(self) -> list[TenantRow]:
        """All tenants by name."""
        return await self._changes.tenants()

    async def put_mark(self, tenant: str, mark: str) -> None:
        """Record a step of setting a tenant up."""
        if not is_name(mark):
            raise AccountsError(Fault.INVALID, "a mark has 1-64 letters, digits, dots and hyphens")
        await self._changes.put_mark((await self._changes.tenant(tenant)).tenant_id, mark)

    async def marks(self, tenant: str) -> list[str]:
        """The steps recorded for a tenant."""
        return await self._changes.marks((await self._changes.tenant(tenant)).tenant_id)

    async def create_domain(self, tenant: str, name: str) -> HostedDomain:
        """Make a hosted domain of a tenant."""
        canonical = hosted_domain(name)
        if canonical is None:
            raise AccountsError(Fault.INVALID, "this is not a domain name")
        return await self._changes.create_domain((await self._changes.tenant(tenant)).tenant_id, canonical)

    async def domains(self, tenant: str) -> list[HostedDomain]:
        """Domains of a tenant, or all."""
        return await self._changes.domains((await self._changes.tenant(tenant)).tenant_id if tenant else None)

    async def set_sign_up(self, name: str, *, opened: bool) -> None:
        """Let people open accounts at a domain, or no more."""
        await self._changes.set_sign_up(await self._domain(name), opened=opened)

    async def _domain(self, name: str) -> HostedDomain:
        canonical = hosted_domain(name)
        found = await self._directory.domains([canonical]) if canonical is not None else {}
        if canonical not in found:
            raise AccountsError(Fault.NOT_FOUND, "this domain is not hosted here")
        return found[canonical]

    async def page(self, domain: str, after: int, limit: int) -> list[AccountInfo]:
        """A page of accounts."""
        if not 0 <= limit <= MAX_PAGE:
            raise AccountsError(Fault.INVALID, "a page has 1-1,000 accounts")
        domain_id = (await self._domain(domain)).domain_id if domain else None
        return await self._accounts.page(domain_id, after, limit or 100)

    async def _account(self, address: str) -> AccountKey:
        want = wanted(address)
        key = await self._changes.account(want.address) if want is not None else None
        if key is None:
            raise AccountsError(Fault.NOT_FOUND, "no account has this address")
        return key

    async def set_state(self, address: str, state: int) -> None:
        """Enable or disable an account."""
        if state not in {State.ACTIVE, State.DISABLED}:
            raise AccountsError(Fault.INVALID, "an account is enabled or disabled; closing it is another command")
        key = await self._account(address)
        if key.state == State.PENDING:
            raise AccountsError(Fault.REFUSED, "the account is not finished yet, try again")
        await self._changes.set_state(key, State(state))
        self._memory.forget([key.account_id])

    async def set_password(self, address: str, password: str) -> None:
        """Replace the main password; every session ends."""
        prepared = prepare_password(password)
        if prepared is None or len(prepared) < self._settings.password_min_length:
            raise AccountsError(
                Fault.INVALID,
                f"a password has at least {self._settings.password_min_length} characters, 1,024 octets at most",
            )
        key = await self._account(address)
        await self._changes.set_password(key, await self._passwords.hash(prepared))
        self._memory.forget([key.account_id])

    async def set_quota(self, address: str, quota_octets: int) -> None:
        """Set the octets an account may use: store enforces it, so store is told first."""
        if quota_octets < 0:
            raise AccountsError(Fault.INVALID, "a quota is not negative")
        key = await self._account(address)
        await self._store.set_quota(key.account_id, quota_octets)
        await self._changes.set_quota(key, quota_octets)
        self._memory.forget([key.account_id])

    async def close(self, address: str) -> None:
        """Close an account: it is gone for everybody at once, its mail and keys as soon as store answers."""
        key = await self._account(address)
        await self._changes.close(key)
        self._memory.forget([key.account_id])
        with contextlib.suppress(AccountsError):  # the sweep goes on trying
            await self._erase(key.account_id, key.partition)

    async def _erase(self, account_id: int, partition: int) -> None:
        await self._store.erase(account_id)
        await self._changes.forget(account_id, partition)
        _log.info("account erased", account_id=account_id)

    async def sweep_closing(self) -> None:
        """Go on with erasures that are not finished."""
        for account_id, partition in await self._changes.closing():
            with contextlib.suppress(AccountsError):
                await self._erase(account_id, partition)

    async def put_alias(self, address: str, members: Sequence[str]) -> int:
        """Make or replace an alias or group; its members exist, in the same tenant."""
        want = wanted(address)
        if want is None or not want.domain:
            raise AccountsError(Fault.INVALID, "this is not an address")
        if not 1 <= len(members) <= MAX_MEMBERS:
            raise AccountsError(Fault.INVALID, f"an alias has 1-{MAX_MEMBERS:,} members")
        domain = await self._domain(want.domain)
        parsed = [wanted(member) for member in members]
        keys = {key for member in parsed if member is not None for key in (member.address, member.base)}
        entries = await self._directory.entries(keys)
        domains = await self._directory.domains({member.domain for member in parsed if member is not None})
        found = []
        for member in parsed:
            entry = None if member is None else entries.get(member.address) or entries.get(member.base)
            if member is None or entry is None or entry.state in {State.PENDING, State.CLOSING}:
                raise AccountsError(Fault.NOT_FOUND, "a member is not an address here")
            if domains[member.domain].tenant_id != domain.tenant_id:
                raise AccountsError(Fault.REFUSED, "a member belongs to another tenant")
            found.append(entry.address)
        before = await self._reached(want.address)
        alias_id = await self._aliases.put(domain, want.address, found)
        await self._identities.follow(before | await self._reached(want.address))
        return alias_id

    async def _reached(self, address: str) -> set[int]:
        """Accounts to which an alias leads, none for a large group: a group is nobody's own address."""
        entry = (await self._directory.entries([address])).get(address)
        if entry is None or entry.alias_id is None:
            return set()
        members = await self._directory.members([entry.alias_id])
        found = {one.account_id for entries in members.values() for one in entries if one.account_id is not None}
        return found if len(found) <= _FOLLOWED else set()

    async def alias_page(self, domain: str, after: int, limit: int) -> list[Alias]:
        """A page of aliases and groups."""
        if not 0 <= limit <= MAX_PAGE:
            raise AccountsError(Fault.INVALID, "a page has 1-1,000 aliases")
        domain_id = (await self._domain(domain)).domain_id if domain else None
        return await self._aliases.page(domain_id, after, limit or 100)

    async def delete_alias(self, address: str) -> None:
        """Remove an alias or group."""
        want = wanted(address)
        if want is None or not want.domain:
            raise AccountsError(Fault.INVALID, "this is not an address")
        before = await self._reached(want.address)
        await self._aliases.delete(await self._domain(want.domain), want.address)
        await self._identities.follow(before)

    async def set_catch_all(self, domain_name: str, address: str) -> None:
        """Set or clear the account that gets unknown addresses of a domain; it is of the same tenant, and no child's."""
        domain = await self._domain(domain_name)
        account_id: int | None = None
        if address:
            want: Wanted | None = wanted(address)
            entry = (await self._directory.entries([want.address])).get(want.address) if want is not None else None
            if entry is None or entry.account_id is None or entry.state != State.ACTIVE:
                raise AccountsError(Fault.NOT_FOUND, "no active account has this address")
            if entry.tenant_id != domain.tenant_id:
                raise AccountsError(Fault.REFUSED, "the account belongs to another tenant")
            if entry.guarded:
                raise AccountsError(Fault.REFUSED, "a child's account does not get everybody's mail")
            account_id = entry.account_id
        await self._changes.set_catch_all(domain, account_id)

    async def create_app_password(self, address: str, label: str, protocols: Sequence[str]) -> tuple[str, int]:
        """Make a random password for some protocols; return it, for once, and its id."""
        if set(protocols) - PROTOCOLS:
            raise AccountsError(Fault.INVALID, "a protocol is one of dav, imap, jmap, sieve, smtp")
        if len(label) > 200 or not label.isprintable():
            raise AccountsError(Fault.INVALID, "a label has at most 200 characters")
        key = await self._account(address)
        if key.state not in {State.ACTIVE, State.DISABLED}:
            raise AccountsError(Fault.NOT_FOUND, "no account has this address")
        password = new_app_password()
        digest = app_password_digest(key.account_id, password)
        if digest is None:
            raise AssertionError("an app password of ours always has a digest")
        app_password_id = new_row_id()
        await self._credentials.new_app_password(
            key.partition,
            key.account_id,
            app_password_id,
            digest,
            label,
            sorted(set(protocols)),
            await self._scram.verifier(
                key.partition, key.account_id, await self._credentials.main_address(key.account_id), password
            ),
        )
        return password, app_password_id
