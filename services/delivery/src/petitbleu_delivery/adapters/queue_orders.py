"""What an operator asks of the outbound queue, on its rows. Everything here is cold: a person waits for it, no mail does."""

from __future__ import annotations

from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from petitbleu_kit.ids import partition_of_blob
from petitbleu_kit.postgres import in_transaction

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"  # not generic at run time

_UNIT: Final = (
    "accepted_id, destination, recipients, account_id, size, accepted_at, attempts, next_attempt_at, reason, "
    "worker IS NOT NULL AS in_hand"
)
_DESTINATIONS: Final = """/* cold:delivery.orders_destinations */ SELECT coalesce(u.destination, d.destination) AS destination,
    coalesce(u.units, 0) AS units, u.oldest, u.next_attempt, u.reason, coalesce(d.paused, false) AS paused,
    coalesce(d.route, '') AS route
FROM (SELECT destination, count(*) AS units, min(accepted_at) AS oldest, min(next_attempt_at) AS next_attempt,
    (array_agg(reason ORDER BY next_attempt_at))[1] AS reason FROM queue_unit
    WHERE $2::text IS NULL OR destination = $2 GROUP BY destination) AS u
FULL JOIN (SELECT * FROM queue_destination WHERE $2::text IS NULL OR destination = $2) AS d ON d.destination = u.destination
ORDER BY units DESC, destination LIMIT $1"""
_UNITS: Final = (
    f"/* cold:delivery.orders_units */ SELECT {_UNIT} FROM queue_unit WHERE destination = $1 "
    "ORDER BY next_attempt_at, accepted_id LIMIT $2"
)
_MESSAGE: Final = (
    f"/* cold:delivery.orders_message */ SELECT {_UNIT} FROM queue_unit WHERE partition = $1 AND accepted_id = $2 "
    "ORDER BY destination, first_no"
)
_RECIPIENTS: Final = (
    "/* cold:delivery.orders_recipients */ SELECT recipient_no, state, code, enhanced, host, answered_at, told "
    "FROM queue_recipient WHERE partition = $1 AND accepted_id = $2 ORDER BY recipient_no"
)
_PAUSE: Final = (
    "/* cold:delivery.orders_pause */ INSERT INTO queue_destination (destination, paused) VALUES ($1, $2) "
    "ON CONFLICT (destination) DO UPDATE SET paused = excluded.paused"
)
_ROUTE: Final = (
    "/* cold:delivery.orders_route */ INSERT INTO queue_destination (destination, route) VALUES ($1, $2) "
    "ON CONFLICT (destination) DO UPDATE SET route = excluded.route"
)
_FORGET: Final = "/* cold:delivery.orders_forget */ DELETE FROM queue_destination WHERE destination = $1 AND NOT paused AND route = ''"
# What a process has in hand is being tried already.
_RETRY: Final = (
    "/* cold:delivery.orders_retry */ UPDATE queue_unit SET next_attempt_at = now() WHERE worker IS NULL "
    "AND ($1::text IS NULL OR destination = $1)"
)
_RETRY_MESSAGE: Final = (
    "/* cold:delivery.orders_retry_message */ UPDATE queue_unit SET next_attempt_at = now() "
    "WHERE partition = $1 AND accepted_id = $2 AND worker IS NULL"
)
_DROP: Final = (
    "/* cold:delivery.orders_drop */ DELETE FROM queue_unit WHERE ($1::smallint IS NULL OR partition = $1 AND accepted_id = $2) "
    "AND ($3::text IS NULL OR destination = $3) RETURNING partition, accepted_id, recipients"
)
# They fail without any code, by which upkeep, which tells store of them, knows that nobody is to be notified.
_FAIL: Final = """/* cold:delivery.orders_fail */ UPDATE queue_recipient q SET state = 8, enhanced = '', answered_at = now()
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) AS d (partition, accepted_id, recipient_no)
WHERE q.partition = d.partition AND q.accepted_id = d.accepted_id AND q.recipient_no = d.recipient_no
    AND q.partition = ANY($1::smallint[]) AND q.state = 0"""


class WaitingDestination(msgspec.Struct, frozen=True):
    """A domain that mail waits for. Times are Unix seconds, 0 for none."""

    destination: str
    units: int
    oldest: float
    next_attempt: float
    paused: bool
    route: str
    reason: str


class WaitingUnit(msgspec.Struct, frozen=True):
    """A message for a destination. Times are Unix seconds, `size` octets."""

    accepted_id: UUID
    destination: str
    recipients: tuple[int, ...]
    account_id: int
    size: int
    accepted_at: float
    attempts: int
    next_attempt: float
    reason: str
    in_hand: bool


class QueuedRecipient(msgspec.Struct, frozen=True):
    """A recipient: state 0 waits, 7 sent, 8 failed. `answered_at` is Unix seconds, 0 for none."""

    number: int
    state: int
    code: int
    enhanced: str
    host: str
    answered_at: float
    told: bool


def _seconds(moment: Any) -> float:
    return 0.0 if moment is None else float(moment.timestamp())


def _unit(row: Any) -> WaitingUnit:
    return WaitingUnit(
        UUID(int=row["accepted_id"].int), row["destination"], tuple(row["recipients"]), row["account_id"], row["size"],
        _seconds(row["accepted_at"]), row["attempts"], _seconds(row["next_attempt_at"]), row["reason"], row["in_hand"],
    )  # fmt: skip


class QueueOrders:
    """Looks at the queue and gives orders.

    Args:
        pool: The schema of delivery.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def destinations(self, most: int) -> list[WaitingDestination]:
        """Return the domains that mail waits for, or that have orders; those with the most units first."""
        return [_destination(row) for row in await self._pool.fetch(_DESTINATIONS, most, None)]

    async def destination(self, name: str) -> WaitingDestination:
        """Return one domain as it is."""
        row = await self._pool.fetchrow(_DESTINATIONS, 1, name)
        return WaitingDestination(name, 0, 0.0, 0.0, False, "", "") if row is None else _destination(row)

    async def units(self, destination: str, most: int) -> list[WaitingUnit]:
        """Return the units of a domain, those that are due first."""
        return [_unit(row) for row in await self._pool.fetch(_UNITS, destination, most)]

    async def message(self, accepted_id: UUID) -> tuple[list[WaitingUnit], list[QueuedRecipient]]:
        """Return what is known of a message: its units that wait, and all recipients that were queued."""
        partition = partition_of_blob(accepted_id)
        units = await self._pool.fetch(_MESSAGE, partition, accepted_id)
        recipients = await self._pool.fetch(_RECIPIENTS, partition, accepted_id)
        return [_unit(row) for row in units], [
            QueuedRecipient(
                row["recipient_no"], row["state"], row["code"], row["enhanced"], row["host"], _seconds(row["answered_at"]),
                row["told"],
            )
            for row in recipients
        ]  # fmt: skip

    async def direct(self, destination: str, *, paused: bool | None = None, route: str | None = None) -> None:
        """Pause or resume a domain, or have its mail sent elsewhere (empty: to its own servers)."""

        async def work(connection: Any) -> None:
            if paused is not None:
                await connection.execute(_PAUSE, destination, paused)
            if route is not None:
                await connection.execute(_ROUTE, destination, route)
            await connection.execute(_FORGET, destination)
            if paused is False or route is not None:
                await connection.execute(_RETRY, destination)

        await in_transaction(self._pool, work)

    async def retry(self, *, accepted_id: UUID | None = None, destination: str | None = None) -> int:
        """Have units tried at once: those of a message, or of a domain, or all; return how many."""
        if accepted_id is not None:
            done = await self._pool.execute(_RETRY_MESSAGE, partition_of_blob(accepted_id), accepted_id)
        else:
            done = await self._pool.execute(_RETRY, destination)
        return int(done.rpartition(" ")[2])

    async def drop(self, *, accepted_id: UUID | None = None, destination: str | None = None) -> int:
        """Give units up, those of a message, of a domain, or of both; return how many."""
        if accepted_id is None and destination is None:
            raise ValueError("what to drop?")
        partition = None if accepted_id is None else partition_of_blob(accepted_id)

        async def work(connection: Any) -> int:
            rows = await connection.fetch(_DROP, partition, accepted_id, destination)
            recipients = [
                (row["partition"], row["accepted_id"], number) for row in rows for number in row["recipients"]
            ]
            if recipients:
                await connection.execute(
                    _FAIL,
                    [one[0] for one in recipients],
                    [one[1] for one in recipients],
                    [one[2] for one in recipients],
                )
            return len(rows)

        return await in_transaction(self._pool, work)


def _destination(row: Any) -> WaitingDestination:
    return WaitingDestination(
        row["destination"], row["units"], _seconds(row["oldest"]), _seconds(row["next_attempt"]), row["paused"],
        row["route"], row["reason"] or "",
    )  # fmt: skip
