"""The statements that change messages of one account, run under the lock of its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from petitbleu_store.adapters.filing_rows import Connection

_LOCK: Final = """/* hot:store.account_lock */ SELECT tenant_id, modseq, guarded, quota_octets, used_octets FROM account
WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL FOR UPDATE"""

_MESSAGES: Final = """/* hot:store.messages_read */ SELECT message_id, thread_id, received_ms, flags, keywords, mailbox_ids, size, blob_id,
    refs, recipients FROM message WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

_UPDATE: Final = """/* hot:store.message_update */ UPDATE message m SET flags = v.flags, keywords = v.keywords::bigint[],
    mailbox_ids = v.mailbox_ids::bigint[], recipients = v.recipients::integer[], modseq = v.modseq
FROM unnest($3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::bigint[])
    AS v (message_id, flags, keywords, mailbox_ids, recipients, modseq)
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id"""

_LEAVE: Final = """/* hot:store.mailbox_message_delete */ DELETE FROM mailbox_message b
USING unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS v (mailbox_id, received_ms, message_id)
WHERE b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = v.mailbox_id AND b.received_ms = v.received_ms
    AND b.message_id = v.message_id"""

_DELETE: Final = """/* hot:store.message_delete */ DELETE FROM message WHERE partition = $1 AND account_id = $2
    AND message_id = ANY($3::bigint[])"""

_DELETE_CONTENT: Final = """/* hot:store.content_delete */ DELETE FROM message_content WHERE partition = $1 AND account_id = $2
    AND message_id = ANY($3::bigint[])"""

_DELETE_REFS: Final = """/* hot:store.thread_ref_delete */ DELETE FROM thread_ref r USING unnest($3::bigint[], $4::bigint[]) AS v (ref_hash, thread_id)
WHERE r.partition = $1 AND r.account_id = $2 AND r.ref_hash = v.ref_hash AND r.thread_id = v.thread_id"""

_GONE: Final = """/* hot:store.message_gone_insert */ INSERT INTO message_gone (partition, account_id, accepted_id, held)
SELECT $1, $2, v.accepted_id, $4 FROM unnest($3::uuid[]) AS v (accepted_id)
ON CONFLICT (partition, account_id, accepted_id) DO NOTHING"""

_RELEASE: Final = """/* hot:store.blob_release */ INSERT INTO blob_release (partition, blob_id)
SELECT * FROM unnest($1::smallint[], $2::uuid[]) ON CONFLICT (partition, blob_id) DO UPDATE SET released_at = now()"""

_MAILBOX_IDS: Final = (
    """/* hot:store.mailbox_ids */ SELECT mailbox_id FROM mailbox WHERE partition = $1 AND account_id = $2"""
)


async def lock(connection: Connection, partition: int, account_id: int) -> asyncpg.Record | None:
    """Lock an account's row; return tenant, modseq, guard, quota and use, None when there is no such account."""
    row: asyncpg.Record | None = await connection.fetchrow(_LOCK, partition, account_id)
    return row


async def read(
    connection: Connection, partition: int, account_id: int, message_ids: Sequence[int]
) -> list[asyncpg.Record]:
    """Read messages as they are."""
    rows: list[asyncpg.Record] = await connection.fetch(_MESSAGES, partition, account_id, message_ids)
    return rows


async def mailbox_ids(connection: Connection, partition: int, account_id: int) -> set[int]:
    """Return the ids of the account's mailboxes."""
    return {row["mailbox_id"] for row in await connection.fetch(_MAILBOX_IDS, partition, account_id)}


async def update(connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write (message id, flags, keywords, mailbox ids, recipients, modseq), arrays as text."""
    if rows:
        await connection.execute(_UPDATE, partition, account_id, *zip(*rows, strict=True))


async def leave(connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[int, int, int]]) -> None:
    """Take messages out of mailboxes: (mailbox, received_ms, message)."""
    if rows:
        await connection.execute(_LEAVE, partition, account_id, *zip(*rows, strict=True))


async def delete(
    connection: Connection, partition: int, account_id: int, message_ids: Sequence[int], refs: Sequence[tuple[int, int]]
) -> None:
    """Delete messages with their content, and the references (ref, thread) that no other message of the thread has."""
    await connection.execute(_DELETE, partition, account_id, message_ids)
    await connection.execute(_DELETE_CONTENT, partition, account_id, message_ids)
    if refs:
        await connection.execute(_DELETE_REFS, partition, account_id, *zip(*refs, strict=True))


async def remember_gone(
    connection: Connection, partition: int, account_id: int, accepted_ids: Sequence[UUID], *, held: bool
) -> None:
    """Remember accepted mail that the account let go of."""
    if accepted_ids:
        await connection.execute(_GONE, partition, account_id, accepted_ids, held)


async def release(connection: Connection, blobs: Sequence[tuple[int, UUID]]) -> None:
    """Tell compaction that a blob (partition, id) may have nobody left who refers to it."""
    if blobs:
        await connection.execute(_RELEASE, *zip(*sorted(blobs), strict=True))
