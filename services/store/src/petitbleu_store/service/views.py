"""What one account sees of another's: read from the rows of shares at every call, so that a share ended is ended at once."""

from __future__ import annotations

import dataclasses
from typing import Final

from petitbleu.store.v1 import sharing_pb2
from petitbleu_kit.ids import AccountId, partition_of_account
from petitbleu_store.adapters import share_rows
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.sharing import View
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import AccountBook, KnownAccount

MAX_RECEIVED: Final = 1000


async def current(executor: Executor, account: KnownAccount, grantee_id: int) -> View:
    """Return what an account shares with another of its tenant.

    Neither of them may be guarded (architecture, two gates): nobody has decided on mail that comes into a child's account through
    another's mailbox, nor on who reads a child's.

    Raises:
        StoreError: FORBIDDEN when it is nothing.
    """
    rows = await share_rows.view(executor, account.partition, account.account_id, grantee_id)
    # after the shares: who is guarded by now sees nothing, whatever was shared before
    grantee = await share_rows.person(executor, partition_of_account(grantee_id), grantee_id) if rows else None
    if grantee is None or grantee["guarded"] or grantee["tenant_id"] != account.tenant_id:
        raise StoreError(Problem.FORBIDDEN)
    return View(
        grantee_id, {row["mailbox_id"]: row["rights"] for row in rows},
        frozenset(row["mailbox_id"] for row in rows if row["subscribed"]), rows[0]["modseq"],
    )  # fmt: skip


async def locked(executor: Executor, account: KnownAccount) -> KnownAccount:
    """Return an account as whoever asks sees it now that it is locked: what was shared before may be so no longer.

    Raises:
        StoreError: FORBIDDEN when nothing is shared any more.
    """
    if account.view is None:
        return account
    return dataclasses.replace(account, view=await current(executor, account, account.view.grantee_id))


class Views:
    """Opens accounts for others, and lists what others share."""

    def __init__(self, core: Core, book: AccountBook) -> None:
        self._core = core
        self._book = book

    async def of(self, account_id: int, grantee_id: int, tenant_id: int) -> KnownAccount:
        """Return an account as another account of a tenant sees it.

        Raises:
            StoreError: FORBIDDEN when it sees nothing of it, or there is no such account.
        """
        try:
            account = await self._book.one(self._core.pool, account_id)
        except StoreError as error:
            if error.problem is not Problem.NOT_FOUND:
                raise
            raise StoreError(Problem.FORBIDDEN) from None  # whether there is one is nobody else's business
        if account.tenant_id != tenant_id:
            raise StoreError(Problem.FORBIDDEN)
        return dataclasses.replace(account, view=await current(self._core.pool, account, grantee_id))

    async def received(self, account: KnownAccount) -> sharing_pb2.ListReceivedResponse:
        """Return the accounts that share with one."""
        pool = self._core.pool
        response = sharing_pb2.ListReceivedResponse()
        for owner_id in await share_rows.received(pool, account.partition, account.account_id, MAX_RECEIVED):
            try:
                shared = await self.of(owner_id, account.account_id, account.tenant_id)
            except StoreError as error:
                if error.problem is not Problem.FORBIDDEN:
                    raise
                continue
            if shared.view is None:
                continue
            rights = 0
            for some in shared.view.rights.values():
                rights |= some
            response.shares.add(account_id=AccountId(owner_id), rights=rights, subscribed=bool(shared.view.subscribed))
        return response
