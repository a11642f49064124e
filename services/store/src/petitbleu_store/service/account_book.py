"""What every use case must know of an account first: its tenant, its cipher, and whether it is guarded."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from petitbleu_kit.ids import AccountId, partition_of_account
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.domain.account_cipher import AccountCipher
from petitbleu_store.domain.keys import WrongKeyError
from petitbleu_store.domain.sharing import View
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_keys import AccountKeys

_log = get_logger(__name__)
_REMEMBERED: Final = 20_000
# An erased account's key leaves memory after this long at the latest, in a process that did not erase it.
_SECONDS: Final = 600
# What a row said when somebody was about to write to the account: mail comes within seconds or not at all.
_NOTED_SECONDS: Final = 60

_LOAD: Final = (
    "/* hot:store.accounts_load */ SELECT a.account_id, a.tenant_id, a.guarded, a.words, a.wrapped_key "
    "FROM unnest($1::smallint[], $2::bigint[]) AS want (partition, account_id) JOIN account a "
    "ON a.partition = want.partition AND a.account_id = want.account_id AND a.partition = ANY($1::smallint[]) "
    "WHERE a.wrapped_key IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """An account that exists.

    Attributes:
        account_id: Its id.
        partition: Its partition, 0-1023.
        tenant_id: Its tenant, for ever.
        guarded: Whether it was guarded when it was read; whoever files reads it again under the account's lock.
        cipher: Seals and opens what is its own.
        until: Monotonic seconds until which this may be relied on.
        view: What another sees of it, when the request is in the name of another; None in its own name. Never from the book.
    """

    account_id: AccountId
    partition: int
    tenant_id: int
    guarded: bool
    cipher: AccountCipher
    until: float
    words: bool = False
    """Whether a model of its junk speaks (`service.words`), as it was when it was read: nothing is lost where that is old."""
    view: View | None = None

    @property
    def seen(self) -> Collection[int] | None:
        """The mailboxes of which whoever asks sees the messages, None for all."""
        return None if self.view is None else self.view.rights.keys()


class AccountBook:
    """Accounts read lately; what can change without notice is never taken from here alone."""

    def __init__(self, keys: AccountKeys) -> None:
        self._keys = keys
        self._known: OrderedDict[int, KnownAccount] = OrderedDict()
        # until when, tenant, guarded, words, wrapped key: no key is opened before there is mail
        self._noted: OrderedDict[int, tuple[float, int, bool, bool, bytes]] = OrderedDict()

    def note(self, rows: Iterable[Any]) -> None:
        """Take note of accounts' rows (account_id, tenant_id, guarded, words, wrapped_key) that were read just now."""
        now = time.monotonic()
        for row in rows:
            account_id = row["account_id"]
            known = self._known.get(account_id)
            if row["wrapped_key"] is None or (known is not None and known.until > now + _NOTED_SECONDS):
                continue
            self._noted[account_id] = (
                now + _NOTED_SECONDS, row["tenant_id"], row["guarded"], row["words"], row["wrapped_key"]
            )  # fmt: skip
            self._noted.move_to_end(account_id)
        while len(self._noted) > _REMEMBERED:
            self._noted.popitem(last=False)

    async def many(self, executor: Executor, account_ids: Collection[int]) -> dict[int, KnownAccount]:
        """Return the accounts that exist, by id."""
        now = time.monotonic()
        found: dict[int, KnownAccount] = {}
        missing: list[int] = []
        for account_id in account_ids:
            known = self._known.get(account_id)
            if known is not None and known.until > now:
                found[account_id] = known
                continue
            noted = self._noted.pop(account_id, None)
            if noted is not None and noted[0] > now:
                with contextlib.suppress(WrongKeyError):  # its key was wrapped anew meanwhile: the row is read again
                    found[account_id] = await self._opened(account_id, *noted[1:], now)
                    continue
            missing.append(account_id)
        if missing:
            rows = await executor.fetch(_LOAD, [partition_of_account(account_id) for account_id in missing], missing)
            for row in rows:
                account_id = row["account_id"]
                try:
                    found[account_id] = await self._opened(
                        account_id, row["tenant_id"], row["guarded"], row["words"], row["wrapped_key"], now
                    )
                except WrongKeyError:
                    _log.error("account key does not open", account_id=account_id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _opened(
        self, account_id: int, tenant_id: int, guarded: bool, words: bool, wrapped: bytes, now: float
    ) -> KnownAccount:
        """Open an account's key and remember the account."""
        own = AccountId(account_id)
        key = await self._keys.unwrap(own, wrapped)
        known = KnownAccount(
            own, partition_of_account(account_id), tenant_id, guarded, AccountCipher(key), now + _SECONDS, words
        )
        self._known[account_id] = known
        self._known.move_to_end(account_id)
        return known

    async def one(self, executor: Executor, account_id: int) -> KnownAccount:
        """Return an account.

        Raises:
            StoreError: NOT_FOUND when there is none (or it is erased).
        """
        known = (await self.many(executor, (account_id,))).get(account_id)
        if known is None:
            raise StoreError(Problem.NOT_FOUND)
        return known

    def forget_all(self) -> None:
        """Forget every account: what was read of them may be of before a restore."""
        self._known.clear()
        self._noted.clear()

    def forget(self, account_id: int) -> None:
        """Forget an account: something of it changed, or it was erased."""
        self._known.pop(account_id, None)
        self._noted.pop(account_id, None)
        self._keys.forget(AccountId(account_id))
