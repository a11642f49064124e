"""The statements of filing: one a table for a whole batch, over arrays. Every one names the partitions that it touches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import asyncpg

from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_store.adapters.postgres import Executor

# A connection in a transaction.
Connection: TypeAlias = "asyncpg.Connection[Any]"

_RAISE: Final = """/* hot:store.account_raise */ UPDATE account a SET modseq = a.modseq + v.steps, last_id = a.last_id + v.ids,
last_uid = a.last_uid + v.uids, used_octets = a.used_octets + v.octets, messages = a.messages + v.messages
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS v (partition, account_id, steps, ids, uids, octets, messages)
WHERE a.partition = v.partition AND a.account_id = v.account_id AND a.partition = ANY($1::smallint[]) AND a.wrapped_key IS NOT NULL
RETURNING a.account_id, a.modseq, a.last_id, a.last_uid, a.guarded, a.shared"""

LOOK: Final = """/* hot:store.filing_look */ SELECT -1 AS state, r.account_id, r.ref_hash AS a, r.thread_id AS b, NULL::uuid AS blob_id,
    NULL::integer[] AS recipients
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (partition, account_id, ref_hash)
JOIN thread_ref r ON r.partition = v.partition AND r.account_id = v.account_id AND r.ref_hash = v.ref_hash
    AND r.partition = ANY($1::smallint[])
UNION ALL
SELECT o.state, o.account_id, o.message_id, 0, o.origin_id, o.recipients
FROM unnest($4::smallint[], $5::bigint[], $6::uuid[]) AS v (partition, account_id, blob_id)
JOIN origin o ON o.partition = v.partition AND o.account_id = v.account_id AND o.origin_id = v.blob_id
    AND o.partition = ANY($4::smallint[])"""

_THREADS: Final = """/* hot:store.threads_state */ SELECT m.account_id, m.thread_id, m.message_id, m.mailbox_ids, m.flags, m.refs
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (partition, account_id, thread_id)
JOIN thread_message t ON t.partition = v.partition AND t.account_id = v.account_id AND t.thread_id = v.thread_id
    AND t.partition = ANY($1::smallint[])
JOIN message m ON m.partition = t.partition AND m.account_id = t.account_id AND m.message_id = t.message_id
    AND m.partition = ANY($1::smallint[])"""

_MESSAGES: Final = """/* hot:store.message_insert */ INSERT INTO message (partition, flags, account_id, message_id, thread_id, received_ms,
    sent_ms, size, modseq, blob_id, import_key, mailbox_ids, keywords, refs)
SELECT v.partition, v.flags, v.account_id, v.message_id, v.thread_id, v.received_ms, v.sent_ms, v.size, v.modseq, v.blob_id, v.import_key,
    v.mailbox_ids::bigint[], v.keywords::bigint[], v.refs::bigint[]
FROM unnest($1::smallint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[])
    AS v (partition, flags, account_id, message_id, thread_id, received_ms, sent_ms, size, modseq, blob_id, import_key, mailbox_ids,
        keywords, refs)"""

_ORIGINS: Final = """/* hot:store.origin_insert */ INSERT INTO origin (partition, state, account_id, origin_id, message_id, recipients)
SELECT v.partition, 0, v.account_id, v.origin_id, v.message_id, v.recipients::integer[]
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[])
    AS v (partition, account_id, origin_id, message_id, recipients)"""

_MEMBERS: Final = """/* hot:store.thread_message_insert */ INSERT INTO thread_message (partition, account_id, thread_id, received_ms, message_id)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])"""

_CONTENTS: Final = """/* hot:store.content_insert */ INSERT INTO message_content (partition, account_id, message_id, sealed)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bytea[])"""

_PLACES: Final = """/* hot:store.mailbox_message_insert */ INSERT INTO mailbox_message (partition, account_id, mailbox_id, received_ms,
    message_id, thread_id, uid)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])"""

# A thread that is full gives its references to the thread that follows it.
_REFS: Final = """/* hot:store.thread_ref_insert */ INSERT INTO thread_ref (partition, account_id, ref_hash, thread_id)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[])
ON CONFLICT (partition, account_id, ref_hash) DO UPDATE SET thread_id = excluded.thread_id"""

_CHANGES: Final = """/* hot:store.change_log_insert */ INSERT INTO change_log (partition, kind, op, account_id, modseq, entity_id, thread_id)
SELECT * FROM unnest($1::smallint[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])"""

_COUNTS: Final = """/* hot:store.mailbox_count */ UPDATE mailbox b SET total = b.total + v.total, unread = b.unread + v.unread,
    threads = b.threads + v.threads, unread_threads = b.unread_threads + v.unread_threads, modseq = v.modseq
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    AS v (partition, account_id, mailbox_id, total, unread, threads, unread_threads, modseq)
WHERE b.partition = v.partition AND b.account_id = v.account_id AND b.mailbox_id = v.mailbox_id AND b.partition = ANY($1::smallint[])"""

_KEYWORDS: Final = """/* hot:store.keyword_insert */ INSERT INTO keyword (partition, account_id, keyword_hash, name_sealed)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bytea[])
ON CONFLICT (partition, account_id, keyword_hash) DO NOTHING"""


_PARAMETER: Final = re.compile(r"\$(\d+)")
# The statements in the order of the fields of Rows, and how many arrays each takes.
WRITES: Final = (
    (_MESSAGES, "messages", 14), (_ORIGINS, "origins", 5), (_MEMBERS, "members", 5), (_CONTENTS, "contents", 4), (_PLACES, "places", 7),
    (_REFS, "refs", 4), (_KEYWORDS, "keywords", 4), (_CHANGES, "changes", 7), (_COUNTS, "counts", 8),
)  # fmt: skip


def shifted(statement: str, first: int) -> str:
    """Return a statement without its name, its parameters counted from `first` on, to be a part of another."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + first}", statement.partition("*/")[2] or statement)


def _one_statement() -> str:
    """All writes as one statement: a lone message's commit is a third of the round trips, and so of the time."""
    parts = []
    first = 0
    for statement, name, width in WRITES:
        parts.append(f"{name}_written AS ({shifted(statement, first)})")
        first += width
    return "/* hot:store.filing_write */ WITH " + ", ".join(parts) + " SELECT 1"


_ALL: Final = _one_statement()

# PostgreSQL sorts the array of `partition = ANY(…)` anew for each row that it joins: 2 µs a row with 32 partitions, 12 µs with 256.
CHUNK: Final = 64
Row = TypeVar("Row")


class Raise(NamedTuple):
    """What to add to an account's counters: steps of modseq, ids, uids, octets, messages."""

    partition: int
    account_id: int
    steps: int
    ids: int
    uids: int
    octets: int
    messages: int


class MessageRow(NamedTuple):
    """A row of `message`, in the statement's order; arrays are PostgreSQL's text (`{1,2}`)."""

    partition: int
    flags: int
    account_id: int
    message_id: int
    thread_id: int
    received_ms: int
    sent_ms: int
    size: int
    modseq: int
    blob_id: UUID
    import_key: UUID | None
    mailbox_ids: str
    keywords: str | None
    refs: str


@dataclass(slots=True)
class Rows:
    """All that one transaction adds, gathered over its accounts and written by one statement a table."""

    messages: list[MessageRow]
    # partition, account, origin, message, recipients
    origins: list[tuple[int, int, UUID, int, str | None]]
    # partition, account, thread, received_ms, message
    members: list[tuple[int, int, int, int, int]]
    contents: list[tuple[int, int, int, bytes]]
    # partition, account, mailbox, received_ms, message, thread, uid
    places: list[tuple[int, int, int, int, int, int, int]]
    refs: list[tuple[int, int, int, int]]
    # partition, kind, op, account, modseq, entity, thread
    changes: list[tuple[int, int, int, int, int, int, int]]
    # partition, account, mailbox, total, unread, threads, unread threads, modseq
    counts: list[tuple[int, int, int, int, int, int, int, int]]
    keywords: list[tuple[int, int, int, bytes]]

    @classmethod
    def empty(cls) -> Rows:
        """Return no rows."""
        return cls([], [], [], [], [], [], [], [], [])


async def raise_accounts(connection: Connection, raises: Sequence[Raise]) -> list[asyncpg.Record]:
    """Lock accounts in order and raise their counters; return what each that exists is by then."""
    rows: list[asyncpg.Record] = []
    for chunk in _chunks(sorted(raises)):
        rows += await connection.fetch(_RAISE, *zip(*chunk, strict=True))
    return rows


async def look(
    connection: Connection, refs: Sequence[tuple[int, int, int]], blobs: Sequence[tuple[int, int, UUID]]
) -> list[asyncpg.Record]:
    """Find threads by reference, and messages that the accounts have or had, in one round."""
    rows: list[asyncpg.Record] = []
    for some_refs, some_blobs in zip_longest(_chunks(refs), _chunks(blobs), fillvalue=()):
        rows += await connection.fetch(LOOK, *columns(some_refs, 3), *columns(some_blobs, 3))
    return rows


async def threads_state(
    connection: Executor | KeptConnections, threads: Sequence[tuple[int, int, int]]
) -> list[asyncpg.Record]:
    """Read the messages of threads (partition, account, thread)."""
    rows: list[asyncpg.Record] = []
    for chunk in _chunks(threads):
        rows += await connection.fetch(_THREADS, *columns(chunk, 3))
    return rows


async def write(connection: Connection, rows: Rows, *, at_once: bool = False) -> None:
    """Write what is gathered: by one statement, or by one a table for a database that does not take the one.

    Raises:
        asyncpg.FeatureNotSupportedError: the database does not take the one; the transaction is to be done again.
    """
    if at_once and len(rows.counts) <= CHUNK:
        await connection.execute(_ALL, *arrays(rows))
        return
    for statement, name, _ in WRITES:
        values = getattr(rows, name)
        for chunk in _chunks(values) if statement is _COUNTS else (values,):
            if chunk:
                await connection.execute(statement, *zip(*chunk, strict=True))


def arrays(rows: Rows) -> list[Sequence[Any]]:
    """Return the columns of all rows, in the order of the statement that writes them all."""
    found: list[Sequence[Any]] = []
    for _, name, width in WRITES:
        found += columns(getattr(rows, name), width)
    return found


def array(values: Sequence[int]) -> str:
    """Return numbers as PostgreSQL's text of an array."""
    return "{" + ",".join(map(str, values)) + "}"


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Return rows as the arrays of a statement."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
