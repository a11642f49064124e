"""The statements on the rows of mailboxes, under the lock of their account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.domain.mailbox_outcome import MailboxRow

_READ: Final = """/* hot:store.mailboxes_read */ SELECT mailbox_id, parent_id, role, sort_order, subscribed, name_hash, name_sealed, total
FROM mailbox WHERE partition = $1 AND account_id = $2"""
_INSERT: Final = """/* hot:store.mailbox_insert */ INSERT INTO mailbox (partition, account_id, mailbox_id, parent_id, role, sort_order,
    subscribed, name_hash, name_sealed, modseq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""
_UPDATE: Final = """/* hot:store.mailbox_update */ UPDATE mailbox SET parent_id = $4, role = $5, sort_order = $6, subscribed = $7,
    name_hash = $8, name_sealed = $9, modseq = $10 WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3"""
_DELETE: Final = """/* hot:store.mailbox_delete */ DELETE FROM mailbox WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3"""
_SOME: Final = """/* hot:store.mailbox_some */ SELECT message_id FROM mailbox_message
WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3 ORDER BY received_ms, message_id LIMIT $4"""
_OCCUPIED: Final = """/* hot:store.mailboxes_occupied */ SELECT v.mailbox_id FROM unnest($3::bigint[]) AS v (mailbox_id)
WHERE EXISTS (SELECT FROM mailbox_message b WHERE b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = v.mailbox_id)"""
_PARK: Final = """/* hot:store.mailbox_park */ UPDATE mailbox SET parent_id = -mailbox_id
WHERE partition = $1 AND account_id = $2 AND mailbox_id = ANY($3::bigint[])"""


async def read(connection: Connection, partition: int, account_id: int) -> dict[int, MailboxRow]:
    """Return an account's mailboxes by id."""
    rows = await connection.fetch(_READ, partition, account_id)
    return {row["mailbox_id"]: MailboxRow(*row.values()) for row in rows}


async def insert(connection: Connection, partition: int, account_id: int, row: MailboxRow, modseq: int) -> None:
    """Write a new mailbox."""
    await connection.execute(_INSERT, *_values(partition, account_id, row, modseq))


async def update(connection: Connection, partition: int, account_id: int, row: MailboxRow, modseq: int) -> None:
    """Write a changed mailbox."""
    await connection.execute(_UPDATE, *_values(partition, account_id, row, modseq))


async def park(connection: Connection, partition: int, account_id: int, mailbox_ids: Sequence[int]) -> None:
    """Put mailboxes where no name is taken, until they are written anew in the same transaction."""
    if mailbox_ids:
        await connection.execute(_PARK, partition, account_id, mailbox_ids)


async def occupied(connection: Connection, partition: int, account_id: int, mailbox_ids: Sequence[int]) -> set[int]:
    """Return those of the mailboxes in which there are messages."""
    if not mailbox_ids:
        return set()
    return {row["mailbox_id"] for row in await connection.fetch(_OCCUPIED, partition, account_id, mailbox_ids)}


async def delete(connection: Connection, partition: int, account_id: int, mailbox_id: int) -> None:
    """Delete a mailbox in which nothing is."""
    await connection.execute(_DELETE, partition, account_id, mailbox_id)


async def some_messages(
    connection: Connection, partition: int, account_id: int, mailbox_id: int, limit: int
) -> list[int]:
    """Return some ids of messages in a mailbox."""
    return [row["message_id"] for row in await connection.fetch(_SOME, partition, account_id, mailbox_id, limit)]


def _values(
    partition: int, account_id: int, row: MailboxRow, modseq: int
) -> tuple[int, int, int, int, str, int, bool, int, bytes, int]:
    return (
        partition, account_id, row.mailbox_id, row.parent_id, row.role, row.sort_order, row.subscribed, row.name_hash,
        row.name_sealed, modseq,
    )  # fmt: skip
