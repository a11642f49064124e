"""Filing as one statement, which is its own commit: it takes effect only when the accounts are still as they were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from petitbleu_kit.ids import BlobId
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import LOOK, WRITES, Raise, Rows, arrays, columns, shifted
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.adapters.recipient_rows import (
    REACHED,
    REACHED_ARRAYS,
    SETTLE,
    SETTLE_ARRAYS,
    reached_arrays,
    settle_arrays,
)
from petitbleu_store.domain.outcome import Settlement

# The look of filing, with what the accounts' rows say at the same instant (state -2), if nobody guards them.
_LOOK_FREE: Final = (
    LOOK.replace("filing_look", "filing_look_free")
    .replace("AS recipients", "AS recipients, 0::bigint AS c")
    .replace("o.recipients\n", "o.recipients, 0\n")
    + """
UNION ALL
SELECT -2, a.account_id, a.modseq, a.last_id, NULL, NULL, a.last_uid
FROM unnest($7::smallint[], $8::bigint[]) AS v (partition, account_id)
JOIN account a ON a.partition = v.partition AND a.account_id = v.account_id AND a.partition = ANY($7::smallint[])
WHERE a.wrapped_key IS NOT NULL AND NOT a.guarded"""
)

_RAISE: Final = """UPDATE account a SET modseq = a.modseq + v.steps, last_id = a.last_id + v.ids, last_uid = a.last_uid + v.uids,
    used_octets = a.used_octets + v.octets, messages = a.messages + v.messages
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[]) AS v (partition, account_id, steps, ids, uids, octets, messages, read_modseq, read_id, read_uid)
WHERE a.partition = v.partition AND a.account_id = v.account_id AND a.partition = ANY($1::smallint[]) AND a.wrapped_key IS NOT NULL
    AND NOT a.guarded AND a.modseq = v.read_modseq AND a.last_id = v.read_id AND a.last_uid = v.read_uid
RETURNING a.account_id"""
_RAISE_ARRAYS: Final = 10

_EVENTS: Final = """INSERT INTO outbox (partition, event_id, subject, payload)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bytea[])"""


def _whole() -> str:
    """All of a filing's commit.

    The main query asks first how many accounts were raised, which raises and so locks them before anything else is written;
    when one is not as it was read, its cast fails, and with it the statement.
    """
    parts = [f"raised AS ({_RAISE})"]
    first = _RAISE_ARRAYS
    for name, statement, width in (
        *((f"{name}_written", statement, width) for statement, name, width in WRITES),
        ("events_written", _EVENTS, 4),
        ("reached", REACHED, REACHED_ARRAYS),
        ("settled", SETTLE + " RETURNING 1", SETTLE_ARRAYS),
    ):
        parts.append(f"{name} AS ({shifted(statement, first)})")
        first += width
    return (
        "/* hot:store.file */ WITH " + ", ".join(parts) + " SELECT "
        "(CASE WHEN (SELECT count(*) FROM raised) = cardinality($1::smallint[]) THEN '1' "
        "ELSE concat('not filed at once: of ', cardinality($1::smallint[]), ' accounts one changed meanwhile') END)::integer, "
        "(SELECT count(*) FROM settled) AS settled"
    )


_WHOLE: Final = _whole()
# What the statement fails with when something is not as it was read: nothing was done, and the lock will tell.
CHANGED: Final = (
    asyncpg.InvalidTextRepresentationError,
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class Counters(NamedTuple):
    """What an account's row said before a batch: the modseq, id and uid that were given last."""

    modseq: int
    last_id: int
    last_uid: int


async def look_free(
    executor: Executor,
    refs: Sequence[tuple[int, int, int]],
    blobs: Sequence[tuple[int, int, UUID]],
    accounts: Sequence[tuple[int, int]],
) -> list[asyncpg.Record]:
    """As `filing_rows.look` of one instant, with the counters of those accounts (state -2) that exist and are not guarded."""
    rows: list[asyncpg.Record] = await executor.fetch(
        _LOOK_FREE, *columns(refs, 3), *columns(blobs, 3), *columns(accounts, 2)
    )
    return rows


async def write_whole(
    executor: Executor,
    raises: Sequence[tuple[Raise, Counters]],
    rows: Rows,
    events: Sequence[OutboxRow],
    reached: Mapping[tuple[BlobId, int], Iterable[int]],
    settlements: Sequence[Settlement],
) -> int:
    """Commit a filing; return how many open recipients it settled.

    Args:
        executor: A connection without a transaction, or the pool.
        raises: What each account takes, and its counters as they were read; in order.
        rows: What is added.
        events: Facts for the outbox.
        reached: Accounts that got a message for a recipient that leads to others too.
        settlements: Outcomes, in order; of other recipients than those reached.

    Raises:
        One of `CHANGED`: nothing was done.
        asyncpg.FeatureNotSupportedError: the database does not take it as one statement.
    """
    row = await executor.fetchrow(
        _WHOLE, *columns([(*taken, *before) for taken, before in raises], _RAISE_ARRAYS), *arrays(rows),
        [event.partition for event in events], [event.event_id for event in events], [event.subject for event in events],
        [event.payload for event in events], *reached_arrays(reached), *settle_arrays(settlements),
    )  # fmt: skip
    return int(row["settled"]) if row is not None else 0
