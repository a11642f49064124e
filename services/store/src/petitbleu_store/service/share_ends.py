"""All shares of an account end, on both sides: it becomes guarded, or is erased.

Nobody sees anything through them from the moment that the account is guarded or its key is gone (`views.current`); what is done here
lets the grantees' clients know, and keeps the shares from coming back.
"""

from __future__ import annotations

from typing import Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.ids import partition_of_account
from petitbleu_store.adapters import share_rows
from petitbleu_store.core import Core
from petitbleu_store.domain.sharing import MAX_GRANTEES
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.mailboxes import Mailboxes
from petitbleu_store.service.share_plan import MOST_TOLD
from petitbleu_store.service.views import MAX_RECEIVED

_AT_ONCE: Final = MOST_TOLD // MAX_GRANTEES
"""Mailboxes of which all grantees are told in one request."""


class ShareEnds:
    """Ends shares."""

    def __init__(self, core: Core, book: AccountBook, mailboxes: Mailboxes) -> None:
        self._core = core
        self._book = book
        self._mailboxes = mailboxes

    async def end(self, account_id: int) -> None:
        """End all that an account shares and all that is shared with it; one that is unknown has nothing."""
        partition = partition_of_account(account_id)
        own = await share_rows.of_account(self._core.pool, partition, account_id)
        shared = sorted({row["mailbox_id"] for row in own})
        for at in range(0, len(shared), _AT_ONCE):
            some = [pb.MailboxUpdate(mailbox_id=one, replace_shares=True) for one in shared[at : at + _AT_ONCE]]
            await self._update(account_id, some)
        while owners := await share_rows.received(self._core.pool, partition, account_id, MAX_RECEIVED):
            for owner_id in owners:
                ended = pb.MailboxShare(account_id=account_id)
                there = await self._update(
                    owner_id,
                    [
                        pb.MailboxUpdate(mailbox_id=mailbox_id, shares=[ended])
                        for mailbox_id in await self._given(owner_id, account_id)
                    ],
                )
                # A mailbox made meanwhile below a shared one is shared as that was: then once more. Not where the owner has gone.
                if not (there and await self._given(owner_id, account_id)):
                    await share_rows.lose(self._core.pool, partition, account_id, owner_id)

    async def _given(self, owner_id: int, grantee_id: int) -> list[int]:
        """Return the mailboxes of an owner that are shared with somebody."""
        rows = await share_rows.of_account(self._core.pool, partition_of_account(owner_id), owner_id)
        return [row["mailbox_id"] for row in rows if row["grantee_id"] == grantee_id]

    async def _update(self, account_id: int, updates: list[pb.MailboxUpdate]) -> bool:
        """Change shares; return whether the account is there."""
        if not updates:
            return True
        try:
            account = await self._book.one(self._core.pool, account_id)
            await self._mailboxes.update(account, pb.UpdateMailboxesRequest(account_id=account_id, updates=updates))
        except StoreError as error:
            if error.problem is not Problem.NOT_FOUND:
                raise
            return False
        return True
