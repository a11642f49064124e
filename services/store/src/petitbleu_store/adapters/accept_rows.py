"""The statements that make a batch of messages durable.

Nearly every batch is new mail of one partition for one hot table: that is one statement, one round trip and one commit. A batch
with a repeat among it, or with staged bodies, takes the same steps one by one in a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.postgres import Executor, of_one_row
from petitbleu_store.domain.provenance import COLUMNS, UNPACKED
from petitbleu_store.service.ring import HOT_SLOTS, hot_table

STORED_KEY_OCTETS: Final = 16  # what is kept of an idempotency key: 128 bits of an HMAC leave no accident


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as its rows have it.

    Attributes:
        blob_id: Its id.
        stored_key: The first 16 octets of its idempotency key.
        size: Plain octets.
        key_id: The key that wraps its key.
        wrapped_key: Its key.
        envelope: Its envelope, sealed.
        from_hash: Keyed hash of the sender.
        recipients: Tenant and keyed hash of each recipient.
        told: Origin and verdicts, `provenance.packed`.
        submitter: The account that submitted it and its tenant, None for a stranger's mail.
        hold_until: Unix seconds before which nobody is told of it; 0 for at once.
    """

    blob_id: BlobId
    stored_key: bytes
    size: int
    key_id: int
    wrapped_key: bytes
    envelope: bytes
    from_hash: int
    recipients: Sequence[tuple[int, int]]
    told: int
    submitter: tuple[int | None, int | None]
    hold_until: float = 0.0


# What deletes and what inserts a key in one statement see the same snapshot; should that be one key, the insert fails and the
# batch goes step by step.
_FORGET: Final = (
    "DELETE FROM accept_key k USING unnest($1::smallint[], $2::bytea[]) AS seen (partition, key) "
    "WHERE k.partition = seen.partition AND k.key = seen.key AND k.partition = ANY($1::smallint[])"
)


def _all_at_once(slot: int) -> tuple[str, str]:
    """The keys to forget, and all else that the statement does, both over arrays."""
    return (
        f"/* hot:store.accept */ WITH forgotten AS ({_FORGET}), ",
        (
            "keyed AS (INSERT INTO accept_key (partition, key, accepted_id) "
            "SELECT get_byte(k.key, 0) * 4 + get_byte(k.key, 1) / 64, k.key, k.accepted_id "
            "FROM unnest($5::bytea[], $4::uuid[]) AS k (key, accepted_id)), "
            "message AS (INSERT INTO accepted (partition, accepted_id, received_at, size, key_id, wrapped_key, envelope, from_hash, "
            f"{COLUMNS}) SELECT $3::smallint, a.accepted_id, now(), a.size, $6::integer, a.wrapped_key, a.envelope, a.from_hash, "
            f"{UNPACKED} FROM unnest($4::uuid[], $7::bigint[], $8::bytea[], $9::bytea[], $10::bigint[], $20::bigint[], "
            "$21::bigint[], $22::bigint[]) AS a (accepted_id, size, wrapped_key, envelope, from_hash, told, submitter, tenant)), "
            "addressed AS (INSERT INTO recipient (partition, accepted_id, recipient_no, tenant_id, to_hash, next_attempt_at) "
            "SELECT $3::smallint, ($4::uuid[])[r.message], r.recipient_no, r.tenant_id, r.to_hash, now() + make_interval(secs => $15) "
            "FROM unnest($11::smallint[], $12::smallint[], $13::bigint[], $14::bigint[]) "
            "AS r (message, recipient_no, tenant_id, to_hash)), "
            "event AS (INSERT INTO outbox (partition, event_id, subject, payload) "
            "VALUES ($3::smallint, $16::bigint, $17::text, $18::bytea)), "
            f"body AS (INSERT INTO {hot_table(slot)} (partition, blob_id, body) "
            "SELECT $3::smallint, b.blob_id, b.body FROM unnest($4::uuid[], $19::bytea[]) AS b (blob_id, body)) "
            "SELECT now()"
        ),
    )


def _of_one(slot: int, *, one_seen: bool) -> str:
    """The statement for one message to one recipient, with one key to forget or any number."""
    forget, write = _all_at_once(slot)
    return (of_one_row(forget) if one_seen else forget) + of_one_row(
        write.replace("($4::uuid[])[r.message]", "$4::uuid")
    )


_ALL_AT_ONCE: Final = ["".join(_all_at_once(slot)) for slot in range(HOT_SLOTS)]
_ONE: Final = {one_seen: [_of_one(slot, one_seen=one_seen) for slot in range(HOT_SLOTS)] for one_seen in (False, True)}
_FORGET_ALONE: Final = f"/* hot:store.accept_key_seen */ {_FORGET}"
_KEYS: Final = (
    "/* hot:store.accept_key */ INSERT INTO accept_key (partition, key, accepted_id) "
    "SELECT * FROM unnest($1::smallint[], $2::bytea[], $3::uuid[]) ON CONFLICT (partition, key) DO NOTHING "
    "RETURNING accepted_id, created_at"
)
_KNOWN: Final = (
    "/* hot:store.accept_key_known */ SELECT k.key, k.accepted_id FROM unnest($1::smallint[], $2::bytea[]) AS want (partition, key) "
    "JOIN accept_key k ON k.partition = want.partition AND k.key = want.key AND k.partition = ANY($1::smallint[])"
)
_ACCEPTED: Final = (
    "/* hot:store.accepted */ INSERT INTO accepted (partition, accepted_id, received_at, size, key_id, wrapped_key, envelope, "
    f"from_hash, hold_until, {COLUMNS}) SELECT a.partition, a.accepted_id, now(), a.size, a.key_id, a.wrapped_key, a.envelope, "
    f"a.from_hash, CASE WHEN a.held > 0 THEN to_timestamp(a.held) END, {UNPACKED} "
    "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::integer[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[], "
    "$9::bigint[], $10::bigint[], $11::float8[]) "
    "AS a (partition, accepted_id, size, key_id, wrapped_key, envelope, from_hash, told, submitter, tenant, held)"
)
_RECIPIENTS: Final = (
    "/* hot:store.recipient */ INSERT INTO recipient (partition, accepted_id, recipient_no, tenant_id, to_hash, next_attempt_at) "
    "SELECT r.partition, r.accepted_id, r.recipient_no, r.tenant_id, r.to_hash, now() + make_interval(secs => r.after) "
    "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::float8[]) "
    "AS r (partition, accepted_id, recipient_no, tenant_id, to_hash, after)"
)
_KEEP: Final = (
    "/* hot:store.accept_key_keep */ UPDATE accept_key k SET kept_until = now() + make_interval(days => w.days) "
    "FROM unnest($1::smallint[], $2::bytea[], $3::integer[]) AS w (partition, key, days) "
    "WHERE k.partition = w.partition AND k.key = w.key AND k.partition = ANY($1::smallint[])"
)


def partition_of_key(key: bytes) -> int:
    """Partition (0-1023) of an idempotency key: its first ten bits."""
    return key[0] << 2 | key[1] >> 6


async def insert_all_at_once(
    executor: Executor,
    slot: int,
    rows: Sequence[MessageRow],
    bodies: Sequence[bytes],
    event: OutboxRow,
    seen_keys: Sequence[bytes],
    retry_seconds: float,
) -> datetime:
    """Commit new messages of one partition, key and hot table by one statement; return the time of the commit's rows.

    Args:
        executor: A connection without a transaction, or the pool.
        slot: Slot of the hot table.
        rows: The messages.
        bodies: Their sealed bodies.
        event: The fact to publish.
        seen_keys: Stored keys to forget.
        retry_seconds: When the sweep publishes them again unless they are settled.

    Raises:
        asyncpg.UniqueViolationError: a key is known; nothing was done.
    """
    recipients = [
        (number, recipient_no, *recipient)
        for number, row in enumerate(rows, 1)
        for recipient_no, recipient in enumerate(row.recipients)
    ]
    if len(recipients) == 1:
        return await _insert_one(executor, slot, rows[0], bodies[0], event, seen_keys, retry_seconds)
    at: datetime = await executor.fetchval(
        _ALL_AT_ONCE[slot],
        [partition_of_key(key) for key in seen_keys],
        seen_keys,
        event.partition,
        [row.blob_id for row in rows],
        [row.stored_key for row in rows],
        rows[0].key_id,
        [row.size for row in rows],
        [row.wrapped_key for row in rows],
        [row.envelope for row in rows],
        [row.from_hash for row in rows],
        *zip(*recipients, strict=True),
        retry_seconds,
        event.event_id,
        event.subject,
        event.payload,
        bodies,
        *_told(rows),
    )
    return at


def _told(rows: Sequence[MessageRow]) -> tuple[list[int], list[int | None], list[int | None]]:
    """Return origins and verdicts, submitters, and their tenants; an empty array stands for one of nulls, and is cheaper."""
    told = [row.told for row in rows]
    if all(row.submitter == (None, None) for row in rows):
        return told, [], []
    return told, [row.submitter[0] for row in rows], [row.submitter[1] for row in rows]


async def _insert_one(
    executor: Executor,
    slot: int,
    row: MessageRow,
    body: bytes,
    event: OutboxRow,
    seen_keys: Sequence[bytes],
    retry_seconds: float,
) -> datetime:
    one_seen = len(seen_keys) == 1
    partitions = [partition_of_key(key) for key in seen_keys]
    forget = (partitions[0], seen_keys[0]) if one_seen else (partitions, seen_keys)
    at: datetime = await executor.fetchval(
        _ONE[one_seen][slot], *forget, event.partition, row.blob_id, row.stored_key, row.key_id, row.size, row.wrapped_key,
        row.envelope, row.from_hash, 1, 0, *row.recipients[0], retry_seconds, event.event_id, event.subject, event.payload, body,
        row.told, *row.submitter,
    )  # fmt: skip
    return at


async def forget_keys(connection: Any, seen_keys: Sequence[bytes]) -> None:
    """Forget keys of messages whose 250 was seen."""
    if seen_keys:
        await connection.execute(_FORGET_ALONE, [partition_of_key(key) for key in seen_keys], seen_keys)


async def insert_keys(
    connection: Any, rows: Sequence[MessageRow]
) -> tuple[datetime | None, set[BlobId], dict[bytes, BlobId]]:
    """Insert keys; return the time, the ids whose key is new, and the ids of the known keys."""
    # Sorted, so that two batches with the same keys wait for each other instead of deadlocking.
    keyed = sorted(rows, key=lambda row: row.stored_key)
    partitions = [partition_of_key(row.stored_key) for row in keyed]
    keys = [row.stored_key for row in keyed]
    inserted = await connection.fetch(_KEYS, partitions, keys, [row.blob_id for row in keyed])
    known = {} if len(inserted) == len(rows) else await known_keys(connection, keys)
    return inserted[0]["created_at"] if inserted else None, {row["accepted_id"] for row in inserted}, known


async def known_keys(executor: Executor, keys: Sequence[bytes]) -> dict[bytes, BlobId]:
    """Return what was accepted under those of the stored keys that are known."""
    rows = await executor.fetch(_KNOWN, [partition_of_key(key) for key in keys], keys)
    return {row["key"]: row["accepted_id"] for row in rows}


async def keep_keys(connection: Any, keys: Sequence[tuple[bytes, int]]) -> None:
    """Keep stored keys for days, in the transaction that inserts them."""
    if keys:
        await connection.execute(
            _KEEP, [partition_of_key(key) for key, _ in keys], [key for key, _ in keys], [days for _, days in keys]
        )


async def insert_messages(connection: Any, rows: Sequence[MessageRow], after_seconds: Sequence[float]) -> None:
    """Insert the rows of messages and of their recipients; `after_seconds` says when the sweep publishes each message again."""
    partitions = [partition_of_blob(row.blob_id) for row in rows]
    await connection.execute(
        _ACCEPTED,
        partitions,
        [row.blob_id for row in rows],
        [row.size for row in rows],
        [row.key_id for row in rows],
        [row.wrapped_key for row in rows],
        [row.envelope for row in rows],
        [row.from_hash for row in rows],
        *_told(rows),
        [row.hold_until for row in rows],
    )
    recipients = [
        (partition, row.blob_id, recipient_no, *recipient, after)
        for partition, row, after in zip(partitions, rows, after_seconds, strict=True)
        for recipient_no, recipient in enumerate(row.recipients)
    ]
    await connection.execute(_RECIPIENTS, *zip(*recipients, strict=True))
