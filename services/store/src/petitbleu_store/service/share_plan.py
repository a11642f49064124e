"""What a request to change mailboxes does to shares: those it gives, those that go with a mailbox, and those a new mailbox inherits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import asyncpg

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.domain.mailbox_names import open_name
from petitbleu_store.domain.mailbox_outcome import MailboxRow, Outcome
from petitbleu_store.domain.shared_tree import of_another
from petitbleu_store.domain.sharing import MAX_GRANTEES, Right
from petitbleu_store.service import sharing, views
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.sharing import Shares, Sharing

Fault: TypeAlias = "pb.MailboxFault.ValueType"
MOST_GIVEN: Final = 2 * MAX_GRANTEES
"""Accounts that get or lose something by their names in one request: each is locked until it is done."""
MOST_TOLD: Final = 5 * MAX_GRANTEES
"""Accounts that are told that they lose something when they are not named. Of more, shares end all the same."""
_MOST_ROUNDS: Final = 3


class SharedMeanwhileError(Exception):
    """The request concerns somebody whom it did not when it began: it has to begin anew."""


class SharePlan:
    """The shares' part of one request.

    Args:
        account: Whose mailboxes they are, as whoever asks sees it.
        updates: The request's.
        last: The request does not begin anew, whoever is concerned: of those who were not when it began, nobody gets anything, and
            nobody is told what they lose.

    Attributes:
        updates: The updates as far as they change mailboxes.
        barred: What stands against updates before their mailboxes are looked at.
    """

    def __init__(self, account: KnownAccount, updates: Sequence[pb.MailboxUpdate], *, last: bool = True) -> None:
        self.updates = updates
        self.barred: dict[int, set[Fault]] = {}
        self._account = account
        self._asked = updates
        self._last = last
        self._locked: set[int] = set()
        self._people: dict[int, KnownAccount] = {}
        self._sharing: Sharing | None = None
        self._rows: Mapping[int, MailboxRow] = {}
        self._names: Mapping[int, str] = {}
        self._rounds = 0

    @property
    def _gives(self) -> bool:
        return self._account.view is None and any(update.shares or update.replace_shares for update in self._asked)

    @property
    def _may_concern_others(self) -> bool:
        return self._gives or any(update.destroy for update in self._asked)

    async def lock(self, connection: Connection, book: AccountBook) -> None:
        """Lock all accounts that get or lose something by the request, and the owner's, in one order.

        Updates that name too many to be locked at once are barred.
        """
        if not self._may_concern_others:
            return
        shares = await sharing.read(connection, self._account)
        given: set[int] = set()
        for index, update in enumerate(self._asked) if self._gives else ():
            named = {share.account_id for share in sharing.changed(update, shares)}
            if len(named) > MOST_GIVEN:
                self.barred[index] = {pb.MAILBOX_FAULT_SHARED_WITH_TOO_MANY}
            elif len(given | named) > MOST_GIVEN:
                self.barred[index] = {pb.MAILBOX_FAULT_TOO_MANY_AT_ONCE}
            else:
                given |= named
        self._locked = self._concerned(shares)
        if self._locked:
            self._people = await sharing.grantees(connection, book, self._account, self._locked)

    def _concerned(self, shares: Shares) -> set[int]:
        """Return who gets or loses something when all is done that is not barred: RFC 9670 §3 notifies them."""
        there: dict[int, set[int]] = {}
        for mailbox_id, grantee_id in shares:
            there.setdefault(mailbox_id, set()).add(grantee_id)
        given: set[int] = set()
        lost: set[int] = set()
        for index, update in enumerate(self._asked):
            if index in self.barred:
                continue
            of_mailbox = there.get(update.mailbox_id, set()) if not update.HasField("created_by") else set()
            if update.destroy:
                if self._account.view is None or self._account.view.may(Right.DELETE, (update.mailbox_id,)):
                    lost |= of_mailbox
            elif self._gives:
                given.update(share.account_id for share in sharing.changed(update, shares))
                if update.replace_shares:
                    lost |= of_mailbox - {share.account_id for share in update.shares}
        return given | set(sorted(lost - given)[:MOST_TOLD])

    async def read(self, connection: Connection, rows: Mapping[int, MailboxRow], locked: asyncpg.Record) -> None:
        """Look, under the lock, at what is shared and at what the request may do.

        Raises:
            StoreError: FORBIDDEN for another who sees nothing of the account any more.
            SharedMeanwhileError: Somebody is concerned who is not locked.
        """
        self._rows = rows
        shares: Shares = {}
        if locked["shared"] or self._gives:
            shares = await sharing.read(connection, self._account)
            self._sharing = Sharing(self._account, shares)
        self._account = await views.locked(connection, self._account)
        if self._may_concern_others and not self._last and not self._concerned(shares) <= self._locked:
            raise SharedMeanwhileError
        if self._account.view is not None:
            self.updates, self.barred = of_another(self._account.view, rows, self._asked)
        elif self._gives:
            found = sharing.faults(self._account, self._asked, self._people, shares, guarded=locked["guarded"])
            self.barred = found | self.barred

    def settle(self, outcome: Outcome) -> bool:
        """Work out the shares that the outcome leaves; return whether any would be too many: then these are barred by now."""
        if self._sharing is None:
            return False
        self._rounds += 1
        self._names = outcome.names
        self._sharing.begin(outcome.tree)
        over: dict[int, Fault] = {}
        for index, fault in self._shared(outcome, self._sharing):
            if self._rounds > _MOST_ROUNDS:
                over[index] = pb.MAILBOX_FAULT_TOO_MANY_AT_ONCE
            elif fault is not None:
                over[index] = fault
        self.barred |= {index: {fault} for index, fault in over.items()}
        return bool(over)

    def _shared(self, outcome: Outcome, shared: Sharing) -> Iterator[tuple[int, Fault | None]]:
        """Do what the updates ask of shares; give those that share, and what stands against it."""
        view = self._account.view
        for index, update in enumerate(self._asked):
            target = outcome.targets[index]
            if index in outcome.refused or update.destroy or target not in outcome.tree:
                continue
            if view is not None:
                if update.HasField("subscribed") and target > 0:
                    shared.subscribe(target, view.grantee_id, subscribed=update.subscribed)
            elif update.shares or update.replace_shares:
                yield index, shared.give(target, update)
        if view is not None:
            # parents first
            for target in sorted((one for one in outcome.tree if one < 0), key=lambda one: _depth(outcome, one)):
                yield -1 - target, shared.inherit(target, outcome.tree[target].parent_id)

    def touched(self) -> set[int]:
        """Return the mailboxes, of those that there were, whose shares change."""
        return set() if self._sharing is None else self._sharing.touched()

    async def write(self, connection: Connection, modseq: int, ids: Mapping[int, int]) -> list[OutboxRow]:
        """Write the shares; return the events for those they are given to or taken from."""
        if self._sharing is None:
            return []
        self._sharing.after = {ids.get(one, one): shares for one, shares in self._sharing.after.items()}
        cipher = self._account.cipher
        old_names = {
            one: open_name(cipher, one, self._rows[one].name_sealed)
            for one in self._sharing.touched()
            if one in self._rows
        }
        names = old_names | {ids.get(mailbox_id, mailbox_id): name for mailbox_id, name in self._names.items()}
        return await self._sharing.write(connection, modseq, (old_names, names), self._people)


def _depth(outcome: Outcome, mailbox_id: int) -> int:
    depth = 0
    while mailbox_id in outcome.tree and depth < len(outcome.tree):
        depth += 1
        mailbox_id = outcome.tree[mailbox_id].parent_id
    return depth
