"""Messages change: keywords, mailboxes, destruction. One place works out what that means for threads, counters, uids and the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_store.adapters import filing_rows, message_rows, share_rows
from petitbleu_store.adapters.filing_rows import Connection, Raise, Rows, array
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.domain import counts
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.counts import Counts
from petitbleu_store.domain.keywords import is_unread
from petitbleu_store.service import removal
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.removal import NOTHING, Keeping


@dataclass(slots=True)
class Restated:
    """A message as it was, and as it shall be.

    Attributes:
        row: Its row, as message_rows.read gives it.
        flags: New flags.
        keywords: New hashes of keywords without a flag.
        mailbox_ids: New mailboxes; none destroys the message.
        sealed_keywords: Names of keywords that may be new to the account.
    """

    row: asyncpg.Record
    flags: int
    keywords: tuple[int, ...]
    mailbox_ids: tuple[int, ...]
    sealed_keywords: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def of(cls, row: asyncpg.Record) -> Restated:
        """Return a message that stays as it is."""
        return cls(row, row["flags"], tuple(sorted(row["keywords"] or ())), tuple(sorted(row["mailbox_ids"])))

    @property
    def destroyed(self) -> bool:
        """Whether nothing is left of it."""
        return not self.mailbox_ids

    def changes(self) -> bool:
        """Whether anything changes."""
        row = self.row
        return (
            self.flags != row["flags"]
            or set(self.mailbox_ids) != set(row["mailbox_ids"])
            or set(self.keywords) != set(row["keywords"] or ())
        )

    def moves(self) -> bool:
        """Whether it comes into a mailbox or leaves one."""
        return set(self.mailbox_ids) != set(self.row["mailbox_ids"])

    def moves_counts(self) -> bool:
        """Whether counters of mailboxes may change."""
        return set(self.mailbox_ids) != set(self.row["mailbox_ids"]) or is_unread(self.flags) != is_unread(
            self.row["flags"]
        )


async def restate(
    connection: Connection,
    account: KnownAccount,
    modseq: int,
    messages: Sequence[Restated],
    keeping: Keeping = NOTHING,
    *,
    at_least: int = 0,
    with_mailbox: bool = False,
) -> int:
    """Write changes of messages under the account's lock.

    Args:
        connection: In the transaction that holds the lock.
        account: Whose messages they are.
        modseq: The account's modseq before.
        messages: The changes, each message once.
        keeping: How much of what is destroyed is kept.
        at_least: Steps of modseq taken even if nothing changes.
        with_mailbox: Whether what is destroyed goes because a mailbox does.

    Returns:
        The account's modseq after.
    """
    partition, account_id = account.partition, account.account_id
    changed = [message for message in messages if message.changes()]
    destroyed = [message for message in changed if message.destroyed]
    threads = await threads_of(connection, account, changed)
    differences, last_of, orphans = consequences(threads, changed)
    steps = max(len(changed), len(differences), at_least)
    if not steps:
        return modseq
    added = places_added(changed)
    (locked,) = await filing_rows.raise_accounts(
        connection,
        [
            Raise(
                partition,
                account_id,
                steps,
                0,
                len(added),
                -sum([message.row["size"] for message in destroyed]),
                -len(destroyed),
            )
        ],
    )
    updates, rows = rows_of(account, modseq, locked["last_uid"], changed, added, differences, last_of)
    await message_rows.update(connection, partition, account_id, updates)
    await message_rows.leave(connection, partition, account_id, places_left(changed))
    if destroyed:
        gone = [message.row for message in destroyed]
        await removal.destroy(connection, (partition, account_id), gone, orphans, keeping, with_mailbox=with_mailbox)
    if locked["shared"]:
        await share_rows.moved(connection, partition, account_id, _moves(changed, modseq))
    await filing_rows.write(connection, rows)
    return int(locked["modseq"])


def _moves(changed: Sequence[Restated], modseq: int) -> list[tuple[int, int, str]]:
    """Return where messages were that others may have seen there."""
    return [
        (modseq + step, message.row["message_id"], array(message.row["mailbox_ids"]))
        for step, message in enumerate(changed, 1)
        if message.moves()
    ]


def places_added(changed: Sequence[Restated]) -> list[tuple[Restated, int]]:
    """Return the mailboxes that messages come into."""
    return [
        (message, mailbox_id)
        for message in changed
        for mailbox_id in sorted(set(message.mailbox_ids) - set(message.row["mailbox_ids"]))
    ]


def places_left(changed: Sequence[Restated]) -> list[tuple[int, int, int]]:
    """Return the places (mailbox, received_ms, message) that messages leave."""
    return [
        (mailbox_id, message.row["received_ms"], message.row["message_id"])
        for message in changed
        for mailbox_id in set(message.row["mailbox_ids"]) - set(message.mailbox_ids)
    ]


def rows_of(
    account: KnownAccount,
    modseq: int,
    last_uid: int,
    changed: Sequence[Restated],
    added: Sequence[tuple[Restated, int]],
    differences: dict[int, Counts],
    last_of: set[int],
) -> tuple[list[tuple[Any, ...]], Rows]:
    """Work out what is written of changes.

    Args:
        account: Whose messages they are.
        modseq: The account's modseq before.
        last_uid: The account's last uid after, those of `added` taken.
        changed: The messages.
        added: Mailboxes that they come into.
        differences: What counters of mailboxes gain.
        last_of: Messages that were the last of their threads.

    Returns:
        What `message_rows.update` takes, and the rows of other tables.
    """
    partition, account_id = account.partition, account.account_id
    rows = Rows.empty()
    updates: list[tuple[Any, ...]] = []
    for step, message in enumerate(changed, 1):
        row = message.row
        if message.destroyed:
            op = Op.DESTROYED_WITH_THREAD if row["message_id"] in last_of else Op.DESTROYED
        else:
            op = Op.UPDATED if set(message.mailbox_ids) != set(row["mailbox_ids"]) else Op.MARKED
            updates.append(
                (row["message_id"], message.flags, array(message.keywords) if message.keywords else None, array(message.mailbox_ids), modseq + step)
            )  # fmt: skip
            rows.keywords.extend(
                [(partition, account_id, number, sealed) for number, sealed in message.sealed_keywords]
            )
        rows.changes.append(
            (partition, Kind.MESSAGE, op, account_id, modseq + step, row["message_id"], row["thread_id"])
        )
    uid = last_uid - len(added)
    for offset, (message, mailbox_id) in enumerate(added, 1):
        row = message.row
        rows.places.append(
            (partition, account_id, mailbox_id, row["received_ms"], row["message_id"], row["thread_id"], uid + offset)
        )
    for step, (mailbox_id, difference) in enumerate(sorted(differences.items()), 1):
        rows.counts.append((partition, account_id, mailbox_id, *difference, modseq + step))
        rows.changes.append((partition, Kind.MAILBOX, Op.COUNTED, account_id, modseq + step, mailbox_id, 0))
    return updates, rows


async def threads_of(
    executor: Executor | KeptConnections, account: KnownAccount, changed: Sequence[Restated]
) -> dict[int, list[asyncpg.Record]]:
    """Read the threads of which counters may change."""
    touched = {message.row["thread_id"] for message in changed if message.moves_counts()}
    threads: dict[int, list[asyncpg.Record]] = {thread_id: [] for thread_id in touched}
    if touched:
        wanted = [(account.partition, account.account_id, thread_id) for thread_id in sorted(touched)]
        for row in await filing_rows.threads_state(executor, wanted):
            threads[row["thread_id"]].append(row)
    return threads


def consequences(
    threads: dict[int, list[asyncpg.Record]], changed: Sequence[Restated]
) -> tuple[dict[int, Counts], set[int], list[tuple[int, int]]]:
    """Work out what counters gain, which messages are the last of their threads, and which references lose their last message."""
    after_of = {message.row["message_id"]: message for message in changed}
    differences: dict[int, Counts] = {}
    last_of: set[int] = set()
    orphans: list[tuple[int, int]] = []
    for thread_id, rows in threads.items():
        before = [(row["mailbox_ids"], is_unread(row["flags"])) for row in rows]
        after = []
        kept_refs: set[int] = set()
        lost_refs: set[int] = set()
        gone = []
        for row in rows:
            message = after_of.get(row["message_id"])
            if message is None:
                after.append((row["mailbox_ids"], is_unread(row["flags"])))
            elif not message.destroyed:
                after.append((message.mailbox_ids, is_unread(message.flags)))
            else:
                gone.append(row["message_id"])
                lost_refs.update(row["refs"])
                continue
            kept_refs.update(row["refs"])
        counts.add(differences, counts.of_thread(after))
        counts.add(differences, counts.of_thread(before), -1)
        orphans.extend([(ref, thread_id) for ref in lost_refs - kept_refs])
        if not after and gone:
            # The log's last row of the thread tells that it is gone.
            order = {message.row["message_id"]: place for place, message in enumerate(changed)}
            last_of.add(max(gone, key=order.__getitem__))
    return {mailbox_id: change for mailbox_id, change in differences.items() if any(change)}, last_of, orphans
