"""What was said of mail after another server took it: kept once a recipient, with all that follows from it in one commit."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from petitbleu.events.v1 import events_pb2
from petitbleu_delivery.adapters.suppression_rows import COMPLAIN, STRIKE
from petitbleu_kit.ids import PARTITIONS, partition_of_account
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

BOUNCE: Final = 1
COMPLAINT: Final = 2
_DAY: Final = 86_400
_SWEPT: Final = 64
_PUT: Final = """/* hot:delivery.returned_put */ INSERT INTO returned (partition, account_id, accepted_id, recipient_no, kind, status)
SELECT $1, $2, $3, number, $4, status FROM unnest($5::smallint[], $6::text[]) AS g (number, status) ORDER BY number
ON CONFLICT (partition, account_id, accepted_id, recipient_no, kind) DO NOTHING RETURNING recipient_no"""
_COUNT: Final = """/* hot:delivery.conduct_returned */ INSERT INTO conduct AS c (partition, account_id, day, tenant_id, bounced, complained)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, account_id, day) DO UPDATE SET bounced = c.bounced + excluded.bounced,
    complained = c.complained + excluded.complained WHERE c.partition = $1"""
_PRUNE_SAID: Final = """/* cold:delivery.returned_prune */ DELETE FROM returned WHERE partition = ANY($1::smallint[])
AND heard_at < now() - interval '90 days'"""
_PRUNE_DAYS: Final = """/* cold:delivery.conduct_prune */ DELETE FROM conduct WHERE partition = ANY($1::smallint[])
AND day < extract(epoch FROM now())::bigint / 86400 - 60"""


class Bounced(NamedTuple):
    """A bounce of a message of ours.

    Attributes:
        account_id: Who sent it.
        tenant_id: Their tenant.
        accepted_id: The message.
        bounce_id: The bounce.
        statuses: Status by number of the recipient.
        strikes: By number, the key under which its address is to be suppressed, where it does not exist.
        first: Seconds for which it is at first.
        longest: The same at most.
    """

    account_id: int
    tenant_id: int
    accepted_id: UUID
    bounce_id: UUID
    statuses: Mapping[int, str]
    strikes: Mapping[int, bytes]
    first: float
    longest: float


class Complained(NamedTuple):
    """A complaint about a message of ours.

    Attributes:
        account_id: Who sent it.
        tenant_id: Their tenant.
        accepted_id: The message.
        report_id: The report that says it.
        numbers: By number of the recipient, the key under which the address is to be suppressed; empty where it is not to be.
        feedback_type: What it is called (RFC 5965 §7.3).
        seconds: For how long the address is suppressed.
    """

    account_id: int
    tenant_id: int
    accepted_id: UUID
    report_id: UUID
    numbers: Mapping[int, bytes]
    feedback_type: str
    seconds: float


Follow: TypeAlias = Callable[[Any, Sequence[int]], Awaitable[bytes]]


def _today() -> int:
    return int(time.time()) // _DAY


class ReturnedRows:
    """Keeps it.

    Args:
        pool: delivery's database.
        outbox: Facts on their way to the bus.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def bounced(self, bounce: Bounced) -> frozenset[int]:
        """Keep a bounce; return the recipients of whom it was not known."""
        place = (partition_of_account(bounce.account_id), bounce.account_id)

        async def follow(connection: Any, fresh: Sequence[int]) -> bytes:
            strikes = {bounce.strikes[number]: bounce.statuses[number] for number in fresh if number in bounce.strikes}
            if strikes:
                await connection.execute(
                    STRIKE, *place, list(strikes), list(strikes.values()), bounce.first, bounce.longest
                )
            await connection.execute(_COUNT, *place, _today(), bounce.tenant_id, len(fresh), 0)
            return events_pb2.MessageBounced(
                account_id=bounce.account_id, tenant_id=bounce.tenant_id, accepted_id=bounce.accepted_id.bytes,
                bounce_id=bounce.bounce_id.bytes,
                recipients=[
                    events_pb2.BouncedRecipient(recipient_no=number, status=bounce.statuses[number]) for number in fresh
                ],
            ).SerializeToString()  # fmt: skip

        return await self._once(place, bounce.accepted_id, BOUNCE, bounce.statuses, "delivery.message.bounced", follow)

    async def complained(self, complaint: Complained) -> frozenset[int]:
        """Keep a complaint; return the recipients of whom it was not known."""
        place = (partition_of_account(complaint.account_id), complaint.account_id)

        async def follow(connection: Any, fresh: Sequence[int]) -> bytes:
            keys = list({complaint.numbers[number] for number in fresh} - {b""})
            if keys:
                await connection.execute(COMPLAIN, *place, keys, complaint.seconds)
            await connection.execute(_COUNT, *place, _today(), complaint.tenant_id, 0, len(fresh))
            return events_pb2.MessageComplained(
                account_id=complaint.account_id, tenant_id=complaint.tenant_id, accepted_id=complaint.accepted_id.bytes,
                report_id=complaint.report_id.bytes, recipient_nos=fresh, feedback_type=complaint.feedback_type,
            ).SerializeToString()  # fmt: skip

        said = dict.fromkeys(complaint.numbers, complaint.feedback_type)
        return await self._once(place, complaint.accepted_id, COMPLAINT, said, "delivery.message.complained", follow)

    async def _once(
        self, place: tuple[int, int], accepted_id: UUID, kind: int, said: Mapping[int, str], entity: str, follow: Follow
    ) -> frozenset[int]:  # fmt: skip
        """Keep what was said of recipients, and let `follow` write what follows from what is new, in the same commit."""

        async def whole(connection: Any) -> tuple[frozenset[int], list[OutboxRow]]:
            rows = await connection.fetch(_PUT, *place, accepted_id, kind, list(said), list(said.values()))
            fresh = sorted(row["recipient_no"] for row in rows)
            if not fresh:
                return frozenset(), []
            events = [OutboxRow.make(place[0], entity, await follow(connection, fresh))]
            await self._outbox.insert(connection, events)
            return frozenset(fresh), events

        known, events = await in_transaction(self._pool, whole)
        self._outbox.published_soon(events)
        return known

    async def prune(self) -> None:
        """Forget what was said long ago."""
        for start in range(0, PARTITIONS, _SWEPT):
            for statement in (_PRUNE_SAID, _PRUNE_DAYS):
                await self._pool.execute(statement, list(range(start, start + _SWEPT)))
