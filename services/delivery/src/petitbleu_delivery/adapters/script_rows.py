"""The rows of rules: one account's, changed under the lock of its book; and those of many accounts, read for a round."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from petitbleu_kit.ids import partition_of_account

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.Pool[Any]"

_MAKE: Final = """/* cold:delivery.script_book_make */ INSERT INTO script_book (partition, account_id, tenant_id, modseq, last_id, active_id,
    vacation_modseq, vacation_on) VALUES ($1, $2, $3, 0, 0, 0, 0, false) ON CONFLICT (partition, account_id) DO NOTHING"""
_LOCK: Final = """/* cold:delivery.script_book_lock */ SELECT modseq, last_id, active_id, vacation_modseq, vacation_on, vacation_sealed
    FROM script_book WHERE partition = $1 AND account_id = $2 FOR UPDATE"""
_BOOK: Final = """/* cold:delivery.script_book */ SELECT modseq, last_id, active_id, vacation_modseq, vacation_on, vacation_sealed
    FROM script_book WHERE partition = $1 AND account_id = $2"""
_SCRIPTS: Final = """/* cold:delivery.script_list */ SELECT script_id, content_id, octets, name_sealed FROM script
    WHERE partition = $1 AND account_id = $2 ORDER BY script_id"""
_CONTENT: Final = """/* cold:delivery.script_content */ SELECT content_sealed FROM script
    WHERE partition = $1 AND account_id = $2 AND content_id = $3"""
_PUT: Final = """/* cold:delivery.script_put */ INSERT INTO script (partition, account_id, script_id, content_id, octets, name_sealed,
    content_sealed) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (partition, account_id, script_id) DO UPDATE SET content_id = excluded.content_id, octets = excluded.octets,
    name_sealed = excluded.name_sealed, content_sealed = excluded.content_sealed"""
_RENAME: Final = """/* cold:delivery.script_rename */ UPDATE script SET name_sealed = $4
    WHERE partition = $1 AND account_id = $2 AND script_id = $3"""
_DELETE: Final = """/* cold:delivery.script_delete */ DELETE FROM script
    WHERE partition = $1 AND account_id = $2 AND script_id = ANY($3::bigint[])"""
_RAISE: Final = """/* cold:delivery.script_book_raise */ UPDATE script_book SET modseq = $3, last_id = $4, active_id = $5
    WHERE partition = $1 AND account_id = $2"""
_VACATION: Final = """/* cold:delivery.vacation_put */ UPDATE script_book SET modseq = modseq + 1, vacation_modseq = modseq + 1,
    vacation_on = $3, vacation_sealed = $4 WHERE partition = $1 AND account_id = $2 RETURNING vacation_modseq"""

# What a round asks for all its accounts at once: nearly none has a row.
_STATES: Final = """/* hot:delivery.script_states */ SELECT b.account_id, b.modseq, b.tenant_id, b.lists_senders,
    b.active_id <> 0 OR b.vacation_on AS ruled
    FROM unnest($1::smallint[], $2::bigint[]) AS v (partition, account_id)
    JOIN script_book b ON b.partition = v.partition AND b.account_id = v.account_id AND b.partition = ANY($1::smallint[])
    WHERE b.active_id <> 0 OR b.vacation_on OR b.lists_senders"""
_FORM: Final = """/* cold:delivery.filter_form */ SELECT modseq, active_id, form_sealed, form_script_id, form_content_id
    FROM script_book WHERE partition = $1 AND account_id = $2"""
_FORM_PUT: Final = """/* cold:delivery.filter_form_put */ UPDATE script_book SET form_sealed = $3, form_script_id = $4,
    form_content_id = $5 WHERE partition = $1 AND account_id = $2"""
_MODSEQS: Final = """/* hot:delivery.script_modseqs */ SELECT account_id, modseq, vacation_modseq FROM script_book
    WHERE partition = ANY($1::smallint[]) AND account_id = ANY($2::bigint[])"""
_RULES: Final = """/* hot:delivery.script_rules */ SELECT b.modseq, b.tenant_id, b.active_id, b.vacation_on, b.vacation_sealed, s.script_id,
    s.name_sealed, s.content_sealed FROM script_book b LEFT JOIN script s ON s.partition = b.partition AND s.account_id = b.account_id
    WHERE b.partition = $1 AND b.account_id = $2"""

_BOOKS: Final = """/* cold:delivery.script_books */ SELECT partition, account_id FROM script_book WHERE partition = ANY($1::smallint[])"""
_ERASE: Final = tuple(
    f"/* cold:delivery.{table}_erase */ DELETE FROM {table} WHERE partition = $1 AND account_id = $2"
    for table in ("rule_memory", "script", "listed_sender", "script_book")
)

# PostgreSQL sorts the array of `partition = ANY(…)` anew for each row that it joins.
_CHUNK: Final = 64


async def books(connection: Connection, partitions: Iterable[int]) -> list[tuple[int, int]]:
    """Tell which accounts (partition, account) have a book."""
    rows = await connection.fetch(_BOOKS, list(partitions))
    return [(row["partition"], row["account_id"]) for row in rows]


async def erase(connection: Connection, partition: int, account_id: int) -> None:
    """Delete all that is kept for an account."""
    for statement in _ERASE:
        await connection.execute(statement, partition, account_id)


async def lock(connection: Connection, partition: int, account_id: int, tenant_id: int) -> asyncpg.Record:
    """Lock an account's book, made where there is none."""
    row: asyncpg.Record | None = await connection.fetchrow(_LOCK, partition, account_id)
    if row is None:
        await connection.execute(_MAKE, partition, account_id, tenant_id)
        row = await connection.fetchrow(_LOCK, partition, account_id)
    assert row is not None  # noqa: S101 — made a line ago
    return row


async def book(connection: Connection, partition: int, account_id: int) -> asyncpg.Record | None:
    """Read an account's book."""
    return await connection.fetchrow(_BOOK, partition, account_id)


async def scripts(connection: Connection, partition: int, account_id: int) -> list[asyncpg.Record]:
    """Read an account's scripts without their content."""
    return await connection.fetch(_SCRIPTS, partition, account_id)


async def content(connection: Connection, partition: int, account_id: int, content_id: int) -> bytes | None:
    """Read a sealed content."""
    found: bytes | None = await connection.fetchval(_CONTENT, partition, account_id, content_id)
    return found


async def put(connection: Connection, row: tuple[int, int, int, int, int, bytes, bytes]) -> None:
    """Write a script: partition, account, script, content, octets, sealed name, sealed content."""
    await connection.execute(_PUT, *row)


async def rename(connection: Connection, place: tuple[int, int], script_id: int, name_sealed: bytes) -> None:
    """Give a script another name."""
    await connection.execute(_RENAME, *place, script_id, name_sealed)


async def delete(connection: Connection, place: tuple[int, int], script_ids: Iterable[int]) -> None:
    """Delete scripts."""
    await connection.execute(_DELETE, *place, list(script_ids))


async def raise_book(connection: Connection, place: tuple[int, int], modseq: int, last_id: int, active_id: int) -> None:
    """Write a book's counters."""
    await connection.execute(_RAISE, *place, modseq, last_id, active_id)


async def put_vacation(connection: Connection, place: tuple[int, int], sealed: bytes, *, on: bool) -> int:
    """Write the answer while the owner is away; return its new modseq."""
    return int(await connection.fetchval(_VACATION, *place, on, sealed))


async def form(connection: Connection, partition: int, account_id: int) -> asyncpg.Record | None:
    """Read an account's form, and how far its scripts are."""
    return await connection.fetchrow(_FORM, partition, account_id)


async def put_form(
    connection: Connection, place: tuple[int, int], sealed: bytes, script_id: int, content_id: int
) -> None:
    """Write an account's form, and the script that it made."""
    await connection.execute(_FORM_PUT, *place, sealed, script_id, content_id)


async def states(connection: Connection, places: Sequence[tuple[int, int]]) -> list[asyncpg.Record]:
    """Tell which of many accounts (partition, account) have rules in force or list senders, and how far their books are."""
    rows: list[asyncpg.Record] = []
    for start in range(0, len(places), _CHUNK):
        rows += await connection.fetch(_STATES, *zip(*places[start : start + _CHUNK], strict=True))
    return rows


async def modseqs(connection: Connection, account_ids: Collection[int]) -> list[asyncpg.Record]:
    """Tell how far the rules of accounts are that ever had any."""
    partitions = list({partition_of_account(account_id) for account_id in account_ids})
    return await connection.fetch(_MODSEQS, partitions, list(account_ids))


async def rules(connection: Connection, partition: int, account_id: int) -> list[asyncpg.Record]:
    """Read all of an account's rules at one instant: a row for each script, or one without."""
    return await connection.fetch(_RULES, partition, account_id)
