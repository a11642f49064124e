"""RestoreMailboxes: deleted mailboxes are there again, under their own ids, each with the messages that went with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_mail.mailbox_rules import MAX_DEPTH, MAX_NAME_OCTETS
from petitbleu_store.adapters import filing_rows, mailbox_rows, message_rows, removed_rows
from petitbleu_store.adapters.filing_rows import Connection, Raise, Rows
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.mailbox_names import name_hash, open_name, seal_name
from petitbleu_store.domain.mailbox_outcome import MailboxRow
from petitbleu_store.domain.mailbox_tree import MAX_MAILBOXES
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.restating import Restated, restate
from petitbleu_store.service.restoring import Places, join_kept
from petitbleu_store.service.returning import Returning, bring_back, room_in_threads
from petitbleu_store.service.updates import changed_event, locked_row

MAX_MAILBOXES_AT_ONCE: Final = 100
_CHUNK: Final = 1000


class RestoringMailboxes:
    """Brings mailboxes back."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def restore(self, account: KnownAccount, request: pb.RestoreMailboxesRequest) -> pb.RestoreMailboxesResponse:
        """Bring back what can be; a mailbox that is there already is no error.

        Raises:
            StoreError: INVALID for too many, or one named twice; NOT_FOUND; STATE_MISMATCH.
        """
        ids = list(request.mailbox_ids)
        if len(ids) > MAX_MAILBOXES_AT_ONCE or len(set(ids)) != len(ids):
            raise StoreError(Problem.INVALID, "too many mailboxes, or one twice")

        async def work(connection: Connection) -> tuple[pb.RestoreMailboxesResponse, list[OutboxRow]]:
            locked = await locked_row(connection, account, request.if_modseq)
            place = (account.partition, account.account_id)
            tree = await mailbox_rows.read(connection, *place)
            kept = {row["mailbox_id"]: row for row in await removed_rows.mailboxes(connection, place)}
            run = _Run(connection, account, tree, kept, await Places.of(connection, account, locked), locked["modseq"])
            if locked["quota_octets"]:
                run.free = locked["quota_octets"] - locked["used_octets"]
            done = {}
            for mailbox_id in sorted(ids, key=lambda one: _level(kept, one)):
                done[mailbox_id] = await run.one(mailbox_id, with_messages=not request.without_messages)
            response = pb.RestoreMailboxesResponse(old_modseq=locked["modseq"], new_modseq=run.modseq)
            response.results.extend([done[mailbox_id] for mailbox_id in ids])
            events = [changed_event(account, run.modseq)] if run.modseq != locked["modseq"] else []
            if events:
                await self._core.outbox.insert(connection, events)
            return response, events

        response, events = await in_transaction(self._core.pool, work)
        self._core.outbox.published_soon(events)
        return response


def _level(kept: Mapping[int, asyncpg.Record], mailbox_id: int) -> int:
    """Return how many deleted mailboxes a deleted mailbox is below."""
    seen: set[int] = set()
    while mailbox_id in kept and mailbox_id not in seen:
        seen.add(mailbox_id)
        mailbox_id = kept[mailbox_id]["parent_id"]
    return len(seen)


@dataclass(slots=True)
class _Run:
    """The commit of one request: `modseq` is the account's by now, `free` the octets that its quota leaves."""

    connection: Connection
    account: KnownAccount
    tree: dict[int, MailboxRow]
    kept: dict[int, asyncpg.Record]
    places: Places
    modseq: int
    free: int | None = None

    @property
    def _place(self) -> tuple[int, int]:
        return self.account.partition, self.account.account_id

    async def one(self, mailbox_id: int, *, with_messages: bool) -> pb.RestoredMailbox:
        """Bring one mailbox back."""
        there = self.tree.get(mailbox_id)
        if there is not None:
            name = open_name(self.account.cipher, mailbox_id, there.name_sealed)
            return pb.RestoredMailbox(
                status=pb.RESTORE_STATUS_OK, name=name, parent_id=there.parent_id, role=there.role
            )
        kept = self.kept.get(mailbox_id)
        if kept is None:
            return pb.RestoredMailbox(status=pb.RESTORE_STATUS_NOT_FOUND)
        if len(self.tree) >= MAX_MAILBOXES:
            return pb.RestoredMailbox(status=pb.RESTORE_STATUS_TOO_MANY)
        ids = await removed_rows.of_mailbox(self.connection, self._place, mailbox_id) if with_messages else []
        octets = sum([row["size"] for row in await removed_rows.some(self.connection, self._place, ids)]) if ids else 0
        if self.free is not None and octets > self.free:
            return pb.RestoredMailbox(status=pb.RESTORE_STATUS_OVER_QUOTA)
        members = await removed_rows.members(self.connection, self._place, mailbox_id) if with_messages else []
        row, name = self._row(kept)
        await self._write(row)
        count = 0
        for at in range(0, len(ids), _CHUNK):
            count += await self._return(ids[at : at + _CHUNK])
        for at in range(0, len(members), _CHUNK):
            count += await self._rejoin(mailbox_id, members[at : at + _CHUNK])
        return pb.RestoredMailbox(
            status=pb.RESTORE_STATUS_OK, name=name, parent_id=row.parent_id, role=row.role, messages=count
        )

    def _row(self, kept: asyncpg.Record) -> tuple[MailboxRow, str]:
        """Return the row and the name of a mailbox: where and what it was, as far as that is free now (RFC 8621 §2)."""
        mailbox_id, parent_id = kept["mailbox_id"], kept["parent_id"]
        if parent_id not in self.tree or self._depth(parent_id) >= MAX_DEPTH:
            parent_id = 0
        taken = {row.name_hash for row in self.tree.values() if row.parent_id == parent_id}
        cipher = self.account.cipher
        if not parent_id:
            taken.add(name_hash(cipher, "INBOX"))
        old = name = open_name(cipher, mailbox_id, kept["name_sealed"])
        number = 1
        while name_hash(cipher, name) in taken:
            number += 1
            tail = f" ({number})"
            name = old.encode()[: MAX_NAME_OCTETS - len(tail)].decode(errors="ignore") + tail
        roles = {row.role for row in self.tree.values()}
        row = MailboxRow(
            mailbox_id, parent_id, "" if kept["role"] in roles else kept["role"], kept["sort_order"], kept["subscribed"],
            name_hash(cipher, name), seal_name(cipher, mailbox_id, name), 0,
        )  # fmt: skip
        return row, name

    def _depth(self, mailbox_id: int) -> int:
        depth = 0
        while mailbox_id in self.tree:
            depth += 1
            mailbox_id = self.tree[mailbox_id].parent_id
        return depth

    async def _write(self, row: MailboxRow) -> None:
        await filing_rows.raise_accounts(self.connection, [Raise(*self._place, 1, 0, 0, 0, 0)])
        self.modseq += 1
        await mailbox_rows.insert(self.connection, *self._place, row, self.modseq)
        log = Rows.empty()
        partition, account_id = self._place
        log.changes.append((partition, Kind.MAILBOX, Op.CREATED, account_id, self.modseq, row.mailbox_id, 0))
        await filing_rows.write(self.connection, log)
        await removed_rows.delete_mailboxes(self.connection, self._place, [row.mailbox_id])
        await removed_rows.count(self.connection, self._place, 0, 0)
        self.tree[row.mailbox_id] = row
        self.places.known.add(row.mailbox_id)
        self.places.kept.discard(row.mailbox_id)

    async def _return(self, message_ids: list[int]) -> int:
        """Bring back messages that went with the mailbox; return how many."""
        rows = await removed_rows.read(self.connection, self._place, message_ids)
        room = await room_in_threads(self.connection, self.account, rows)
        fitting = [row for row in rows if row["message_id"] in room]
        returning = [Returning(row, self.places.of_old(row)) for row in fitting]
        self.modseq = await bring_back(self.connection, self.account, self.modseq, returning)
        await join_kept(self.connection, self.account, self.places, fitting)
        if self.free is not None:
            self.free -= sum([row["size"] for row in fitting])
        return len(fitting)

    async def _rejoin(self, mailbox_id: int, message_ids: list[int]) -> int:
        """Put messages that live on in other mailboxes in this one again; return how many."""
        messages = []
        for row in await message_rows.read(self.connection, *self._place, message_ids):
            if self.places.allows(row, (mailbox_id,)):
                message = Restated.of(row)
                message.mailbox_ids = tuple(sorted({*message.mailbox_ids, mailbox_id}))
                messages.append(message)
        self.modseq = await restate(self.connection, self.account, self.modseq, messages)
        return len(messages)
