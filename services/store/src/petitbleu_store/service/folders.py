"""Mailboxes that rules name: listed for delivery, made where a rule wants them, found under the lock of filing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters import mailbox_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain.folders import Folder, FolderTree
from petitbleu_store.domain.standard_mailboxes import INBOX
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.filing_commit import AccountBatch
from petitbleu_store.service.mailboxes import Mailboxes

_log = get_logger(__name__)
MAX_ACCOUNTS = 100


class Folders:
    """Makes and lists mailboxes by their paths."""

    def __init__(self, core: Core, book: AccountBook) -> None:
        self._core = core
        self._book = book
        self._mailboxes = Mailboxes(core, book)

    async def listed(self, request: filing_pb2.ListFoldersRequest) -> filing_pb2.ListFoldersResponse:
        """Give the mailboxes of accounts.

        Raises:
            StoreError: INVALID for too many accounts.
        """
        if len(request.account_ids) > MAX_ACCOUNTS:
            raise StoreError(Problem.INVALID, "too many accounts")
        accounts = await self._book.many(self._core.pool, set(request.account_ids))
        response = filing_pb2.ListFoldersResponse()
        for account_id, account in accounts.items():
            tree = await self._tree(account)
            folders = [
                filing_pb2.Folder(path=path, role=role, mailbox_id=number) for path, role, number in tree.paths()
            ]
            response.accounts.add(account_id=account_id, folders=folders)
        return response

    async def make(self, account: KnownAccount, folders: Iterable[Folder]) -> None:
        """Make those of the mailboxes that shall be made and are not there (RFC 5490 §3.2); one that cannot be is left out.

        A commit of its own: whoever makes the same at the same time is refused, and finds it.
        """
        for folder in folders:
            if not folder.create or not folder.path:
                continue
            tree = await self._tree(account)
            if tree.find(folder) is not None:
                continue
            parent, names = tree.reach(folder.path)
            request = mailbox_pb2.UpdateMailboxesRequest(account_id=account.account_id)
            for index, name in enumerate(names):
                # RFC 5490 §3.2: subscribed, so that its owner sees it
                update = request.updates.add(
                    name=name, subscribed=True, role=folder.role if index == len(names) - 1 else ""
                )
                if index:
                    update.parent_created_by = index - 1
                else:
                    update.parent_id = parent
            await self._mailboxes.update(account, request)

    async def _tree(self, account: KnownAccount) -> FolderTree:
        async with self._core.pool.acquire() as connection:
            rows = await mailbox_rows.read(connection, account.partition, account.account_id)  # type: ignore[arg-type]
        return FolderTree(rows, account.cipher)


async def find(connection: Connection, batches: Sequence[AccountBatch]) -> None:
    """Put each message in the mailboxes that rules name and that are there, under their accounts' lock; in the inbox if none is."""
    for batch in batches:
        named = [filing for filing in batch.filings if filing.folders]
        if not named:
            continue
        rows = await mailbox_rows.read(connection, batch.account.partition, batch.account.account_id)
        tree = FolderTree(rows, batch.account.cipher)
        for filing in named:
            filing.mailbox_ids = tuple(sorted({*filing.mailbox_ids, *tree.found(filing.folders)})) or (INBOX,)
