"""Shared mailboxes for tests of the store, and a client that keeps what it sees of another's account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.integration.arriving import TENANT
from tests.integration.mailing import Cache, change_mailboxes, file_new, parts_of, update

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.sharing import ALL_RIGHTS, Right
from petitbleu_store.service.account_book import KnownAccount

READ = int(Right.READ_ITEMS)
ALL = int(ALL_RIGHTS)


async def give(store: Store, owner: int, mailbox_id: int, *shares: tuple[int, int]) -> pb.UpdateMailboxesResponse:
    """Share a mailbox as its owner: (grantee, rights)."""
    given = [pb.MailboxShare(account_id=grantee, rights=rights) for grantee, rights in shares]
    return await change_mailboxes(store, owner, pb.MailboxUpdate(mailbox_id=mailbox_id, shares=given))


async def seen(store: Store, owner: int, grantee: int, tenant: int = TENANT) -> KnownAccount:
    """The owner's account as the grantee sees it."""
    return await parts_of(store).cases.views.of(owner, grantee, tenant)


async def seen_mailboxes(store: Store, owner: int, grantee: int) -> dict[int, pb.Mailbox]:
    answer = await parts_of(store).cases.reading.mailboxes(await seen(store, owner, grantee))
    return {found.mailbox_id: found for found in answer.mailboxes}


async def seen_messages(store: Store, owner: int, grantee: int, ids: Sequence[int]) -> dict[int, pb.Message]:
    reading = parts_of(store).cases.reading
    answer = await reading.messages(await seen(store, owner, grantee), ids, without_meta=False)
    return {found.message_id: found for found in answer.messages}


async def seen_ids(store: Store, owner: int, grantee: int, **more: object) -> list[int]:
    request = pb.QueryMessagesRequest(account_id=owner, limit=1000, **more)  # type: ignore[arg-type]
    return list((await parts_of(store).cases.queries.query(await seen(store, owner, grantee), request)).message_ids)


async def as_grantee(store: Store, owner: int, grantee: int, *updates: pb.MessageUpdate) -> list[int]:
    """Change messages as the grantee; return the statuses."""
    request = pb.UpdateMessagesRequest(account_id=owner, updates=updates)
    answer = await parts_of(store).cases.updates.update(await seen(store, owner, grantee), request)
    return [result.status for result in answer.results]


async def boxes_as_grantee(
    store: Store, owner: int, grantee: int, *updates: pb.MailboxUpdate
) -> pb.UpdateMailboxesResponse:
    request = pb.UpdateMailboxesRequest(account_id=owner, updates=updates)
    return await parts_of(store).cases.mailboxes.update(await seen(store, owner, grantee), request)


@dataclass
class SeenCache(Cache):
    """What the grantee's client believes."""

    grantee: int = 0
    told: list[pb.GetChangesResponse] = field(default_factory=list)

    async def account(self, store: Store, account_id: int) -> KnownAccount:
        return await seen(store, account_id, self.grantee)


async def file_in(store: Store, account_id: int, mailbox_ids: Sequence[int], *bodies: bytes) -> list[int]:
    """File messages, and put them in these mailboxes and no other."""
    ids = await file_new(store, account_id, *bodies)
    moves = [pb.MessageUpdate(message_id=one, replace_mailboxes=True, add_mailbox_ids=mailbox_ids) for one in ids]
    await update(store, account_id, *moves)
    return ids
