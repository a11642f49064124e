"""The statements on what an account deleted and may bring back, run under the lock of the account's row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.postgres import Executor

_COLUMNS: Final = """partition, flags, account_id, message_id, thread_id, received_ms, sent_ms, size, blob_id, import_key, mailbox_ids,
    keywords, refs"""

_KEEP: Final = f"""/* hot:store.removed_keep */ INSERT INTO removed_message ({_COLUMNS}, with_mailbox, removed_ms)
SELECT {_COLUMNS}, $4, $5 FROM message WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

# The origin of what is kept: filing takes it for gone, compaction for alive.
_KEEP_ORIGINS: Final = """/* hot:store.removed_origins */ UPDATE origin SET state = 3, gone_at = NULL
WHERE partition = $1 AND account_id = $2 AND origin_id = ANY($3::uuid[])"""

_RESTORE_ORIGINS: Final = """/* hot:store.removed_origins_back */ INSERT INTO origin (partition, state, account_id, origin_id, message_id)
SELECT $1, 0, $2, v.origin_id, v.message_id FROM unnest($3::uuid[], $4::bigint[]) AS v (origin_id, message_id)
ON CONFLICT (partition, account_id, origin_id) DO UPDATE SET state = 0, message_id = excluded.message_id, gone_at = NULL"""

_TAKEN: Final = """/* hot:store.removed_keys_taken */ SELECT origin_id FROM origin
WHERE partition = $1 AND account_id = $2 AND origin_id = ANY($3::uuid[]) AND state = 0"""

_COUNT: Final = """/* hot:store.removed_count */ UPDATE account SET removed_octets = removed_octets + $3,
    removed_messages = removed_messages + $4, removed_state = removed_state + 1
WHERE partition = $1 AND account_id = $2 RETURNING removed_octets, removed_messages, removed_state, quota_octets"""

_STATE: Final = """/* hot:store.removed_state */ SELECT removed_state FROM account
WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL"""

_READ: Final = f"""/* hot:store.removed_read */ SELECT {_COLUMNS}, with_mailbox, removed_ms FROM removed_message
WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

# Drafts first: a client saves a new one every few seconds and destroys the one before.
_OLDEST: Final = """/* hot:store.removed_oldest */ SELECT message_id, size, blob_id, import_key FROM removed_message
WHERE partition = $1 AND account_id = $2 ORDER BY (flags & 8) = 0, removed_ms, message_id LIMIT $3"""

_SOME: Final = """/* hot:store.removed_some */ SELECT message_id, size, blob_id, import_key FROM removed_message
WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

_OF_MAILBOX: Final = """/* hot:store.removed_of_mailbox */ SELECT message_id FROM removed_message
WHERE partition = $1 AND account_id = $2 AND with_mailbox AND $3 = ANY(mailbox_ids) ORDER BY message_id"""

_DELETE: Final = """/* hot:store.removed_delete */ DELETE FROM removed_message
WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""

_KEEP_MAILBOX: Final = """/* hot:store.removed_mailbox_keep */ INSERT INTO removed_mailbox (partition, account_id, mailbox_id, parent_id,
    sort_order, subscribed, role, name_sealed, removed_ms, members)
SELECT partition, account_id, mailbox_id, parent_id, sort_order, subscribed, role, name_sealed, $4, $5::bigint[] FROM mailbox
WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3"""

_MAILBOXES: Final = """/* hot:store.removed_mailboxes */ SELECT mailbox_id, parent_id, sort_order, subscribed, role, name_sealed, removed_ms,
    cardinality(members) AS members FROM removed_mailbox WHERE partition = $1 AND account_id = $2 ORDER BY removed_ms DESC, mailbox_id DESC"""

_MEMBERS: Final = """/* hot:store.removed_members */ SELECT members FROM removed_mailbox
WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3"""

_JOIN: Final = """/* hot:store.removed_join */ UPDATE removed_mailbox SET members = members || $4::bigint[]
WHERE partition = $1 AND account_id = $2 AND mailbox_id = $3"""

_DELETE_MAILBOXES: Final = """/* hot:store.removed_mailboxes_delete */ DELETE FROM removed_mailbox
WHERE partition = $1 AND account_id = $2 AND mailbox_id = ANY($3::bigint[]) RETURNING mailbox_id"""


class Kept(NamedTuple):
    """What an account keeps: octets and messages, the state of it, and the account's quota (0 without limit)."""

    octets: int
    messages: int
    state: int
    quota: int


async def keep(
    connection: Connection,
    place: tuple[int, int],
    messages: Sequence[tuple[int, UUID]],
    *,
    with_mailbox: bool,
    removed_ms: int,
) -> None:
    """Keep messages (id, blob) that are about to be deleted, and where they came from."""
    await connection.execute(_KEEP, *place, [message_id for message_id, _ in messages], with_mailbox, removed_ms)
    await connection.execute(_KEEP_ORIGINS, *place, [blob_id for _, blob_id in messages])


async def restore_origins(connection: Connection, place: tuple[int, int], rows: Sequence[tuple[UUID, int]]) -> None:
    """Say that messages (origin, message id) are there again."""
    await connection.execute(_RESTORE_ORIGINS, *place, *zip(*rows, strict=True))


async def taken_keys(connection: Connection, place: tuple[int, int], keys: Sequence[UUID]) -> set[UUID]:
    """Return those of the keys under which the account has a message now."""
    if not keys:
        return set()
    return {row["origin_id"] for row in await connection.fetch(_TAKEN, *place, keys)}


async def count(connection: Connection, place: tuple[int, int], octets: int, messages: int) -> Kept:
    """Add to the account's counts of what is kept, and raise its state."""
    (row,) = await connection.fetch(_COUNT, *place, octets, messages)
    return Kept(*row.values())


async def state(connection: Executor, place: tuple[int, int]) -> int | None:
    """Return the state of what is kept, None when there is no such account."""
    found: int | None = await connection.fetchval(_STATE, *place)
    return found


async def read(connection: Executor, place: tuple[int, int], message_ids: Sequence[int]) -> list[asyncpg.Record]:
    """Return kept messages."""
    rows: list[asyncpg.Record] = await connection.fetch(_READ, *place, message_ids)
    return rows


async def some(connection: Connection, place: tuple[int, int], message_ids: Sequence[int]) -> list[asyncpg.Record]:
    """Return id, size, blob and import key of kept messages."""
    rows: list[asyncpg.Record] = await connection.fetch(_SOME, *place, message_ids)
    return rows


async def oldest(connection: Connection, place: tuple[int, int], limit: int) -> list[asyncpg.Record]:
    """Return the same of those that go first: drafts, then what was deleted first."""
    rows: list[asyncpg.Record] = await connection.fetch(_OLDEST, *place, limit)
    return rows


async def of_mailbox(connection: Connection, place: tuple[int, int], mailbox_id: int) -> list[int]:
    """Return the kept messages that went with a mailbox."""
    return [row["message_id"] for row in await connection.fetch(_OF_MAILBOX, *place, mailbox_id)]


async def delete(connection: Connection, place: tuple[int, int], message_ids: Sequence[int]) -> None:
    """Delete rows of kept messages; nothing else of them."""
    await connection.execute(_DELETE, *place, message_ids)


async def keep_mailbox(
    connection: Connection, place: tuple[int, int], mailbox_id: int, members: Sequence[int], removed_ms: int
) -> None:
    """Keep a mailbox that is about to be deleted."""
    await connection.execute(_KEEP_MAILBOX, *place, mailbox_id, removed_ms, list(members))


async def mailboxes(connection: Executor, place: tuple[int, int]) -> list[asyncpg.Record]:
    """Return all kept mailboxes, the last deleted first; `members` says how many."""
    rows: list[asyncpg.Record] = await connection.fetch(_MAILBOXES, *place)
    return rows


async def members(connection: Connection, place: tuple[int, int], mailbox_id: int) -> list[int]:
    """Return the members of a kept mailbox."""
    return list(await connection.fetchval(_MEMBERS, *place, mailbox_id) or ())


async def join(connection: Connection, place: tuple[int, int], mailbox_id: int, message_ids: Sequence[int]) -> None:
    """Make messages that live members of a kept mailbox."""
    await connection.execute(_JOIN, *place, mailbox_id, list(message_ids))


async def delete_mailboxes(connection: Connection, place: tuple[int, int], mailbox_ids: Sequence[int]) -> list[int]:
    """Delete kept mailboxes; return those that there were."""
    return [row["mailbox_id"] for row in await connection.fetch(_DELETE_MAILBOXES, *place, mailbox_ids)]
