"""Filing as one statement, which is its own commit: it takes effect only when the accounts are still as they were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from petitbleu_kit.ids import BlobId
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import LOOK, WRITES, Raise, Rows, arrays, columns, shifted
from petitbleu_store.adapters.postgres import Executor, of_one_row
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


@lru_cache(maxsize=32)
def _look_free(rows: tuple[bool, ...]) -> str:
    """The look, for one row (or not) of references, blobs and accounts."""
    parts = _LOOK_FREE.split("UNION ALL")
    return "UNION ALL".join(of_one_row(part) if one else part for part, one in zip(parts, rows, strict=True))


_RAISE: Final = """UPDATE account a SET modseq = a.modseq + v.steps, last_id = a.last_id + v.ids, last_uid = a.last_uid + v.uids,
    used_octets = a.used_octets + v.octets, messages = a.messages + v.messages
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[]) AS v (partition, account_id, steps, ids, uids, octets, messages, read_modseq, read_id, read_uid)
WHERE a.partition = v.partition AND a.account_id = v.account_id AND a.partition = ANY($1::smallint[]) AND a.wrapped_key IS NOT NULL
    AND NOT a.guarded AND a.modseq = v.read_modseq AND a.last_id = v.read_id AND a.last_uid = v.read_uid
RETURNING a.account_id"""
_RAISE_ARRAYS: Final = 10

EVENTS: Final = """INSERT INTO outbox (partition, event_id, subject, payload)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bytea[])"""


_PARTS: Final = (
    ("raised", _RAISE, _RAISE_ARRAYS),
    *((f"{name}_written", statement, width) for statement, name, width in WRITES),
    ("events_written", EVENTS, 4),
    ("reached", REACHED, REACHED_ARRAYS),
    ("settled", SETTLE + " RETURNING 1", SETTLE_ARRAYS),
)


@lru_cache(maxsize=256)
def _whole(rows: tuple[int, ...]) -> str:
    """All of a filing's commit, for so many rows of each part: none, one, or (2) any number.

    The main query asks first how many accounts were raised, which raises and so locks them before anything else is written;
    when one is not as it was read, its cast fails, and with it the statement.

    A lone message has one row in most parts and none in some. What has none is left out, and one row is values.
    """
    parts = []
    first = 0
    for (name, statement, width), count in zip(_PARTS, rows, strict=True):
        if count:
            parts.append(f"{name} AS ({shifted(statement if count > 1 else of_one_row(statement), first)})")
            first += width
    accounts = "cardinality($1::smallint[])" if rows[0] > 1 else "1"
    settled = "(SELECT count(*) FROM settled)" if rows[-1] else "0"
    return (
        "/* hot:store.file */ WITH " + ", ".join(parts) + " SELECT "
        f"(CASE WHEN (SELECT count(*) FROM raised) = {accounts} THEN '1' "
        f"ELSE concat('not filed at once: of ', {accounts}, ' accounts one changed meanwhile') END)::integer, "
        f"{settled} AS settled"
    )


# A batch of several messages has one statement, whatever is in it.
_OF_MANY: Final = (2,) * len(_PARTS)
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
    if len(blobs) == len(accounts) == 1:
        ones = (len(refs) == 1, True, True)
        given = [*(refs[0] if ones[0] else columns(refs, 3)), *blobs[0], *accounts[0]]
    else:
        ones = (False, False, False)
        given = [*columns(refs, 3), *columns(blobs, 3), *columns(accounts, 2)]
    rows: list[asyncpg.Record] = await executor.fetch(_look_free(ones), *given)
    return rows


def _without_arrays(given: Sequence[Sequence[Any]]) -> tuple[tuple[int, ...], list[Any]]:
    """Return how many rows each part has (0, 1, or 2 for more), and what its statement takes of the arrays."""
    counts: list[int] = []
    taken: list[Any] = []
    first = 0
    for _, _, width in _PARTS:
        part = given[first : first + width]
        first += width
        count = len(part[0])
        counts.append(min(count, 2))
        if count == 1:
            taken += [column[0] for column in part]
        elif count:
            taken += part
    return tuple(counts), taken


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
    given = [
        *columns([(*taken, *before) for taken, before in raises], _RAISE_ARRAYS), *arrays(rows),
        [event.partition for event in events], [event.event_id for event in events], [event.subject for event in events],
        [event.payload for event in events], *reached_arrays(reached), *settle_arrays(settlements),
    ]  # fmt: skip
    if len(rows.messages) > 1:
        row = await executor.fetchrow(_whole(_OF_MANY), *given)
    else:
        counts, given = _without_arrays(given)
        row = await executor.fetchrow(_whole(counts), *given)
    return int(row["settled"]) if row is not None else 0
