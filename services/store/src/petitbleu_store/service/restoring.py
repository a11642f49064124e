"""RestoreMessages: what a person destroyed is there again, under its own id, in its thread, with its keywords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import message_rows, removed_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain import keywords
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, SENT, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.reading import Reading
from petitbleu_store.service.returning import Returning, bring_back, room_in_threads
from petitbleu_store.service.updates import changed_event, locked_row

MAX_RESTORATIONS: Final = 1000
# Where a guarded account's own writing may be.
_OWN: Final = frozenset({DRAFTS, SENT, TRASH})
_Status: TypeAlias = "pb.RestoreStatus.ValueType"


@dataclass(slots=True)
class Places:
    """Where messages may be put.

    Attributes:
        known: The account's mailboxes.
        kept: Its deleted mailboxes that can be brought back.
        guarded: Whether it is guarded.
    """

    known: set[int]
    kept: set[int]
    guarded: bool

    @classmethod
    async def of(cls, connection: Connection, account: KnownAccount, locked: asyncpg.Record) -> Places:
        """Read them under the account's lock."""
        place = (account.partition, account.account_id)
        kept = {row["mailbox_id"] for row in await removed_rows.mailboxes(connection, place)}
        return cls(await message_rows.mailbox_ids(connection, *place), kept, locked["guarded"])

    def allows(self, row: asyncpg.Record, mailbox_ids: Sequence[int]) -> bool:
        """Whether the guard lets a message be there: nobody decided on what a guarded account wrote itself (two gates)."""
        return not self.guarded or row["import_key"] is None or _OWN.issuperset(mailbox_ids)

    def of_old(self, row: asyncpg.Record) -> tuple[int, ...]:
        """Return where a message was, as far as that is there and allowed; else the archive, or its author's own mailboxes."""
        found = [one for one in sorted(row["mailbox_ids"]) if one in self.known and self.allows(row, (one,))]
        if found:
            return tuple(found)
        if row["flags"] & keywords.DRAFT:
            return (DRAFTS,)
        return (ARCHIVE,) if self.allows(row, (ARCHIVE,)) else (SENT,)


async def join_kept(
    connection: Connection, account: KnownAccount, places: Places, rows: Sequence[asyncpg.Record]
) -> None:
    """Note that messages that come back were in mailboxes that are still deleted: these take them back when they return."""
    joining: dict[int, list[int]] = {}
    for row in rows:
        for mailbox_id in places.kept.intersection(row["mailbox_ids"]):
            joining.setdefault(mailbox_id, []).append(row["message_id"])
    for mailbox_id, message_ids in sorted(joining.items()):
        await removed_rows.join(connection, (account.partition, account.account_id), mailbox_id, message_ids)


@dataclass(slots=True)
class _Run:
    """What one request does."""

    before: int
    after: int
    statuses: list[_Status] = field(default_factory=list)
    events: list[OutboxRow] = field(default_factory=list)


class Restoring:
    """Brings messages back."""

    def __init__(self, core: Core, reading: Reading) -> None:
        self._core = core
        self._reading = reading

    async def messages(self, account: KnownAccount, request: pb.RestoreMessagesRequest) -> pb.RestoreMessagesResponse:
        """Bring back what can be; a message that is there already is no error.

        Raises:
            StoreError: INVALID for too many, or a message named twice; NOT_FOUND; STATE_MISMATCH.
        """
        ids = [one.message_id for one in request.restorations]
        if len(ids) > MAX_RESTORATIONS or len(set(ids)) != len(ids):
            raise StoreError(Problem.INVALID, "too many messages, or one twice")

        async def work(connection: Connection) -> _Run:
            locked = await locked_row(connection, account, request.if_modseq)
            run = _Run(locked["modseq"], locked["modseq"])
            await self._restore(connection, account, request.restorations, locked, run)
            if run.after != run.before:
                run.events.append(changed_event(account, run.after))
                await self._core.outbox.insert(connection, run.events)
            return run

        run = await in_transaction(self._core.pool, work)
        self._core.outbox.published_soon(run.events)
        response = pb.RestoreMessagesResponse(old_modseq=run.before, new_modseq=run.after)
        there = [one for one, status in zip(ids, run.statuses, strict=True) if status == pb.RESTORE_STATUS_OK]
        shown = await self._reading.messages(account, there, without_meta=True)
        found = {message.message_id: message for message in shown.messages}
        for message_id, status in zip(ids, run.statuses, strict=True):
            response.results.add(status=status, message=found.get(message_id))
        return response

    @staticmethod
    async def _restore(
        connection: Connection,
        account: KnownAccount,
        wanted: Sequence[pb.Restoration],
        locked: asyncpg.Record,
        run: _Run,
    ) -> None:
        place = (account.partition, account.account_id)
        ids = [one.message_id for one in wanted]
        there = {row["message_id"] for row in await message_rows.read(connection, *place, ids)}
        kept = {row["message_id"]: row for row in await removed_rows.read(connection, place, ids)}
        places = await Places.of(connection, account, locked)
        room = await room_in_threads(connection, account, list(kept.values()))
        free = locked["quota_octets"] - locked["used_octets"] if locked["quota_octets"] else None
        returning: list[Returning] = []
        for one in wanted:
            row = kept.get(one.message_id)
            if row is None:
                found = one.message_id in there
                run.statuses.append(pb.RESTORE_STATUS_OK if found else pb.RESTORE_STATUS_NOT_FOUND)
                continue
            target = tuple(sorted(set(one.mailbox_ids))) or places.of_old(row)
            status = _verdict(row, target, places, room, free)
            run.statuses.append(status)
            if status == pb.RESTORE_STATUS_OK:
                free = None if free is None else free - row["size"]
                returning.append(Returning(row, target))
        run.after = await bring_back(connection, account, run.before, returning)
        await join_kept(connection, account, places, [one.row for one in returning])


def _verdict(row: asyncpg.Record, target: Sequence[int], places: Places, room: set[int], free: int | None) -> _Status:
    if not places.known.issuperset(target):
        return pb.RESTORE_STATUS_INVALID_MAILBOX
    if not places.allows(row, target):
        return pb.RESTORE_STATUS_FORBIDDEN
    if free is not None and row["size"] > free:
        return pb.RESTORE_STATUS_OVER_QUOTA
    return pb.RESTORE_STATUS_OK if row["message_id"] in room else pb.RESTORE_STATUS_TOO_MANY
