"""What an account deleted, and its return, for tests of the store's undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.integration.mailing import known, parts_of

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_store.bootstrap import Store


async def removed_ids(store: Store, account_id: int, **more: int) -> list[int]:
    request = pb.QueryRemovedRequest(account_id=account_id, **{"limit": 1000, **more})  # type: ignore[arg-type]
    return list((await parts_of(store).cases.removed.query(await known(store, account_id), request)).message_ids)


async def removed(store: Store, account_id: int) -> list[pb.RemovedMessage]:
    """All deleted messages, the last deleted first."""
    ids = await removed_ids(store, account_id)
    return list((await parts_of(store).cases.removed.messages(await known(store, account_id), ids)).messages)


async def removed_mailboxes(store: Store, account_id: int) -> list[pb.RemovedMailbox]:
    return list((await parts_of(store).cases.removed.mailboxes(await known(store, account_id))).mailboxes)


async def restore(
    store: Store, account_id: int, wanted: Mapping[int, Sequence[int]], if_modseq: int = 0
) -> pb.RestoreMessagesResponse:
    """Bring messages back, each to some mailboxes or to where it was."""
    restorations = [pb.Restoration(message_id=one, mailbox_ids=places) for one, places in wanted.items()]
    request = pb.RestoreMessagesRequest(account_id=account_id, restorations=restorations, if_modseq=if_modseq)
    return await parts_of(store).cases.restoring.messages(await known(store, account_id), request)


async def restore_mailboxes(
    store: Store, account_id: int, *mailbox_ids: int, without_messages: bool = False
) -> pb.RestoreMailboxesResponse:
    request = pb.RestoreMailboxesRequest(
        account_id=account_id, mailbox_ids=mailbox_ids, without_messages=without_messages
    )
    return await parts_of(store).cases.restoring_mailboxes.restore(await known(store, account_id), request)


async def purge(
    store: Store, account_id: int, *message_ids: int, mailboxes: Sequence[int] = (), if_state: int | None = None
) -> pb.PurgeRemovedResponse:
    request = pb.PurgeRemovedRequest(
        account_id=account_id, message_ids=message_ids, mailbox_ids=mailboxes, if_state=if_state
    )
    return await parts_of(store).cases.purging.purge(await known(store, account_id), request)
