"""The rows of the outbound queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from petitbleu_delivery.domain.outbound import Priority, Reply
from petitbleu_kit.ids import partition_of_blob
from petitbleu_kit.postgres import in_transaction

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_COLUMNS: Final = (
    "partition, accepted_id, destination, first_no, recipients, account_id, tenant_id, origin, priority, size, accepted_at, "
    "attempts, warned, worker"
)
_ANSWER: Final = "accepted_id, recipient_no, account_id, state, code, enhanced, host, notice, informs"
_KEY: Final = "u.partition = d.partition AND u.accepted_id = d.accepted_id AND u.destination = d.destination AND u.first_no = d.first_no"
_ENTER: Final = f"""/* hot:delivery.queue_enter */ WITH given AS (
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::smallint[],
        $8::smallint[], $9::bigint[], $10::timestamptz[])
        AS g (partition, accepted_id, recipient_no, destination, account_id, tenant_id, origin, priority, size, accepted_at)),
fresh AS (INSERT INTO queue_recipient (partition, accepted_id, recipient_no, account_id)
    SELECT partition, accepted_id, recipient_no, account_id FROM given ORDER BY partition, accepted_id, recipient_no
    ON CONFLICT (partition, accepted_id, recipient_no) DO NOTHING RETURNING partition, accepted_id, recipient_no)
INSERT INTO queue_unit (partition, accepted_id, destination, first_no, recipients, account_id, tenant_id, origin, priority, size,
    accepted_at, worker)
SELECT g.partition, g.accepted_id, g.destination, min(g.recipient_no), array_agg(g.recipient_no ORDER BY g.recipient_no),
    min(g.account_id), min(g.tenant_id), min(g.origin), min(g.priority), min(g.size), min(g.accepted_at), $11::bigint
FROM given g JOIN fresh f ON f.partition = g.partition AND f.accepted_id = g.accepted_id AND f.recipient_no = g.recipient_no
GROUP BY g.partition, g.accepted_id, g.destination RETURNING {_COLUMNS}"""
_ANSWERED: Final = """/* hot:delivery.queue_answered */ UPDATE queue_recipient q SET state = a.state, code = a.code, enhanced = a.enhanced,
    host = a.host, notice = a.notice, informs = a.informs, answered_at = now()
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[], $6::text[], $7::text[], $8::bigint[], $9::boolean[])
    AS a (partition, accepted_id, recipient_no, state, code, enhanced, host, notice, informs)
WHERE q.partition = a.partition AND q.accepted_id = a.accepted_id AND q.recipient_no = a.recipient_no
    AND q.partition = ANY($1::smallint[]) AND q.state = 0"""
_FINISHED: Final = f"""/* hot:delivery.queue_finished */ DELETE FROM queue_unit u
USING unnest($1::smallint[], $2::uuid[], $3::text[], $4::smallint[]) AS d (partition, accepted_id, destination, first_no)
WHERE {_KEY} AND u.partition = ANY($1::smallint[])"""
# Of the process that has it in hand: another one may have taken it meanwhile, and have it on its way. What is finished is finished for all.
_DEFERRED: Final = f"""/* hot:delivery.queue_deferred */ UPDATE queue_unit u SET recipients = d.recipients::smallint[], attempts = d.attempts,
    next_attempt_at = now() + make_interval(secs => d.after), warned = d.warned, worker = NULL, reason = d.reason
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::integer[], $7::float8[], $8::boolean[], $9::text[],
    $10::bigint[]) AS d (partition, accepted_id, destination, first_no, recipients, attempts, after, warned, reason, worker)
WHERE {_KEY} AND u.partition = ANY($1::smallint[]) AND coalesce(u.worker, 0) = d.worker"""
_TOLD: Final = """/* hot:delivery.queue_told */ UPDATE queue_recipient q SET told = true
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) AS t (partition, accepted_id, recipient_no)
WHERE q.partition = t.partition AND q.accepted_id = t.accepted_id AND q.recipient_no = t.recipient_no
    AND q.partition = ANY($1::smallint[])"""

_FREE: Final = (
    "(u.worker IS NULL OR ($4 AND NOT EXISTS (SELECT 1 FROM queue_worker w WHERE w.worker_id = u.worker "
    "AND w.seen_at > now() - make_interval(secs => $2))))"
)
_CLAIM: Final = f"""/* cold:delivery.queue_claim */ UPDATE queue_unit u SET worker = $1 FROM (
    SELECT u.partition, u.accepted_id, u.destination, u.first_no FROM queue_unit u WHERE u.next_attempt_at <= now() AND {_FREE}
    AND u.priority <= $5 AND NOT EXISTS (SELECT 1 FROM queue_destination p WHERE p.destination = u.destination AND p.paused)
    ORDER BY u.priority, u.next_attempt_at LIMIT $3) AS d
WHERE {_KEY} AND {_FREE} RETURNING {", ".join("u." + name.strip() for name in _COLUMNS.split(","))}"""
_MINE: Final = f"""/* cold:delivery.queue_mine */ SELECT {_COLUMNS} FROM queue_unit
WHERE worker = $1 AND next_attempt_at < now() - make_interval(secs => $2) ORDER BY next_attempt_at LIMIT $3"""
_RECORDED: Final = """/* cold:delivery.queue_recorded */ SELECT accepted_id, recipient_no FROM queue_recipient
WHERE partition = ANY($1::smallint[]) AND accepted_id = ANY($2::uuid[]) AND notice = ANY($3::bigint[])"""
_TOGETHER: Final = f"""/* cold:delivery.queue_together */ SELECT {_ANSWER} FROM queue_recipient
WHERE partition = ANY($1::smallint[]) AND accepted_id = ANY($2::uuid[]) AND notice = ANY($3::bigint[]) AND notice <> 0"""
_UNTOLD: Final = f"""/* cold:delivery.queue_untold */ SELECT {_ANSWER}
FROM queue_recipient WHERE state <> 0 AND NOT told AND answered_at < now() - make_interval(secs => $1) ORDER BY answered_at LIMIT $2"""
_ARRIVED: Final = "/* cold:delivery.queue_arrived */ INSERT INTO queue_worker (worker_id) VALUES ($1)"
_SEEN: Final = """/* cold:delivery.queue_seen */ UPDATE queue_worker SET seen_at = now()
WHERE worker_id = $1 AND seen_at > now() - make_interval(secs => $2) RETURNING worker_id"""
_GONE: Final = "/* cold:delivery.queue_gone */ DELETE FROM queue_worker WHERE worker_id = $1"
_FORGET_WORKERS: Final = (
    "/* cold:delivery.queue_workers */ DELETE FROM queue_worker WHERE seen_at < now() - interval '1 day'"
)
_PRUNE: Final = (
    "/* cold:delivery.queue_prune */ DELETE FROM queue_recipient WHERE told AND answered_at < now() - interval '1 day'"
)
_DESTINATIONS: Final = "/* cold:delivery.queue_destinations */ SELECT destination, paused, route FROM queue_destination"
_DEPTH: Final = (
    "/* cold:delivery.queue_depth */ SELECT priority, reason, count(*) AS units, "
    "extract(epoch FROM now() - min(accepted_at))::float8 AS oldest "
    "FROM (SELECT priority, reason, accepted_at FROM queue_unit ORDER BY next_attempt_at LIMIT 100000) AS few GROUP BY priority, reason"
)


class Unit(msgspec.Struct, gc=False):
    """A message for a destination, as its row has it. Times are Unix seconds, `size` octets of the blob; `worker` 0 is nobody."""

    accepted_id: UUID
    destination: str
    first_no: int
    recipients: tuple[int, ...]
    account_id: int
    tenant_id: int
    origin: int
    priority: int
    size: int
    accepted_at: float
    attempts: int
    warned: bool
    worker: int = 0

    @property
    def partition(self) -> int:
        """Of the accepted message."""
        return partition_of_blob(self.accepted_id)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A recipient to queue."""

    accepted_id: UUID
    recipient_no: int
    destination: str
    account_id: int
    tenant_id: int
    origin: int
    priority: int
    size: int
    accepted_at: float


class FinalAnswer(msgspec.Struct, frozen=True, gc=False):
    """A recipient with its final answer: state 7 sent, 8 failed.

    `notice` names the answers that came with it, 0 where that is not known; `informs` says that the next server tells of a success.
    """

    accepted_id: UUID
    recipient_no: int
    account_id: int
    state: int
    reply: Reply
    notice: int = 0
    informs: bool = True

    @property
    def key(self) -> tuple[UUID, int]:
        """Which recipient it is of."""
        return self.accepted_id, self.recipient_no


class Waiting(NamedTuple):
    """Units that wait: their class, why, how many, and the age of the oldest in seconds."""

    priority: int
    reason: str
    units: int
    oldest: float


class Deferral(msgspec.Struct, frozen=True, gc=False):
    """A unit that is tried again: who still waits, after how many seconds, and why (a code)."""

    unit: Unit
    recipients: tuple[int, ...]
    attempts: int
    after: float
    warned: bool
    reason: str


def _unit(row: Any) -> Unit:
    return Unit(
        UUID(int=row["accepted_id"].int), row["destination"], row["first_no"], tuple(row["recipients"]), row["account_id"],
        row["tenant_id"], row["origin"], row["priority"], row["size"], row["accepted_at"].timestamp(), row["attempts"], row["warned"],
        row["worker"] or 0,
    )  # fmt: skip


def _final(row: Any) -> FinalAnswer:
    return FinalAnswer(
        UUID(int=row["accepted_id"].int), row["recipient_no"], row["account_id"], row["state"],
        Reply(row["code"], row["enhanced"], "", row["host"]), row["notice"], row["informs"],
    )  # fmt: skip


def _notices(finals: Sequence[FinalAnswer]) -> list[Sequence[Any]]:
    ids = list({one.accepted_id for one in finals})
    return [[partition_of_blob(one) for one in ids], ids, list({one.notice for one in finals})]


def _numbers(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


class QueueRows:
    """Reads and writes the queue."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def enter(self, entries: Sequence[Entry], worker: int | None) -> list[Unit]:
        """Queue recipients that never were queued, in one commit; return the units that they make, in the hands of `worker`."""
        rows = await self._pool.fetch(
            _ENTER, [partition_of_blob(one.accepted_id) for one in entries], [one.accepted_id for one in entries],
            [one.recipient_no for one in entries], [one.destination for one in entries], [one.account_id for one in entries],
            [one.tenant_id for one in entries], [one.origin for one in entries], [one.priority for one in entries],
            [one.size for one in entries], [datetime.fromtimestamp(one.accepted_at).astimezone() for one in entries], worker,
        )  # fmt: skip
        return [_unit(row) for row in rows]

    async def keep(
        self, finals: Sequence[FinalAnswer], finished: Sequence[Unit], deferred: Sequence[Deferral]
    ) -> frozenset[tuple[UUID, int]]:
        """Keep answers in one commit: final ones, units that are finished by them, units that are tried again.

        Returns:
            The recipients that had another final answer already: by another process, or an operator. They keep it.
        """

        async def write(connection: Any) -> frozenset[tuple[UUID, int]]:
            known: frozenset[tuple[UUID, int]] = frozenset()
            if finals:
                rows = sorted(
                    finals, key=lambda one: (partition_of_blob(one.accepted_id), one.accepted_id, one.recipient_no)
                )
                done = await connection.execute(
                    _ANSWERED, [partition_of_blob(one.accepted_id) for one in rows], [one.accepted_id for one in rows],
                    [one.recipient_no for one in rows], [one.state for one in rows], [one.reply.code for one in rows],
                    [one.reply.enhanced for one in rows], [one.reply.host for one in rows], [one.notice for one in rows],
                    [one.informs for one in rows],
                )  # fmt: skip
                if done != f"UPDATE {len(rows)}":
                    ours = await connection.fetch(_RECORDED, *_notices(rows))
                    known = frozenset(one.key for one in rows) - {
                        (UUID(int=row["accepted_id"].int), row["recipient_no"]) for row in ours
                    }
            if finished:
                await connection.execute(_FINISHED, *_keys(finished))
            if deferred:
                await connection.execute(
                    _DEFERRED, *_keys([one.unit for one in deferred]), [_numbers(one.recipients) for one in deferred],
                    [one.attempts for one in deferred], [one.after for one in deferred], [one.warned for one in deferred],
                    [one.reason for one in deferred], [one.unit.worker for one in deferred],
                )  # fmt: skip

            return known

        return await in_transaction(self._pool, write)

    async def together(self, finals: Sequence[FinalAnswer]) -> list[FinalAnswer]:
        """Return final answers with all that came with them, told of or not."""
        alone = [one for one in finals if not one.notice]
        return alone + [_final(row) for row in await self._pool.fetch(_TOGETHER, *_notices(finals))]

    async def told(self, recipients: Sequence[tuple[UUID, int]]) -> None:
        """Keep that these have been told of."""
        await self._pool.execute(
            _TOLD, [partition_of_blob(accepted_id) for accepted_id, _ in recipients],
            [accepted_id for accepted_id, _ in recipients], [number for _, number in recipients],
        )  # fmt: skip

    async def claim(
        self, worker: int, silent_seconds: float, most: int, *, of_silent: bool, lowest: int = Priority.BULK.value
    ) -> list[Unit]:
        """Take units that are due and in nobody's hands; with `of_silent`, those too of a process that has been silent.

        The higher classes (`Priority`) come first, those below `lowest` not at all.
        """
        return [_unit(row) for row in await self._pool.fetch(_CLAIM, worker, silent_seconds, most, of_silent, lowest)]

    async def mine(self, worker: int, seconds: float, most: int) -> list[Unit]:
        """Return units that are in the hands of a process and have been due for a while."""
        return [_unit(row) for row in await self._pool.fetch(_MINE, worker, seconds, most)]

    async def untold(self, after_seconds: float, most: int) -> list[FinalAnswer]:
        """Return answers that nobody has been told of for a while."""
        return [_final(row) for row in await self._pool.fetch(_UNTOLD, after_seconds, most)]

    async def seen(self, worker: int, within_seconds: float) -> bool:
        """Keep that a process is there; False, and nothing kept, for one that was not heard of within that time."""
        return await self._pool.fetchval(_SEEN, worker, within_seconds) is not None

    async def arrived(self, worker: int) -> None:
        """Keep that a new process is there."""
        await self._pool.execute(_ARRIVED, worker)

    async def gone(self, worker: int) -> None:
        """Forget this process: what it has in hand is anybody's now."""
        await self._pool.execute(_GONE, worker)

    async def prune(self) -> None:
        """Forget recipients that were told of a day ago, and processes that ended."""
        await self._pool.execute(_PRUNE)
        await self._pool.execute(_FORGET_WORKERS)

    async def destinations(self) -> dict[str, tuple[bool, str]]:
        """Return what an operator said of destinations: whether it is paused, and where its mail goes instead (or nothing)."""
        return {row["destination"]: (row["paused"], row["route"]) for row in await self._pool.fetch(_DESTINATIONS)}

    async def depth(self) -> list[Waiting]:
        """Return how many units wait, by class and reason (at most 100,000 are counted)."""
        return [
            Waiting(row["priority"], row["reason"], row["units"], row["oldest"])
            for row in await self._pool.fetch(_DEPTH)
        ]


def _keys(units: Sequence[Unit]) -> list[Sequence[Any]]:
    return [
        [unit.partition for unit in units], [unit.accepted_id for unit in units],
        [unit.destination for unit in units], [unit.first_no for unit in units],
    ]  # fmt: skip
