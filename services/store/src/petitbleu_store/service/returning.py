"""Kept messages become messages again, under their own ids: threads, references, counters, uids and the log are as if they had come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from petitbleu_store.adapters import filing_rows, removed_rows, search_rows
from petitbleu_store.adapters.filing_rows import Connection, MessageRow, Raise, Rows, array
from petitbleu_store.domain import counts
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.counts import Counts
from petitbleu_store.domain.keywords import is_unread
from petitbleu_store.service.account_book import KnownAccount

MAX_THREAD: Final = 1000
"""A thread takes no more than this by messages that come back; what comes anew stops far below (petitbleu_store.domain.threads)."""


@dataclass(frozen=True, slots=True)
class Returning:
    """A kept message (as removed_rows.read gives it), and the mailboxes that it shall be in."""

    row: asyncpg.Record
    mailbox_ids: tuple[int, ...]


async def room_in_threads(connection: Connection, account: KnownAccount, rows: Sequence[asyncpg.Record]) -> set[int]:
    """Return the ids of those of the kept messages for which their threads have room."""
    wanted = [(account.partition, account.account_id, one) for one in sorted({row["thread_id"] for row in rows})]
    sizes = Counter([row["thread_id"] for row in await filing_rows.threads_state(connection, wanted)])
    fitting = set()
    for row in rows:
        sizes[row["thread_id"]] += 1
        if sizes[row["thread_id"]] <= MAX_THREAD:
            fitting.add(row["message_id"])
    return fitting


async def bring_back(connection: Connection, account: KnownAccount, modseq: int, messages: Sequence[Returning]) -> int:
    """Write kept messages as messages under the account's lock.

    Args:
        connection: In the transaction that holds the lock.
        account: Whose messages they are.
        modseq: The account's modseq before.
        messages: The messages, each once.

    Returns:
        The account's modseq after.
    """
    if not messages:
        return modseq
    partition, account_id = place = (account.partition, account.account_id)
    living, differences = await _threads(connection, account, messages)
    octets = sum([one.row["size"] for one in messages])
    uids = sum([len(one.mailbox_ids) for one in messages])
    steps = max(len(messages), len(differences))
    (locked,) = await filing_rows.raise_accounts(
        connection, [Raise(partition, account_id, steps, 0, uids, octets, len(messages))]
    )
    keys = [one.row["import_key"] for one in messages if one.row["import_key"] is not None]
    taken = await removed_rows.taken_keys(connection, place, keys)
    rows = Rows.empty()
    origins: list[tuple[UUID, int]] = []
    uid = locked["last_uid"] - uids
    for step, one in enumerate(messages, 1):
        row = one.row
        message_id, thread_id, received_ms = row["message_id"], row["thread_id"], row["received_ms"]
        origins.append((row["blob_id"], message_id))
        key = row["import_key"]
        if key is not None:
            # The same was imported again meanwhile, and answers to the key.
            key = uuid4() if key in taken else key
            taken.add(key)
            origins.append((key, message_id))
        rows.messages.append(
            MessageRow(
                partition, row["flags"], account_id, message_id, thread_id, received_ms, row["sent_ms"], row["size"], modseq + step,
                row["blob_id"], key, array(one.mailbox_ids), array(row["keywords"]) if row["keywords"] else None, array(row["refs"]),
            )
        )  # fmt: skip
        rows.members.append((partition, account_id, thread_id, received_ms, message_id))
        for mailbox_id in one.mailbox_ids:
            uid += 1
            rows.places.append((partition, account_id, mailbox_id, received_ms, message_id, thread_id, uid))
        op = Op.RESTORED if thread_id in living else Op.RESTORED_WITH_THREAD
        living.add(thread_id)
        rows.changes.append((partition, Kind.MESSAGE, op, account_id, modseq + step, message_id, thread_id))
    for step, (mailbox_id, difference) in enumerate(sorted(differences.items()), 1):
        rows.counts.append((partition, account_id, mailbox_id, *difference, modseq + step))
        rows.changes.append((partition, Kind.MAILBOX, Op.COUNTED, account_id, modseq + step, mailbox_id, 0))
    rows.refs.extend(await _missing_refs(connection, account, messages))
    await removed_rows.delete(connection, place, [one.row["message_id"] for one in messages])
    await filing_rows.write(connection, rows)
    await search_rows.brought_back(connection, partition, account_id, [one.row["message_id"] for one in messages])
    await removed_rows.restore_origins(connection, place, origins)
    await removed_rows.count(connection, place, -octets, -len(messages))
    return int(locked["modseq"])


async def _threads(
    connection: Connection, account: KnownAccount, messages: Sequence[Returning]
) -> tuple[set[int], dict[int, Counts]]:
    """Return the threads that are there, and what the counters gain."""
    coming: dict[int, list[tuple[Sequence[int], bool]]] = {}
    for one in messages:
        coming.setdefault(one.row["thread_id"], []).append((one.mailbox_ids, is_unread(one.row["flags"])))
    there: dict[int, list[tuple[Sequence[int], bool]]] = {}
    wanted = [(account.partition, account.account_id, thread_id) for thread_id in sorted(coming)]
    for row in await filing_rows.threads_state(connection, wanted):
        there.setdefault(row["thread_id"], []).append((row["mailbox_ids"], is_unread(row["flags"])))
    differences: dict[int, Counts] = {}
    for thread_id, some in coming.items():
        before = there.get(thread_id, [])
        counts.add(differences, counts.of_thread([*before, *some]))
        counts.add(differences, counts.of_thread(before), -1)
    return set(there), {mailbox_id: change for mailbox_id, change in differences.items() if any(change)}


async def _missing_refs(
    connection: Connection, account: KnownAccount, messages: Sequence[Returning]
) -> list[tuple[int, int, int, int]]:
    """Return rows of references that nothing has now; those that lead to another thread by now go on to do so."""
    place = (account.partition, account.account_id)
    wanted: dict[int, int] = {}
    for one in messages:
        for ref in one.row["refs"]:
            wanted.setdefault(ref, one.row["thread_id"])
    found = await filing_rows.look(connection, [(*place, ref) for ref in sorted(wanted)], ())
    known = {row["a"] for row in found}
    return [(*place, ref, thread_id) for ref, thread_id in wanted.items() if ref not in known]
