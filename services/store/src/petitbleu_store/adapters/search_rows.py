"""The statements of the search index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from petitbleu_store.adapters.filing_rows import Connection, array
from petitbleu_store.adapters.postgres import Executor

LEASE_SECONDS: Final = 30

# One of many replicas works on an account; a lease that was not given back ends by itself.
_CLAIM: Final = f"""/* hot:store.search_claim */ UPDATE search_account s SET leased_until = now() + interval '{LEASE_SECONDS} seconds'
FROM account a WHERE s.partition = $1 AND s.account_id = $2 AND s.leased_until < now()
    AND a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL
RETURNING s.indexed_through, a.last_id"""
_BEGIN: Final = """/* hot:store.search_begin */ INSERT INTO search_account (partition, account_id, indexed_through)
SELECT a.partition, a.account_id, 0 FROM account a WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL
ON CONFLICT (partition, account_id) DO NOTHING"""
_RELEASE: Final = """/* hot:store.search_release */ UPDATE search_account SET leased_until = '-infinity' WHERE partition = $1 AND account_id = $2"""
_ADVANCE: Final = f"""/* hot:store.search_advance */ UPDATE search_account SET indexed_through = greatest(indexed_through, $3),
    leased_until = now() + interval '{LEASE_SECONDS} seconds' WHERE partition = $1 AND account_id = $2"""
_COLUMNS: Final = "m.message_id, m.received_ms, m.size, m.blob_id, c.sealed"
_NEXT: Final = f"""/* hot:store.search_next */ SELECT {_COLUMNS}, NULL::bytea AS attached, NULL::smallint AS state FROM message m
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id > $3 ORDER BY m.message_id LIMIT $4"""
_AGAIN: Final = f"""/* hot:store.search_again */ SELECT {_COLUMNS}, NULL::bytea AS attached, NULL::smallint AS state
FROM (SELECT message_id FROM search_again WHERE partition = $1 AND account_id = $2 ORDER BY message_id LIMIT $3) s
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = s.message_id
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id"""
_SOME: Final = f"""/* hot:store.search_read */ SELECT {_COLUMNS}, m.mailbox_ids, e.attached, e.state
FROM unnest($3::bigint[]) AS v (message_id)
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = v.message_id
LEFT JOIN search_entry e ON e.partition = $1 AND e.account_id = $2 AND e.message_id = v.message_id"""
# A message that is destroyed meanwhile waits for this, or is gone already: no terms are left of what is no more.
_LOCK: Final = """/* hot:store.search_lock */ SELECT message_id FROM message WHERE partition = $1 AND account_id = $2
    AND message_id = ANY($3::bigint[]) FOR KEY SHARE"""
_WRITE: Final = """/* hot:store.search_write */ INSERT INTO search_entry (partition, account_id, state, message_id, received_ms, terms, attached)
SELECT $1, $2, v.state, v.message_id, v.received_ms, v.terms::bigint[], v.attached
FROM unnest($3::smallint[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[]) AS v (state, message_id, received_ms, terms, attached)
ON CONFLICT (partition, account_id, message_id) DO UPDATE SET state = excluded.state, terms = excluded.terms, attached = excluded.attached
WHERE search_entry.partition = $1"""
_DONE: Final = """/* hot:store.search_done */ DELETE FROM search_again WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""
_DELETE: Final = """/* hot:store.search_delete */ DELETE FROM search_entry WHERE partition = $1 AND account_id = $2 AND message_id = ANY($3::bigint[])"""
_BACK: Final = """/* hot:store.search_back */ INSERT INTO search_again (partition, account_id, message_id)
SELECT $1, $2, v.message_id FROM unnest($3::bigint[]) AS v (message_id) ON CONFLICT (partition, account_id, message_id) DO NOTHING"""

_STATE: Final = """/* cold:store.search_state */ SELECT a.modseq, a.last_id, coalesce(s.indexed_through, 0) AS through,
    EXISTS (SELECT 1 FROM search_again g WHERE g.partition = $1 AND g.account_id = $2) AS again
FROM account a LEFT JOIN search_account s ON s.partition = $1 AND s.account_id = $2
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""
_OPEN: Final = """/* cold:store.search_open */ SELECT m.message_id, m.received_ms FROM message m
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id > $3
UNION ALL SELECT m.message_id, m.received_ms FROM search_again s
JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = s.message_id
WHERE s.partition = $1 AND s.account_id = $2 AND s.message_id <= $3 LIMIT $4"""
_WAITING: Final = """/* cold:store.search_waiting */ SELECT a.account_id FROM account a
LEFT JOIN search_account s ON s.partition = a.partition AND s.account_id = a.account_id
WHERE a.messages > 0 AND a.wrapped_key IS NOT NULL AND (s.leased_until IS NULL OR s.leased_until < now())
    AND (a.last_id > coalesce(s.indexed_through, 0)
        OR EXISTS (SELECT 1 FROM search_again g WHERE g.partition = a.partition AND g.account_id = a.account_id)) LIMIT $1"""
_MISSING: Final = """/* cold:store.search_missing */ INSERT INTO search_again (partition, account_id, message_id)
SELECT m.partition, m.account_id, m.message_id FROM message m
JOIN search_account s ON s.partition = m.partition AND s.account_id = m.account_id
WHERE m.partition = $1 AND m.message_id <= s.indexed_through AND NOT EXISTS (SELECT 1 FROM search_entry e
    WHERE e.partition = m.partition AND e.account_id = m.account_id AND e.message_id = m.message_id)
LIMIT $2 ON CONFLICT (partition, account_id, message_id) DO NOTHING"""
# A plan for these very terms, for none fits all: a term is in one message or in each. By way of the table one never wants to go.
_SETTINGS: Final = """/* cold:store.search_settings */ SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'off', true)"""
_LAX: Final = """/* cold:store.search_lax */ SELECT set_config('synchronous_commit', 'off', true)"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message's row of the index.

    Attributes:
        message_id: Which.
        received_ms: As in its row.
        state: 0 read whole, 1 without its octets, 2 not at all.
        terms: Sorted, each once.
        attached: Sealed texts of attachments, if there are any.
    """

    message_id: int
    received_ms: int
    state: int
    terms: Sequence[int]
    attached: bytes | None


async def claim(executor: Executor, partition: int, account_id: int) -> asyncpg.Record | None:
    """Take an account for this process; return (indexed_through, last_id), None when another has it or it is gone."""
    row = await executor.fetchrow(_CLAIM, partition, account_id)
    if row is None:
        await executor.execute(_BEGIN, partition, account_id)
        row = await executor.fetchrow(_CLAIM, partition, account_id)
    return row


async def release(executor: Executor, partition: int, account_id: int) -> None:
    """Give an account back."""
    await executor.execute(_RELEASE, partition, account_id)


async def following(
    executor: Executor, partition: int, account_id: int, after: int, limit: int
) -> list[asyncpg.Record]:
    """Read the messages after an id, in order."""
    rows: list[asyncpg.Record] = await executor.fetch(_NEXT, partition, account_id, after, limit)
    return rows


async def again(executor: Executor, partition: int, account_id: int, limit: int) -> list[asyncpg.Record]:
    """Read messages that are to be indexed although others behind them are."""
    rows: list[asyncpg.Record] = await executor.fetch(_AGAIN, partition, account_id, limit)
    return rows


async def some(executor: Executor, partition: int, account_id: int, message_ids: Sequence[int]) -> list[asyncpg.Record]:
    """Read messages, with what the index keeps of their attachments."""
    rows: list[asyncpg.Record] = await executor.fetch(_SOME, partition, account_id, message_ids)
    return rows


async def write(
    connection: Connection, partition: int, account_id: int, entries: Sequence[Entry], through: int | None
) -> None:
    """Write rows in the caller's transaction; the account is indexed `through` this id then, where it is given."""
    # What is lost by a crash is indexed again: nobody waits for the disk.
    await connection.execute(_LAX)
    if entries:
        there = {
            row["message_id"]
            for row in await connection.fetch(_LOCK, partition, account_id, [one.message_id for one in entries])
        }
        kept = [one for one in entries if one.message_id in there]
        if kept:
            await connection.execute(
                _WRITE, partition, account_id, [one.state for one in kept], [one.message_id for one in kept],
                [one.received_ms for one in kept], [array(one.terms) for one in kept], [one.attached for one in kept],
            )  # fmt: skip
        await connection.execute(_DONE, partition, account_id, [one.message_id for one in entries])
    if through is not None:
        await connection.execute(_ADVANCE, partition, account_id, through)


async def delete(connection: Connection, partition: int, account_id: int, message_ids: Sequence[int]) -> None:
    """Delete what the index has of messages that are deleted in this transaction, after these."""
    await connection.execute(_DONE, partition, account_id, message_ids)
    await connection.execute(_DELETE, partition, account_id, message_ids)


async def brought_back(connection: Connection, partition: int, account_id: int, message_ids: Sequence[int]) -> None:
    """Have messages indexed that came back under their old ids in this transaction."""
    await connection.execute(_BACK, partition, account_id, message_ids)


async def prepare(connection: Executor) -> None:
    """Set what a search's transaction wants of the planner."""
    await connection.execute(_SETTINGS)


async def state(executor: Executor, partition: int, account_id: int) -> asyncpg.Record | None:
    """Return (modseq, last_id, through, again) of an account, None when there is none."""
    return await executor.fetchrow(_STATE, partition, account_id)


async def unindexed(
    executor: Executor, partition: int, account_id: int, through: int, limit: int
) -> list[tuple[int, int]]:
    """Return (received_ms, message_id) of messages that the index does not have."""
    rows = await executor.fetch(_OPEN, partition, account_id, through, limit)
    return [(row["received_ms"], row["message_id"]) for row in rows]


async def find(
    executor: Executor, partition: int, account_id: int, required: Iterable[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """Return ids and dates of the messages that have a term of each group, newest first.

    The account is compared in a way that no index serves: its key would read all that the account has, while its terms are
    nobody else's. The partition says where to look on a distributed engine.
    """
    groups = [list(group) for group in required]
    conditions = "".join([f" AND e.terms && ${number}::bigint[]" for number in range(3, 3 + len(groups))])
    row = await executor.fetchrow(
        "/* cold:store.search_find */ SELECT array_agg(f.message_id) AS ids, array_agg(f.received_ms) AS dates FROM ("
        f"SELECT e.received_ms, e.message_id FROM search_entry e WHERE e.partition = $1 AND e.account_id + 0 = $2{conditions} "
        "ORDER BY e.received_ms DESC, e.message_id DESC) f",
        partition, account_id, *groups,
    )  # fmt: skip
    return (row["ids"], row["dates"]) if row is not None and row["ids"] else ([], [])


async def waiting(executor: Executor, limit: int) -> list[int]:
    """Return accounts that have mail that is not indexed."""
    return [row["account_id"] for row in await executor.fetch(_WAITING, limit)]


async def note_missing(executor: Executor, partition: int, limit: int) -> int:
    """Have messages of a partition indexed that should be and are not; return how many."""
    return int((await executor.execute(_MISSING, partition, limit)).rpartition(" ")[2])
