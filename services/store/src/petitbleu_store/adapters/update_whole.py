"""A change of messages as two statements without a lock held between them: the second takes effect only when nothing changed since the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import asyncpg

from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import WRITES, Rows, columns, shifted
from petitbleu_store.adapters.filing_whole import EVENTS
from petitbleu_store.adapters.message_rows import LEAVE, UPDATE
from petitbleu_store.adapters.postgres import Executor

# One snapshot: the account's counters, its mailboxes, and the messages as they are.
_LOOK: Final = """/* hot:store.update_look */ SELECT a.tenant_id, a.modseq, a.last_uid, a.guarded, a.shared,
    ARRAY(SELECT b.mailbox_id FROM mailbox b WHERE b.partition = $1 AND b.account_id = $2) AS known,
    m.message_id, m.thread_id, m.received_ms, m.flags, m.keywords, m.mailbox_ids, m.size, m.blob_id, m.import_key, m.refs
FROM account a LEFT JOIN message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = ANY($3::bigint[])
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_RAISE: Final = """UPDATE account a SET modseq = a.modseq + $3::bigint, last_uid = a.last_uid + $4::bigint
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL AND NOT a.guarded AND a.modseq = $5::bigint AND a.last_uid = $6::bigint
RETURNING a.modseq"""

_PARAMETER: Final = re.compile(r"\$(\d+)")
# Of what filing writes, what a change of messages may.
_WRITTEN: Final = tuple(part for part in WRITES if part[1] in {"places", "keywords", "changes", "counts"})
# Each part: name, statement, arrays that it takes besides partition ($1) and account ($2) when it names these.
_OWN: Final = (("updated", UPDATE, 5), ("left_mailboxes", LEAVE, 3))


def _owned(statement: str, first: int) -> str:
    """Return a statement whose $1 and $2 stay, its other parameters counted from `first` on."""
    text = statement.partition("*/")[2]
    return _PARAMETER.sub(lambda found: found[0] if int(found[1]) <= 2 else f"${int(found[1]) - 2 + first}", text)


@lru_cache(maxsize=64)
def _whole(present: tuple[bool, ...]) -> str:
    """The change as one statement, of those parts that have rows.

    The main query asks first whether the account was raised, which locks its row before anything else is written; when it is not
    as it was read, a cast fails, and with it the statement.
    """
    parts = [f"raised AS ({_RAISE})"]
    first = 6
    names = [
        *_OWN,
        *((f"{name}_written", statement, width) for statement, name, width in _WRITTEN),
        ("told", EVENTS, 4),
    ]
    for (name, statement, width), there in zip(names, present, strict=True):
        if there:
            own = (name, statement, width) in _OWN
            parts.append(f"{name} AS ({_owned(statement, first) if own else shifted(statement, first)})")
            first += width
    return (
        "/* hot:store.update_whole */ WITH " + ", ".join(parts) + " SELECT "
        "(CASE WHEN (SELECT count(*) FROM raised) = 1 THEN '1' ELSE 'the account changed meanwhile' END)::integer"
    )


async def look(
    executor: Executor | KeptConnections, partition: int, account_id: int, message_ids: Sequence[int]
) -> list[asyncpg.Record]:
    """Return the account's counters and mailboxes beside each message that exists; one row without a message when none does."""
    rows: list[asyncpg.Record] = await executor.fetch(_LOOK, partition, account_id, message_ids)
    return rows


async def write(
    executor: Executor | KeptConnections,
    account: tuple[int, int],
    raised: tuple[int, int, int, int],
    updates: Sequence[tuple[Any, ...]],
    left: Sequence[tuple[int, int, int]],
    rows: Rows,
    events: Sequence[OutboxRow],
) -> None:
    """Commit a change of messages.

    Args:
        executor: A connection without a transaction, or the pool.
        account: Partition and id.
        raised: Steps of modseq and uids taken, and the modseq and the last uid as they were read.
        updates: As `message_rows.update` takes them.
        left: As `message_rows.leave` takes them.
        rows: Places, keywords, changes and counts that are added.
        events: Facts for the outbox.

    Raises:
        One of `filing_whole.CHANGED`: nothing was done.
        asyncpg.FeatureNotSupportedError: the database does not take it as one statement.
    """
    tables: list[tuple[Sequence[tuple[Any, ...]], int]] = [(updates, 5), (left, 3)]
    tables += [(getattr(rows, name), width) for _, name, width in _WRITTEN]
    tables.append(([(event.partition, event.event_id, event.subject, event.payload) for event in events], 4))
    given = [array for table, width in tables if table for array in columns(table, width)]
    await executor.fetchrow(_whole(tuple(bool(table) for table, _ in tables)), *account, *raised, *given)
