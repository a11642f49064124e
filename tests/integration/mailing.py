"""Accounts and filed mail for tests of the store's mailboxes, and a client that keeps a cache as RFC 8620 §5.2 tells it to."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.integration.arriving import TENANT, accept, message

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.ids import BlobId, new_account_id
from petitbleu_store.bootstrap import Store
from petitbleu_store.mailbox_parts import Parts
from petitbleu_store.service.account_book import KnownAccount

PREFIX = b"Return-Path: <bob@example.org>\r\nDelivered-To: zoe@demo.test\r\n"
_numbers = itertools.count(1)


def parts_of(store: Store) -> Parts:
    assert isinstance(store.mailboxes, Parts)
    return store.mailboxes


async def new_account(store: Store, tenant: int = TENANT, **more: Any) -> int:
    account_id = new_account_id()
    wanted = mailbox_pb2.NewStoreAccount(account_id=account_id, tenant_id=tenant, language="fr", **more)
    await parts_of(store).accounts.create([wanted])
    return account_id


def mail(subject: str = "", *, message_id: str = "", answers: Sequence[str] = (), octets: int = 200) -> bytes:
    number = next(_numbers)
    lines = [
        "From: Bob <bob@example.org>", "To: zoe@demo.test", f"Subject: {subject or f'subject {number}'}",
        "Date: Sun, 22 Nov 2026 01:00:00 +0000", f"Message-ID: <{message_id or f'{number}.{secrets.token_hex(4)}@example.org'}>",
    ]  # fmt: skip
    if answers:
        lines += [f"In-Reply-To: <{answers[-1]}>", "References: " + " ".join(f"<{one}>" for one in answers)]
    return "\r\n".join([*lines, "", "x" * octets, ""]).encode()


def item(blob_id: BlobId, account_id: int, number: int = 0, **more: Any) -> filing_pb2.FileItem:
    return filing_pb2.FileItem(
        recipient=filing_pb2.RecipientRef(accepted_id=blob_id.bytes, recipient_no=number),
        account_id=account_id,
        **{"prefix": PREFIX, **more},
    )


async def file(store: Store, *items: filing_pb2.FileItem) -> list[filing_pb2.FileResult]:
    return list((await parts_of(store).file(filing_pb2.FileRequest(items=items))).results)


async def file_new(store: Store, account_id: int, *bodies: bytes, **more: Any) -> list[int]:
    ids = await accept(store, *[message(body) for body in bodies])
    results = await file(store, *[item(blob_id, account_id, **more) for blob_id in ids])
    assert all(result.status == filing_pb2.FILE_STATUS_FILED for result in results)
    return [result.message_id for result in results]


async def update(
    store: Store, account_id: int, *updates: mailbox_pb2.MessageUpdate
) -> mailbox_pb2.UpdateMessagesResponse:
    request = mailbox_pb2.UpdateMessagesRequest(account_id=account_id, updates=updates)
    return await parts_of(store).cases.updates.update(await known(store, account_id), request)


async def change_mailboxes(
    store: Store, account_id: int, *updates: mailbox_pb2.MailboxUpdate
) -> mailbox_pb2.UpdateMailboxesResponse:
    request = mailbox_pb2.UpdateMailboxesRequest(account_id=account_id, updates=updates)
    return await parts_of(store).cases.mailboxes.update(await known(store, account_id), request)


async def known(store: Store, account_id: int) -> KnownAccount:
    return await parts_of(store).cases.account(account_id)


async def mailboxes(store: Store, account_id: int) -> dict[int, mailbox_pb2.Mailbox]:
    response = await parts_of(store).cases.reading.mailboxes(await known(store, account_id))
    return {mailbox.mailbox_id: mailbox for mailbox in response.mailboxes}


async def messages(store: Store, account_id: int, ids: Sequence[int]) -> dict[int, mailbox_pb2.Message]:
    account = await known(store, account_id)
    response = await parts_of(store).cases.reading.messages(account, ids, without_meta=False)
    return {message.message_id: message for message in response.messages}


async def all_ids(store: Store, account_id: int) -> list[int]:
    request = mailbox_pb2.QueryMessagesRequest(account_id=account_id, limit=1000)
    return list((await parts_of(store).cases.queries.query(await known(store, account_id), request)).message_ids)


async def served(store: Store, account_id: int, message_id: int, offset: int = 0, length: int = 0) -> bytes:
    pieces = parts_of(store).cases.blobs.read(await known(store, account_id), message_id, offset, length)
    return b"".join([piece async for piece in pieces])


async def faults(store: Store) -> list[str]:
    """What verification finds wrong with the mailboxes."""
    return [finding async for progress in store.mailboxes.verify(bodies=True) for finding in progress.findings]


@dataclass
class Cache:
    """What a client believes, kept by GetChanges alone."""

    kind: mailbox_pb2.ChangeKind.ValueType
    modseq: int = 0
    ids: set[int] = field(default_factory=set)
    updated: set[int] = field(default_factory=set)

    async def account(self, store: Store, account_id: int) -> KnownAccount:
        """Whose account it is."""
        return await known(store, account_id)

    async def sync(self, store: Store, account_id: int, max_changes: int) -> None:
        """Catch up, at most `max_changes` ids a call; `updated` gathers what was told to have changed."""
        self.updated = set()
        while True:
            request = mailbox_pb2.GetChangesRequest(
                account_id=account_id, kind=self.kind, since_modseq=self.modseq, max_changes=max_changes
            )
            told = await parts_of(store).cases.changes.get(await self.account(store, account_id), request)
            created, updated, destroyed = set(told.created), set(told.updated), set(told.destroyed)
            assert len(created) + len(updated) + len(destroyed) == len(created | updated | destroyed)
            assert len(created | updated | destroyed) <= max_changes
            assert not created & self.ids
            assert updated <= self.ids
            assert destroyed <= self.ids
            self.ids = (self.ids | created) - destroyed
            self.updated = (self.updated | created | updated) - destroyed
            assert told.new_modseq > self.modseq or not told.has_more
            self.modseq = told.new_modseq
            if not told.has_more:
                return


@contextlib.asynccontextmanager
async def counting_events(store: Store) -> AsyncIterator[list[str]]:
    """The subjects of the events written meanwhile, without version and partition."""
    query = "/* cold:test */ SELECT event_id, subject FROM outbox"
    before = {row["event_id"] for row in await store.core.cold.fetch(query)}
    subjects: list[str] = []
    yield subjects
    rows = await store.core.cold.fetch(query)
    subjects += sorted(row["subject"].rpartition(".v1.")[0] for row in rows if row["event_id"] not in before)
