"""The statements that change messages of one account, run under the lock of its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from petitbleu_store.adapters import search_rows
from petitbleu_store.adapters.filing_rows import Connection

_LOCK: Final = """/* hot:store.account_lock */ SELECT tenant_id, modseq, guarded, quota_octets, used_octets, shared FROM account
WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL FOR UPDATE"""

_MESSAGES: Final = """/* hot:store.messages_read */ SELECT message_id, thread_id, received_ms, flags, keywords, mailbox_ids, size, blob_id,
    import_key, refs FROM message WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

UPDATE: Final = """/* hot:store.message_update */ UPDATE message m SET flags = v.flags, keywords = v.keywords::bigint[],
    mailbox_ids = v.mailbox_ids::bigint[], modseq = v.modseq
FROM unnest($3::bigint[], $4::integer[], $5::text[], $6::text[], $7::bigint[])
    AS v (message_id, flags, keywords, mailbox_ids, modseq)
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id"""

LEAVE: Final = """/* hot:store.mailbox_message_delete */ DELETE FROM mailbox_message b
USING unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS v (mailbox_id, received_ms, message_id)
WHERE b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = v.mailbox_id AND b.received_ms = v.received_ms
    AND b.message_id = v.message_id"""

_DELETE: Final = """/* hot:store.message_delete */ DELETE FROM message WHERE partition = $1 AND account_id = $2
    AND message_id = ANY($3::bigint[])"""

_DELETE_CONTENT: Final = """/* hot:store.content_delete */ DELETE FROM message_content WHERE partition = $1 AND account_id = $2
    AND message_id = ANY($3::bigint[])"""

_DELETE_REFS: Final = """/* hot:store.thread_ref_delete */ DELETE FROM thread_ref r USING unnest($3::bigint[], $4::bigint[]) AS v (ref_hash, thread_id)
WHERE r.partition = $1 AND r.account_id = $2 AND r.ref_hash = v.ref_hash AND r.thread_id = v.thread_id"""

_DELETE_MEMBERS: Final = """/* hot:store.thread_message_delete */ DELETE FROM thread_message t
USING unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS v (thread_id, received_ms, message_id)
WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = v.thread_id AND t.received_ms = v.received_ms
    AND t.message_id = v.message_id"""

_GONE: Final = """/* hot:store.origin_gone */ UPDATE origin SET state = 1, message_id = 0, gone_at = now()
WHERE partition = $1 AND account_id = $2 AND origin_id = ANY($3::uuid[])"""

_HELD_GONE: Final = """/* hot:store.origin_held_gone */ INSERT INTO origin (partition, state, account_id, origin_id, message_id, gone_at)
VALUES ($1, 2, $2, $3, 0, now()) ON CONFLICT (partition, account_id, origin_id) DO NOTHING"""

_FORGET: Final = """/* hot:store.origin_delete */ DELETE FROM origin WHERE partition = $1 AND account_id = $2 AND origin_id = ANY($3::uuid[])"""

_RECIPIENTS: Final = """/* hot:store.origin_recipients */ UPDATE origin o SET recipients = v.recipients::integer[]
FROM unnest($3::uuid[], $4::text[]) AS v (origin_id, recipients)
WHERE o.partition = $1 AND o.account_id = $2 AND o.origin_id = v.origin_id"""

_READ_RECIPIENTS: Final = """/* hot:store.origin_read */ SELECT origin_id, recipients FROM origin
WHERE partition = $1 AND account_id = $2 AND origin_id = ANY($3::uuid[])"""

_RELEASE: Final = """/* hot:store.blob_release */ INSERT INTO blob_release (partition, blob_id)
SELECT * FROM unnest($1::smallint[], $2::uuid[]) ON CONFLICT (partition, blob_id) DO UPDATE SET released_at = now()"""

_MAILBOX_IDS: Final = (
    """/* hot:store.mailbox_ids */ SELECT mailbox_id FROM mailbox WHERE partition = $1 AND account_id = $2"""
)


async def lock(connection: Connection, partition: int, account_id: int) -> asyncpg.Record | None:
    """Lock an account's row; return tenant, modseq, guard, quota, use and whether it shares anything, None when there is no such account."""
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
    """Write (message id, flags, keywords, mailbox ids, modseq), arrays as text."""
    if rows:
        await connection.execute(UPDATE, partition, account_id, *zip(*rows, strict=True))


async def leave(connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[int, int, int]]) -> None:
    """Take messages out of mailboxes: (mailbox, received_ms, message)."""
    if rows:
        await connection.execute(LEAVE, partition, account_id, *zip(*rows, strict=True))


async def delete(
    connection: Connection,
    partition: int,
    account_id: int,
    members: Sequence[tuple[int, int, int]],
    refs: Sequence[tuple[int, int]],
) -> None:
    """Delete messages (thread, received_ms, message) but for their contents, and the references (ref, thread) that nobody has then."""
    message_ids = [message_id for _, _, message_id in members]
    await connection.execute(_DELETE, partition, account_id, message_ids)
    await search_rows.delete(connection, partition, account_id, message_ids)
    await connection.execute(_DELETE_MEMBERS, partition, account_id, *zip(*members, strict=True))
    if refs:
        await connection.execute(_DELETE_REFS, partition, account_id, *zip(*refs, strict=True))


async def delete_contents(connection: Connection, partition: int, account_id: int, message_ids: Sequence[int]) -> None:
    """Delete what is sealed of messages."""
    await connection.execute(_DELETE_CONTENT, partition, account_id, message_ids)


async def forget_origins(
    connection: Connection, partition: int, account_id: int, gone: Sequence[UUID], unknown: Sequence[UUID]
) -> None:
    """Remember that what came from `gone` was destroyed; forget where else it came from."""
    if gone:
        await connection.execute(_GONE, partition, account_id, gone)
    if unknown:
        await connection.execute(_FORGET, partition, account_id, unknown)


async def held_gone(connection: Connection, partition: int, account_id: int, accepted_id: UUID) -> None:
    """Remember that held mail was destroyed."""
    await connection.execute(_HELD_GONE, partition, account_id, accepted_id)


async def recipients(
    connection: Connection, partition: int, account_id: int, ids: Sequence[UUID]
) -> dict[UUID, set[int]]:
    """Return the recipients that messages were filed for, by blob id."""
    rows = await connection.fetch(_READ_RECIPIENTS, partition, account_id, ids)
    return {row["origin_id"]: set(row["recipients"] or ()) for row in rows}


async def set_recipients(
    connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[UUID, str]]
) -> None:
    """Write the recipients that messages were filed for: (blob id, array as text)."""
    if rows:
        await connection.execute(_RECIPIENTS, partition, account_id, *zip(*rows, strict=True))


async def release(connection: Connection, blobs: Sequence[tuple[int, UUID]]) -> None:
    """Tell compaction that a blob (partition, id) may have nobody left who refers to it."""
    if blobs:
        await connection.execute(_RELEASE, *zip(*sorted(blobs), strict=True))
