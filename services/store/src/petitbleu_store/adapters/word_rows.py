"""The statements of the word models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.postgres import Executor

_MODELS: Final = """/* hot:store.word_models */ SELECT m.account_id, m.sealed FROM unnest($1::smallint[], $2::bigint[]) AS v (partition, account_id)
JOIN word_model m ON m.partition = v.partition AND m.account_id = v.account_id AND m.partition = ANY($1::smallint[])"""
_MODEL: Final = """/* hot:store.word_model */ SELECT a.modseq, a.guarded, m.learnt_modseq, coalesce(m.version, 0) AS version, m.sealed
FROM account a LEFT JOIN word_model m ON m.partition = $1 AND m.account_id = $2
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""
_LOG: Final = """/* hot:store.word_log */ SELECT modseq, entity_id, op FROM change_log
WHERE partition = $1 AND account_id = $2 AND kind = 1 AND modseq > $3 ORDER BY modseq LIMIT $4"""
_STATES: Final = """/* hot:store.word_states */ SELECT v.message_id, m.flags, m.mailbox_ids, coalesce(l.class, 0) AS class
FROM unnest($3::bigint[]) AS v (message_id)
LEFT JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id
LEFT JOIN word_lesson l ON l.partition = $1 AND l.account_id = $2 AND l.message_id = v.message_id"""
# As search_rows gives them, with the attachments counted as read: a model knows none of their words.
_MAILS: Final = """/* hot:store.word_mails */ SELECT m.message_id, m.received_ms, m.size, m.blob_id, c.sealed,
    NULL::bytea AS attached, 0::smallint AS state FROM unnest($3::bigint[]) AS v (message_id)
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = v.message_id"""
# The account is there, with its key, until this commits: nothing is learnt of what is being erased.
_ACCOUNT: Final = """/* hot:store.word_account */ SELECT words FROM account WHERE partition = $1 AND account_id = $2
    AND wrapped_key IS NOT NULL AND NOT guarded FOR KEY SHARE"""
_INSERT: Final = """/* hot:store.word_begin */ INSERT INTO word_model (partition, account_id, learnt_modseq, version, sealed)
VALUES ($1, $2, $3, 1, $4) ON CONFLICT (partition, account_id) DO NOTHING"""
_UPDATE: Final = """/* hot:store.word_write */ UPDATE word_model SET learnt_modseq = $3, version = version + 1, sealed = $4
WHERE partition = $1 AND account_id = $2 AND version = $5"""
_LESSONS: Final = """/* hot:store.word_lessons */ INSERT INTO word_lesson (partition, account_id, class, message_id)
SELECT $1, $2, v.class, v.message_id FROM unnest($3::smallint[], $4::bigint[]) AS v (class, message_id)
ON CONFLICT (partition, account_id, message_id) DO UPDATE SET class = excluded.class WHERE word_lesson.partition = $1"""
_FORGET: Final = """/* hot:store.word_forget */ DELETE FROM word_lesson WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""
_SPEAKS: Final = """/* hot:store.word_speaks */ UPDATE account SET words = $3 WHERE partition = $1 AND account_id = $2 AND words <> $3"""


async def models(executor: Executor, places: Sequence[tuple[int, int]]) -> dict[int, bytes]:
    """Return the sealed models of accounts, by id; `places` are (partition, account id)."""
    rows = await executor.fetch(_MODELS, [place[0] for place in places], [place[1] for place in places])
    return {row["account_id"]: row["sealed"] for row in rows}


async def model(executor: Executor, partition: int, account_id: int) -> asyncpg.Record | None:
    """Return (modseq, guarded, learnt_modseq, version, sealed): version 0 for none yet; None without such an account."""
    return await executor.fetchrow(_MODEL, partition, account_id)


async def log(executor: Executor, partition: int, account_id: int, after: int, limit: int) -> list[asyncpg.Record]:
    """Return what happened to messages: (modseq, entity_id, op), in order."""
    rows: list[asyncpg.Record] = await executor.fetch(_LOG, partition, account_id, after, limit)
    return rows


async def states(
    executor: Executor, partition: int, account_id: int, message_ids: Sequence[int]
) -> list[asyncpg.Record]:
    """Return (message_id, flags, mailbox_ids, class) of messages: flags are None for those that are no more."""
    rows: list[asyncpg.Record] = await executor.fetch(_STATES, partition, account_id, message_ids)
    return rows


async def mails(
    executor: Executor, partition: int, account_id: int, message_ids: Sequence[int]
) -> list[asyncpg.Record]:
    """Return the rows of messages, to be loaded."""
    rows: list[asyncpg.Record] = await executor.fetch(_MAILS, partition, account_id, message_ids)
    return rows


async def write(
    connection: Connection, place: tuple[int, int], *, version: int, learnt_modseq: int, sealed: bytes, speaks: bool,
    lessons: Sequence[tuple[int, int]], gone: Sequence[int],
) -> bool:  # fmt: skip
    """Write what was learnt, in the caller's transaction; whether nobody else learnt meanwhile.

    Args:
        connection: In a transaction.
        place: Partition and account id.
        version: Of the model that was read, 0 for none.
        learnt_modseq: How far the log was looked at.
        sealed: The model.
        speaks: Whether it says anything.
        lessons: Class and message id.
        gone: Messages that are no more.
    """
    known = await connection.fetchrow(_ACCOUNT, *place)
    if known is None:
        return False
    if version:
        done = await connection.execute(_UPDATE, *place, learnt_modseq, sealed, version)
    else:
        done = await connection.execute(_INSERT, *place, learnt_modseq, sealed)
    if not done.endswith(" 1"):
        return False
    if lessons:
        await connection.execute(_LESSONS, *place, [one[0] for one in lessons], [one[1] for one in lessons])
    if gone:
        await connection.execute(_FORGET, *place, gone)
    if known["words"] != speaks:
        await connection.execute(_SPEAKS, *place, speaks)
    return True
