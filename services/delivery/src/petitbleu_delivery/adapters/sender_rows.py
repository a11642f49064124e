"""The rows of listed senders, changed under the lock of the account's book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.Pool[Any]"

_LIST: Final = """/* cold:delivery.listed_sender_list */ SELECT sender_hash, listing, sender_sealed, listed_at FROM listed_sender
    WHERE partition = $1 AND account_id = $2"""
_PUT: Final = """/* cold:delivery.listed_sender_put */ INSERT INTO listed_sender (partition, account_id, sender_hash, listing, sender_sealed)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (partition, account_id, sender_hash) DO UPDATE SET listing = excluded.listing, listed_at = now()
    RETURNING listed_at"""
_FORGET: Final = """/* cold:delivery.listed_sender_forget */ DELETE FROM listed_sender
    WHERE partition = $1 AND account_id = $2 AND sender_hash = $3"""
_COUNT: Final = """/* cold:delivery.listed_sender_count */ SELECT count(*) FROM listed_sender WHERE partition = $1 AND account_id = $2"""
_MARK: Final = """/* cold:delivery.script_book_lists */ UPDATE script_book SET lists_senders = $3 WHERE partition = $1 AND account_id = $2"""
_FIND: Final = """/* hot:delivery.listed_senders */ SELECT s.account_id, s.sender_hash, s.listing
    FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS w (partition, account_id, sender_hash)
    JOIN listed_sender s ON s.partition = w.partition AND s.account_id = w.account_id AND s.sender_hash = w.sender_hash
        AND s.partition = ANY($4::smallint[])"""
_CHUNK: Final = 512


async def listed(connection: Connection, place: tuple[int, int]) -> list[asyncpg.Record]:
    """Read an account's list."""
    return await connection.fetch(_LIST, *place)


async def put(connection: Connection, place: tuple[int, int], sender_hash: bytes, listing: int, sealed: bytes) -> float:
    """List a sender; return since when, in Unix seconds."""
    since = await connection.fetchval(_PUT, *place, sender_hash, listing, sealed)
    return float(since.timestamp())


async def forget(connection: Connection, place: tuple[int, int], sender_hash: bytes) -> None:
    """Take a sender from the list."""
    await connection.execute(_FORGET, *place, sender_hash)


async def count(connection: Connection, place: tuple[int, int]) -> int:
    """Return how many an account lists."""
    return int(await connection.fetchval(_COUNT, *place))


async def mark(connection: Connection, place: tuple[int, int], *, lists: bool) -> None:
    """Write in an account's book whether it lists anybody."""
    await connection.execute(_MARK, *place, lists)


async def find(connection: Connection, wanted: Sequence[tuple[int, int, bytes]]) -> list[asyncpg.Record]:
    """Return those of names (partition, account, hash) that their accounts list."""
    rows: list[asyncpg.Record] = []
    for start in range(0, len(wanted), _CHUNK):
        partitions, accounts, hashes = zip(*wanted[start : start + _CHUNK], strict=True)
        rows += await connection.fetch(_FIND, partitions, accounts, hashes, sorted(set(partitions)))
    return rows
