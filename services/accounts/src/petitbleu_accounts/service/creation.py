"""Making accounts in bulk: an address becomes visible only when store, and the guard of a child, know the account.

1. Each account is checked; its address is reserved and its rows written, pending: nothing resolves to it.
2. store makes its own rows; junior-guard learns of each child.
3. The accounts become active, and the fact leaves through the outbox.

A crash between leaves pending rows, which the sweep finishes as they were asked for. A repeated call takes pending rows
over: whoever makes the account active decides its password and name; the other learns that it exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_creation import PostgresCreation
from petitbleu_accounts.adapters.postgres_directory import PostgresDirectory
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.addresses import Wanted, wanted
from petitbleu_accounts.domain.people import (
    AccountInfo,
    Draft,
    NewAccount,
    State,
    is_display_name,
    is_language,
    roles_for,
)
from petitbleu_accounts.domain.resolution import Entry, HostedDomain
from petitbleu_accounts.domain.secrets import prepare_password
from petitbleu_accounts.errors import AccountsError
from petitbleu_accounts.ports import Guard, MailStore
from petitbleu_kit.ids import new_account_id, partition_of_account
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_GUARD_CALLS: Final = 16


@dataclass(frozen=True, slots=True)
class Created:
    """What became of one account: it, with the hash kept of its password; or why not."""

    account: AccountInfo | None
    error: str = ""
    password_hash: str = dataclasses.field(default="", repr=False)


class Creation:
    """Makes accounts."""

    def __init__(
        self, settings: Settings, directory: PostgresDirectory, accounts: PostgresAccounts, table: PostgresCreation,
        passwords: PasswordPool, store: MailStore, guard: Guard,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._directory = directory
        self._accounts = accounts
        self._table = table
        self._passwords = passwords
        self._store = store
        self._guard = guard
        self._guard_calls = asyncio.Semaphore(_GUARD_CALLS)

    async def create(self, asked: Sequence[NewAccount]) -> list[Created]:
        """Make accounts; each has its own result, in order.

        Raises:
            AccountsError: UNAVAILABLE when store does not answer; what is pending is finished by a repeat or the sweep.
        """
        results: list[Created | None] = [None] * len(asked)
        drafts: dict[int, Draft] = {}
        seen: set[str] = set()
        lookups = await self._look_up(asked)
        for index, new in enumerate(asked):
            checked = self._check(new, *lookups)
            if isinstance(checked, Draft) and checked.address not in seen:
                seen.add(checked.address)
                drafts[index] = checked
            else:
                results[index] = Created(None, checked if isinstance(checked, str) else "already-exists")
        hashes = await asyncio.gather(*(self._hash(asked[index].password) for index in drafts))
        drafts = {
            index: dataclasses.replace(draft, password_hash=made)
            for (index, draft), made in zip(drafts.items(), hashes, strict=True)
        }
        made = await self._make(list(drafts.values())) if drafts else {}
        for index, draft in drafts.items():
            results[index] = made[draft.address]
        return [result or Created(None, "bad-account") for result in results]

    async def _hash(self, password: str) -> str | None:
        prepared = prepare_password(password) if password else None
        return await self._passwords.hash(prepared) if prepared else None

    async def _look_up(
        self, asked: Sequence[NewAccount]
    ) -> tuple[dict[str, HostedDomain], dict[str, Entry], dict[str, Wanted | None]]:
        parsed = {text: wanted(text) for new in asked for text in (new.address, *new.guardians)}
        names = {want.domain for want in parsed.values() if want is not None and want.domain}
        addresses = {want.address for want in parsed.values() if want is not None}
        return await self._directory.domains(names), await self._directory.entries(addresses), parsed

    def _check(  # noqa: PLR0911 — one reason a line
        self, new: NewAccount, domains: dict[str, HostedDomain], entries: dict[str, Entry],
        parsed: dict[str, Wanted | None],
    ) -> Draft | str:  # fmt: skip
        """The draft, or why there is none."""
        want = parsed[new.address]
        roles = roles_for(new.guarded, new.roles)
        language = new.language or self._settings.default_language
        name = new.display_name or new.address.rpartition("@")[0]
        quota = new.quota_octets or self._settings.default_quota_octets
        if want is None or not want.domain:
            return "bad-address"
        domain = domains.get(want.domain)
        known = entries.get(want.address)
        if domain is None:
            return "unknown-domain"
        if known is not None and known.state != State.PENDING:
            return "already-exists"
        if new.password and len(prepare_password(new.password) or "") < self._settings.password_min_length:
            return "bad-password"
        if roles is None or new.quota_octets < 0 or not is_language(language) or not is_display_name(name):
            return "bad-account"
        guardians = _guardians([parsed[text] for text in new.guardians], domain.tenant_id, entries)
        if guardians is None or new.guarded != bool(guardians):
            return "bad-guardian"
        account_id = new_account_id()
        return Draft(
            account_id, partition_of_account(account_id), domain.tenant_id, domain.domain_id, want.address, name,
            language, quota, new.guarded, roles, guardians, chosen=new.chosen, recovery_digest=new.recovery_digest,
            child=new.child,
        )  # fmt: skip

    async def _make(self, drafts: Sequence[Draft]) -> dict[str, Created]:
        reserved = await self._table.reserve(drafts)
        results = {}
        to_finish = []
        for draft in drafts:
            left = reserved.pending.get(draft.address)
            if draft.address in reserved.fresh:
                to_finish.append(draft)
            elif left is not None and _same_in_store(left, draft):
                taken = dataclasses.replace(draft, account_id=left.account_id, partition=left.partition)
                to_finish.append(taken)
            else:
                results[draft.address] = Created(None, "already-exists")
        made, waiting = await self._finish(to_finish)
        for draft in to_finish:
            if draft.account_id in made:
                results[draft.address] = Created(draft.info(), password_hash=draft.password_hash or "")
            else:
                results[draft.address] = Created(None, "pending" if draft.account_id in waiting else "already-exists")
        return results

    async def _finish(self, drafts: Sequence[Draft]) -> tuple[frozenset[int], set[int]]:
        """Tell store and junior-guard, then make visible; return the ids made visible and those that still wait."""
        if not drafts:
            return frozenset(), set()
        await self._store.create(drafts)
        children = [draft for draft in drafts if draft.guarded]
        waiting = await self._register(children) if children else set()
        return await self._table.activate([d for d in drafts if d.account_id not in waiting]), waiting

    async def _register(self, children: Sequence[Draft]) -> set[int]:
        """Tell junior-guard of children; return the ids of those that it does not know yet."""
        guardians = await self._accounts.get({account_id for draft in children for account_id in draft.guardian_ids})
        addresses = {guardian.account_id: guardian.address for guardian in guardians}

        async def one(draft: Draft) -> int | None:
            if any(not addresses.get(account_id) for account_id in draft.guardian_ids):
                return draft.account_id  # a guardian left in between
            async with self._guard_calls:
                try:
                    await self._guard.register_child(
                        draft, [addresses[account_id] for account_id in draft.guardian_ids]
                    )
                except AccountsError:
                    return draft.account_id
            return None

        results = await asyncio.gather(*(one(draft) for draft in children))
        return {account_id for account_id in results if account_id is not None}

    async def sweep(self) -> int:
        """Finish what was left pending; return how many accounts became visible."""
        drafts = await self._table.unfinished(self._settings.sweep_after_seconds)
        if not drafts:
            return 0
        made: frozenset[int] = frozenset()
        with contextlib.suppress(AccountsError):
            made, _ = await self._finish(drafts)
        _log.info("accounts left half made", found=len(drafts), finished=len(made))
        return len(made)


def _same_in_store(left: Draft, asked: Draft) -> bool:
    """Whether a pending account may be taken over: what store and junior-guard were told must not change.

    A person never takes over what an administrator left, nor the other way round.
    """
    return (left.tenant_id, left.guarded, left.quota_octets, left.guardian_ids, left.roles, left.chosen, left.child) == (
        asked.tenant_id, asked.guarded, asked.quota_octets, asked.guardian_ids, asked.roles, asked.chosen, asked.child,
    )  # fmt: skip


def _guardians(wants: Sequence[Wanted | None], tenant_id: int, entries: dict[str, Entry]) -> tuple[int, ...] | None:
    """Ids of the guardians: active adults of the child's tenant; None when one is not."""
    ids = set()
    for want in wants:
        entry = None if want is None else entries.get(want.address)
        if entry is None or entry.account_id is None or entry.state != State.ACTIVE:
            return None
        if entry.guarded or entry.tenant_id != tenant_id:
            return None
        ids.add(entry.account_id)
    return tuple(sorted(ids))
