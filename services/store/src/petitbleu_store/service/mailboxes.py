"""UpdateMailboxes: creation, change and destruction of mailboxes (RFC 8621 §2.5), one after the other in one commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import filing_rows, mailbox_rows, message_rows
from petitbleu_store.adapters.filing_rows import Connection, Raise
from petitbleu_store.adapters.mailbox_rows import MailboxRow
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.mailbox_names import MAX_DEPTH, name_hash, normal_name, seal_name
from petitbleu_store.domain.standard_mailboxes import FREE_ROLES, INBOX, LAST_STANDARD_ID
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.restating import Restated, restate
from petitbleu_store.service.updates import changed_event, locked_row

MAX_UPDATES: Final = 500
# A list of mailboxes is always given whole.
MAX_MAILBOXES: Final = 1000
_CHUNK: Final = 1000
_OK: Final = mailbox_pb2.UPDATE_STATUS_OK


class RefusedError(Exception):
    """A change of a mailbox that is not done."""

    def __init__(self, status: mailbox_pb2.UpdateStatus.ValueType) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class _Work:
    """A request being done: the mailboxes as they are by now."""

    connection: Connection
    account: KnownAccount
    mailboxes: dict[int, MailboxRow]
    modseq: int


class Mailboxes:
    """Changes mailboxes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def update(
        self, account: KnownAccount, request: mailbox_pb2.UpdateMailboxesRequest
    ) -> mailbox_pb2.UpdateMailboxesResponse:
        """Do each change that can be done, in order.

        Raises:
            StoreError: INVALID for too many; NOT_FOUND; STATE_MISMATCH.
        """
        if len(request.updates) > MAX_UPDATES:
            raise StoreError(Problem.INVALID, "too many updates")

        async def work(connection: Connection) -> tuple[mailbox_pb2.UpdateMailboxesResponse, list[OutboxRow]]:
            before = (await locked_row(connection, account, request.if_modseq))["modseq"]
            state = _Work(
                connection, account, await mailbox_rows.read(connection, account.partition, account.account_id), before
            )
            response = mailbox_pb2.UpdateMailboxesResponse(old_modseq=before)
            for update in request.updates:
                mailbox_id, status = update.mailbox_id, _OK
                try:
                    mailbox_id = await _one(state, update)
                except RefusedError as refused:
                    status = refused.status
                response.results.add(status=status)
                response.mailbox_ids.append(mailbox_id)
            response.new_modseq = state.modseq
            events = [changed_event(account, state.modseq)] if state.modseq != before else []
            if events:
                await self._core.outbox.insert(connection, events)
            return response, events

        response, events = await in_transaction(self._core.pool, work)
        self._core.outbox.published_soon(events)
        return response


async def _one(work: _Work, update: mailbox_pb2.MailboxUpdate) -> int:
    if update.destroy:
        await _destroy(work, update)
        return update.mailbox_id
    if update.mailbox_id == 0:
        return await _create(work, update)
    await _change(work, update)
    return update.mailbox_id


async def _step(work: _Work, *, ids: int = 0) -> int:
    """Take the next modseq, and ids; return the last id given."""
    account = work.account
    (row,) = await filing_rows.raise_accounts(
        work.connection, [Raise(account.partition, account.account_id, 1, ids, 0, 0, 0)]
    )
    work.modseq = row["modseq"]
    return int(row["last_id"])


async def _log(work: _Work, op: Op, mailbox_id: int) -> None:
    account = work.account
    rows = filing_rows.Rows.empty()
    rows.changes.append((account.partition, Kind.MAILBOX, op, account.account_id, work.modseq, mailbox_id, 0))
    await filing_rows.write(work.connection, rows)


async def _create(work: _Work, update: mailbox_pb2.MailboxUpdate) -> int:
    if len(work.mailboxes) >= MAX_MAILBOXES:
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
    if not update.HasField("name"):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX)
    row = MailboxRow(0, 0, "", 0, False, 0, b"", 0)
    _check(work, row, update)
    row.mailbox_id = await _step(work, ids=1)
    _name(work, row, update.name)
    await mailbox_rows.insert(work.connection, work.account.partition, work.account.account_id, row, work.modseq)
    await _log(work, Op.CREATED, row.mailbox_id)
    work.mailboxes[row.mailbox_id] = row
    return row.mailbox_id


async def _change(work: _Work, update: mailbox_pb2.MailboxUpdate) -> None:
    known = work.mailboxes.get(update.mailbox_id)
    if known is None:
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_NOT_FOUND)
    if known.mailbox_id == INBOX and (update.HasField("name") or update.HasField("parent_id")):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
    row = known.copy()
    _check(work, row, update)
    if update.HasField("name"):
        _name(work, row, update.name)
    await _step(work)
    await mailbox_rows.update(work.connection, work.account.partition, work.account.account_id, row, work.modseq)
    await _log(work, Op.UPDATED, row.mailbox_id)
    work.mailboxes[row.mailbox_id] = row


def _name(work: _Work, row: MailboxRow, name: str) -> None:
    """Seal a name that was checked."""
    row.name_sealed = seal_name(work.account.cipher, row.mailbox_id, normal_name(name) or "")


def _check(work: _Work, row: MailboxRow, update: mailbox_pb2.MailboxUpdate) -> None:
    """Put a change in a row, or refuse it."""
    if update.HasField("name"):
        name = normal_name(update.name)
        if name is None:
            raise RefusedError(mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX)
        row.name_hash = name_hash(work.account.cipher, name)
    if update.HasField("parent_id"):
        row.parent_id = update.parent_id
        _check_parent(work, row)
    # RFC 9051 §5.1: INBOX is a name of its own, whatever the inbox is called here.
    reserved = row.parent_id == 0 and row.name_hash == name_hash(work.account.cipher, "INBOX")
    taken = any(
        other.mailbox_id != row.mailbox_id and other.parent_id == row.parent_id and other.name_hash == row.name_hash
        for other in work.mailboxes.values()
    )
    if taken or (reserved and row.mailbox_id != INBOX):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_CONFLICT)
    if update.HasField("role") and update.role != row.role:
        _check_role(work, row, update.role)
        row.role = update.role
    if update.HasField("sort_order"):
        if update.sort_order < 0:  # RFC 8621 §2: 0 <= sortOrder < 2^31
            raise RefusedError(mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX)
        row.sort_order = update.sort_order
    if update.HasField("subscribed"):
        row.subscribed = update.subscribed


def _check_role(work: _Work, row: MailboxRow, role: str) -> None:
    if 0 < row.mailbox_id <= LAST_STANDARD_ID or (role and role not in FREE_ROLES):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
    # RFC 8621 §2: no two mailboxes of an account have the same role
    if role and any(other.role == role for other in work.mailboxes.values()):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_CONFLICT)


def _check_parent(work: _Work, row: MailboxRow) -> None:
    depth, at = _height(work, row.mailbox_id), row.parent_id
    while at:
        parent = work.mailboxes.get(at)
        depth += 1
        # RFC 8621 §2: no loops
        if parent is None or at == row.mailbox_id or depth > MAX_DEPTH:
            raise RefusedError(mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX)
        at = parent.parent_id


def _height(work: _Work, mailbox_id: int) -> int:
    """Return how many levels a mailbox and what is below it take."""
    height, level = 0, {mailbox_id}
    while level and height <= MAX_DEPTH:
        height += 1
        level = {row.mailbox_id for row in work.mailboxes.values() if row.parent_id in level} if mailbox_id else set()
    return height


async def _destroy(work: _Work, update: mailbox_pb2.MailboxUpdate) -> None:
    mailbox_id, account = update.mailbox_id, work.account
    if mailbox_id not in work.mailboxes:
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_NOT_FOUND)
    if mailbox_id <= LAST_STANDARD_ID:
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_FORBIDDEN)
    if any(row.parent_id == mailbox_id for row in work.mailboxes.values()):
        raise RefusedError(mailbox_pb2.UPDATE_STATUS_CONFLICT)
    place = (account.partition, account.account_id)
    while ids := await mailbox_rows.some_messages(work.connection, *place, mailbox_id, _CHUNK):
        if not update.with_messages:
            raise RefusedError(mailbox_pb2.UPDATE_STATUS_CONFLICT)
        messages = []
        for row in await message_rows.read(work.connection, *place, ids):
            message = Restated.of(row)
            message.mailbox_ids = tuple(other for other in message.mailbox_ids if other != mailbox_id)
            messages.append(message)
        work.modseq = await restate(work.connection, account, work.modseq, messages)
    await _step(work)
    await mailbox_rows.delete(work.connection, *place, mailbox_id)
    await _log(work, Op.DESTROYED, mailbox_id)
    del work.mailboxes[mailbox_id]
