"""What a request to change mailboxes does to shares: those it gives, those that go with a mailbox, and those a new mailbox inherits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import asyncpg

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.domain.mailbox_names import open_name
from petitbleu_store.domain.mailbox_outcome import MailboxRow, Outcome
from petitbleu_store.domain.shared_tree import of_another
from petitbleu_store.domain.sharing import MAX_GRANTEES
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import sharing, views
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.sharing import Sharing

Fault: TypeAlias = "pb.MailboxFault.ValueType"
_MOST_NAMED: Final = 10 * MAX_GRANTEES


class SharePlan:
    """The shares' part of one request.

    Attributes:
        updates: The updates as far as they change mailboxes.
        barred: What stands against updates before their mailboxes are looked at.
    """

    def __init__(self, account: KnownAccount, updates: Sequence[pb.MailboxUpdate]) -> None:
        self.updates = updates
        self.barred: dict[int, set[Fault]] = {}
        self._account = account
        self._asked = updates
        self._people: dict[int, KnownAccount] = {}
        self._sharing: Sharing | None = None
        self._rows: Mapping[int, MailboxRow] = {}
        self._names: Mapping[int, str] = {}

    @property
    def _gives(self) -> bool:
        return any(update.shares or update.replace_shares for update in self._asked)

    async def lock(self, connection: Connection, book: AccountBook) -> None:
        """Lock all accounts that the request shares with, and the owner's, in one order.

        Raises:
            StoreError: INVALID when these are too many.
        """
        if not self._gives or self._account.view is not None:
            return
        named = {share.account_id for update in self._asked for share in update.shares}
        if len(named) > _MOST_NAMED:
            raise StoreError(Problem.INVALID, "shared with too many at once")
        self._people = await sharing.grantees(connection, book, self._account, named)

    async def read(self, connection: Connection, rows: Mapping[int, MailboxRow], locked: asyncpg.Record) -> None:
        """Look, under the lock, at what is shared and at what the request may do.

        Raises:
            StoreError: FORBIDDEN for another who sees nothing of the account any more.
        """
        self._rows = rows
        if locked["shared"] or self._gives:
            self._sharing = Sharing(self._account, await sharing.read(connection, self._account))
        if self._account.view is not None:
            self._account = await views.locked(connection, self._account)
            assert self._account.view is not None  # noqa: S101 — it had one
            self.updates, self.barred = of_another(self._account.view, rows, self._asked)
        elif self._gives:
            self.barred = sharing.faults(self._account, self._asked, self._people, guarded=locked["guarded"])

    def settle(self, outcome: Outcome) -> None:
        """Work out the shares that the outcome leaves, and refuse what would be shared too often."""
        if self._sharing is None:
            return
        self._names = outcome.names
        view = self._account.view
        for index, update in enumerate(self._asked):
            if index in outcome.refused or update.destroy:
                continue
            target = outcome.targets[index]
            if view is None:
                self._sharing.give(target, update)
            elif update.HasField("subscribed") and target > 0:
                self._sharing.subscribe(target, view.grantee_id, subscribed=update.subscribed)
        if view is not None:
            # parents first
            for target in sorted((one for one in outcome.tree if one < 0), key=lambda one: _depth(outcome, one)):
                self._sharing.inherit(target, outcome.tree[target].parent_id)
        self._sharing.keep(outcome.tree)
        if self._sharing.too_many():
            raise StoreError(Problem.INVALID, "shared with too many")

    def touched(self) -> set[int]:
        """Return the mailboxes, of those that there were, whose shares change."""
        return set() if self._sharing is None else self._sharing.touched()

    async def write(self, connection: Connection, modseq: int, ids: Mapping[int, int]) -> list[OutboxRow]:
        """Write the shares; return the events for those they are given to or taken from."""
        if self._sharing is None:
            return []
        self._sharing.after = {
            (ids.get(mailbox_id, mailbox_id), grantee_id): share
            for (mailbox_id, grantee_id), share in self._sharing.after.items()
        }
        cipher = self._account.cipher
        names = {
            one: open_name(cipher, one, self._rows[one].name_sealed)
            for one in self._sharing.touched()
            if one in self._rows
        }
        names.update({ids.get(mailbox_id, mailbox_id): name for mailbox_id, name in self._names.items()})
        return await self._sharing.write(connection, modseq, names, self._people)


def _depth(outcome: Outcome, mailbox_id: int) -> int:
    depth = 0
    while mailbox_id in outcome.tree and depth < len(outcome.tree):
        depth += 1
        mailbox_id = outcome.tree[mailbox_id].parent_id
    return depth
