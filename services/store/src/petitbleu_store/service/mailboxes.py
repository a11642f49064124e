"""UpdateMailboxes: creation, change and destruction of mailboxes (RFC 8621 §2.5) in one commit."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import filing_rows, mailbox_rows, message_rows
from petitbleu_store.adapters.filing_rows import Connection, Raise
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.mailbox_names import name_hash, open_name, seal_name
from petitbleu_store.domain.mailbox_outcome import MailboxRow, Outcome
from petitbleu_store.domain.mailbox_tree import Change
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import removal
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.removal import Keeping
from petitbleu_store.service.restating import Restated, restate
from petitbleu_store.service.share_plan import SharedMeanwhileError, SharePlan
from petitbleu_store.service.updates import changed_event, locked_row

MAX_UPDATES: Final = 1000
_CHUNK: Final = 1000
_TRIES: Final = 4
"""Attempts at a request while others change whom it concerns."""


class Mailboxes:
    """Changes mailboxes."""

    def __init__(self, core: Core, book: AccountBook) -> None:
        self._core = core
        self._keeping = Keeping.of(core.settings)
        self._book = book

    async def update(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMailboxesRequest
    ) -> mailbox_pb2.UpdateMailboxesResponse:
        """Do what can be done of a request.

        Raises:
            StoreError: INVALID for too many; NOT_FOUND; STATE_MISMATCH; FORBIDDEN for another who sees nothing of the account any more.
        """
        if len(request.updates) > MAX_UPDATES:
            raise StoreError(Problem.INVALID, "too many updates")
        for left in reversed(range(_TRIES)):
            work = functools.partial(self._do, account, request, last=not left)
            try:
                response, events = await in_transaction(self._core.pool, work)
            except SharedMeanwhileError:
                continue
            break
        self._core.outbox.published_soon(events)
        return response

    async def _do(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMailboxesRequest, connection: Connection, *, last: bool
    ) -> tuple[mailbox_pb2.UpdateMailboxesResponse, list[OutboxRow]]:
        plan = SharePlan(account, request.updates, last=last)
        await plan.lock(connection, self._book)
        locked = await locked_row(connection, account, request.if_modseq)
        before = locked["modseq"]
        place = (account.partition, account.account_id)
        rows = await mailbox_rows.read(connection, *place)
        await plan.read(connection, rows, locked)
        doomed = {one.mailbox_id for one in plan.updates if one.destroy and one.mailbox_id in rows}
        occupied = await mailbox_rows.occupied(connection, *place, sorted(doomed))
        key = functools.partial(name_hash, account.cipher)
        outcome = Change(rows, plan.updates, occupied, key, plan.barred).outcome()
        while plan.settle(outcome):
            outcome = Change(rows, plan.updates, occupied, key, plan.barred).outcome()
        writing = _Writing(connection, account, rows, outcome, before, self._keeping, plan.touched())
        await writing.empty(sorted(occupied))
        await writing.write(_creations(outcome))
        response = mailbox_pb2.UpdateMailboxesResponse(old_modseq=before, new_modseq=writing.modseq)
        for index, target in enumerate(outcome.targets):
            faults = sorted(outcome.refused.get(index, ()))
            response.results.add(status=outcome.status(index), faults=faults)
            response.mailbox_ids.append(writing.ids.get(target, max(0, target)))
        events = [changed_event(account, writing.modseq)] if writing.modseq != before else []
        events += await plan.write(connection, writing.modseq, writing.ids)
        if events:
            await self._core.outbox.insert(connection, events)
        return response, events


def _creations(outcome: Outcome) -> list[int]:
    """Return the ids that stand for what is created, destroyed again or not."""
    return [
        target
        for index, target in enumerate(outcome.targets)
        if target == -1 - index and index not in outcome.refused
    ]  # fmt: skip


def _level(tree: dict[int, MailboxRow], mailbox_id: int) -> int:
    level = 0
    while mailbox_id in tree:
        level += 1
        mailbox_id = tree[mailbox_id].parent_id
    return level


@dataclass(slots=True)
class _Writing:
    """The commit of an outcome: `modseq` is the account's by now, `ids` maps what stands for a new mailbox to its id.

    `touched` are mailboxes of which something changes that is not in their rows.
    """

    connection: Connection
    account: KnownAccount
    before: dict[int, MailboxRow]
    outcome: Outcome
    modseq: int
    keeping: Keeping
    touched: Collection[int] = ()
    ids: dict[int, int] = field(default_factory=dict)
    # Messages that left a mailbox that goes, and live on in others.
    left: dict[int, list[int]] = field(default_factory=dict)

    @property
    def _place(self) -> tuple[int, int]:
        return self.account.partition, self.account.account_id

    async def empty(self, mailbox_ids: list[int]) -> None:
        """Take the messages out of those of the mailboxes that go; one that is nowhere else is destroyed."""
        going = {mailbox_id for mailbox_id in mailbox_ids if mailbox_id not in self.outcome.tree}
        for mailbox_id in sorted(going):
            while ids := await mailbox_rows.some_messages(self.connection, *self._place, mailbox_id, _CHUNK):
                messages = []
                for row in await message_rows.read(self.connection, *self._place, ids):
                    message = Restated.of(row)
                    # All at once: what is kept of a message names every mailbox that went with it.
                    left = going.intersection(message.mailbox_ids)
                    message.mailbox_ids = tuple(other for other in message.mailbox_ids if other not in going)
                    messages.append(message)
                    for one in () if message.destroyed else left:
                        self.left.setdefault(one, []).append(row["message_id"])
                self.modseq = await restate(
                    self.connection, self.account, self.modseq, messages, self.keeping, with_mailbox=True
                )

    async def write(self, creations: list[int]) -> None:
        """Write the mailboxes as they shall be, and what became of each to the log."""
        tree = self.outcome.tree
        # In the log parents come before what is in them, and go after it.
        made = sorted((one for one in creations if one in tree), key=lambda one: _level(tree, one))
        gone = sorted((one for one in self.before if one not in tree), key=lambda one: -_level(self.before, one))
        changed = [one for one in tree if one in self.before and (one in self.touched or self._changes(one))]
        steps = len(made) + len(changed) + len(gone)
        if not steps and not creations:
            return
        (locked,) = await filing_rows.raise_accounts(
            self.connection, [Raise(*self._place, steps, len(creations), 0, 0, 0)]
        )
        first_id = locked["last_id"] - len(creations) + 1
        self.ids.update({target: first_id + at for at, target in enumerate(creations)})
        modseq = locked["modseq"] - steps
        log = filing_rows.Rows.empty()
        await removal.keep_mailboxes(
            self.connection, self._place, {one: self.left.get(one, []) for one in gone}, self.keeping
        )
        for mailbox_id in gone:
            await mailbox_rows.delete(self.connection, *self._place, mailbox_id)
        # Names may be exchanged, and each row is checked as it is written.
        await mailbox_rows.park(self.connection, *self._place, [one for one in changed if self._moves(one)])
        for op, some in ((Op.CREATED, made), (Op.UPDATED, changed), (Op.DESTROYED, gone)):
            for one in some:
                modseq += 1
                mailbox_id = self.ids.get(one, one)
                log.changes.append((*self._logged(op), modseq, mailbox_id, 0))
                if op is Op.UPDATED:
                    await mailbox_rows.update(self.connection, *self._place, self._row(one), modseq)
                elif op is Op.CREATED:
                    await mailbox_rows.insert(self.connection, *self._place, self._row(one), modseq)
        await filing_rows.write(self.connection, log)
        self.modseq = locked["modseq"]

    def _logged(self, op: Op) -> tuple[int, int, int, int]:
        return self.account.partition, Kind.MAILBOX, op, self.account.account_id

    def _row(self, mailbox_id: int) -> MailboxRow:
        """Return a row as it is written: with ids for what stands for them, and its name sealed."""
        row = self.outcome.tree[mailbox_id]
        row.mailbox_id = self.ids.get(mailbox_id, mailbox_id)
        row.parent_id = self.ids.get(row.parent_id, row.parent_id)
        name = self.outcome.names.get(mailbox_id)
        if name is not None:
            row.name_sealed = seal_name(self.account.cipher, row.mailbox_id, name)
        return row

    def _moves(self, mailbox_id: int) -> bool:
        """Whether a mailbox has a new name or parent."""
        old, new = self.before[mailbox_id], self.outcome.tree[mailbox_id]
        return (old.parent_id, old.name_hash) != (new.parent_id, new.name_hash)

    def _changes(self, mailbox_id: int) -> bool:
        """Whether anything of a mailbox changes; INBOX in another case is another name though its hash is the same."""
        old = self.before[mailbox_id]
        if old != self.outcome.tree[mailbox_id]:
            return True
        name = self.outcome.names.get(mailbox_id)
        return name is not None and name != open_name(self.account.cipher, mailbox_id, old.name_sealed)
