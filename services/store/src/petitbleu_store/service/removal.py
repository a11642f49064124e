"""What a message leaves when its person destroys it: it is kept for some days, within bounds, and then goes for good (ADR 20)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from petitbleu_kit.ids import millis_of_blob, partition_of_blob
from petitbleu_store.adapters import message_rows, removed_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.config import StoreSettings

# A recipient is open no longer than this: later, nobody files the message again.
GONE_DAYS: Final = 40
_DAY_MS: Final = 86_400_000
_CHUNK: Final = 1000
# Room is made for more than what is needed now, so that not every deletion has to look for the oldest.
_TENTHS: Final = 9


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much of what is destroyed is kept, an account.

    Attributes:
        days: How long; 0 keeps nothing.
        messages: Most messages, and most members of mailboxes.
        octets: Most octets of an account without quota; one with a quota keeps as much as that.
        mailboxes: Most mailboxes.
    """

    days: float
    messages: int
    octets: int
    mailboxes: int

    @classmethod
    def of(cls, settings: StoreSettings) -> Keeping:
        """Return what the settings say."""
        return cls(settings.undo_days, settings.undo_messages, settings.undo_octets, settings.undo_mailboxes)

    @property
    def milliseconds(self) -> int:
        """How long what is destroyed is kept."""
        return int(self.days * _DAY_MS)


NOTHING: Final = Keeping(0, 0, 0, 0)
"""What is destroyed is gone."""


async def destroy(
    connection: Connection,
    place: tuple[int, int],
    rows: Sequence[asyncpg.Record],
    orphans: Sequence[tuple[int, int]],
    keeping: Keeping,
    *,
    with_mailbox: bool,
) -> None:
    """Take messages away under the account's lock, whose counters know of it already; keep them when that is wanted.

    Args:
        connection: In the transaction that holds the lock.
        place: Partition and account.
        rows: The messages, as message_rows.read gives them.
        orphans: References (ref, thread) that no message has from now on.
        keeping: How much is kept.
        with_mailbox: Whether a mailbox takes them with it.
    """
    members = [(row["thread_id"], row["received_ms"], row["message_id"]) for row in rows]
    imports = [row["import_key"] for row in rows if row["import_key"] is not None]
    if not keeping.days:
        await message_rows.delete(connection, *place, members, orphans)
        await message_rows.delete_contents(connection, *place, [row["message_id"] for row in rows])
        await let_go(connection, place, rows, imports)
        return
    kept = [(row["message_id"], row["blob_id"]) for row in rows]
    await removed_rows.keep(connection, place, kept, with_mailbox=with_mailbox, removed_ms=now_ms())
    await message_rows.delete(connection, *place, members, orphans)
    # The same may be imported again: what is kept no longer answers to its key.
    await message_rows.forget_origins(connection, *place, (), imports)
    count = await removed_rows.count(connection, place, sum([row["size"] for row in rows]), len(rows))
    await _make_room(connection, place, count, keeping)


async def _make_room(
    connection: Connection, place: tuple[int, int], count: removed_rows.Kept, keeping: Keeping
) -> None:
    """Let the oldest go for good, drafts before anything else, until what is kept is within its bounds."""
    most = count.quota or keeping.octets
    if count.octets <= most and count.messages <= keeping.messages:
        return
    while count.octets > most * _TENTHS // 10 or count.messages > keeping.messages * _TENTHS // 10:
        octets, messages = count.octets, count.messages
        going = []
        for row in await removed_rows.oldest(connection, place, _CHUNK):
            if octets <= most * _TENTHS // 10 and messages <= keeping.messages * _TENTHS // 10:
                break
            octets -= row["size"]
            messages -= 1
            going.append(row)
        if not going:
            return
        count = await purge(connection, place, going)


async def purge(connection: Connection, place: tuple[int, int], rows: Sequence[asyncpg.Record]) -> removed_rows.Kept:
    """Delete kept messages for good, under the account's lock; return what is left.

    Args:
        connection: In the transaction that holds the lock.
        place: Partition and account.
        rows: Message id, size, blob and import key of each, read under that lock.
    """
    message_ids = [row["message_id"] for row in rows]
    await removed_rows.delete(connection, place, message_ids)
    await message_rows.delete_contents(connection, *place, message_ids)
    await let_go(connection, place, rows, ())
    return await removed_rows.count(connection, place, -sum([row["size"] for row in rows]), -len(rows))


async def let_go(
    connection: Connection, place: tuple[int, int], rows: Sequence[asyncpg.Record], keys: Sequence[UUID]
) -> None:
    """Remember that messages were destroyed while they might be filed again, and tell compaction of their blobs; forget import keys."""
    recent = now_ms() - GONE_DAYS * _DAY_MS
    gone: list[UUID] = []
    unknown = list(keys)
    for row in rows:
        filed_lately = row["import_key"] is None and millis_of_blob(row["blob_id"]) > recent
        (gone if filed_lately else unknown).append(row["blob_id"])
    await message_rows.forget_origins(connection, *place, gone, unknown)
    await message_rows.release(connection, [(partition_of_blob(row["blob_id"]), row["blob_id"]) for row in rows])


async def keep_mailboxes(
    connection: Connection, place: tuple[int, int], members: Mapping[int, Sequence[int]], keeping: Keeping
) -> None:
    """Keep mailboxes that are about to be deleted, under the account's lock; the oldest go where there are too many.

    Args:
        connection: In the transaction that holds the lock.
        place: Partition and account.
        members: The mailboxes, and the messages of each that live on.
        keeping: How much is kept.
    """
    if not keeping.days or not members:
        return
    at = now_ms()
    for mailbox_id, message_ids in members.items():
        await removed_rows.keep_mailbox(connection, place, mailbox_id, message_ids[-keeping.messages :], at)
    total = 0
    going = []
    for number, row in enumerate(await removed_rows.mailboxes(connection, place), 1):
        total += row["members"]
        if number > keeping.mailboxes or (total > keeping.messages and number > 1):
            going.append(row["mailbox_id"])
    await removed_rows.delete_mailboxes(connection, place, going)
    await removed_rows.count(connection, place, 0, 0)
