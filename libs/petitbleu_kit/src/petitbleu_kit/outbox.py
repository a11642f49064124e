"""The transactional outbox: a fact is a row of the commit that made it true, and leaves for the bus afterwards.

Rows are published right after the commit by whoever committed. What that missed (a crash, a bus that was away) a sweep
publishes, partition by partition, under `FOR UPDATE SKIP LOCKED`. Published rows stay 48 hours; when the stream turns out
to be younger than recorded, the bus was wiped, and what is kept is published again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from prometheus_client import Counter, Gauge

from petitbleu_kit.bus import ensure_stream, publish_all
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.publishing import Publisher

_log = get_logger(__name__)
_published = Counter("petitbleu_outbox_published_total", "Events published", ["how"])
_direct, _swept = _published.labels(how="direct"), _published.labels(how="sweep")
_pending = Gauge("petitbleu_outbox_pending", "Outbox rows found unpublished by the last sweep")

KEEP_HOURS: Final = 48
_SWEEP_AFTER_SECONDS: Final = 3
_SWEEP_ROWS: Final = 500
_MAX_WAITING: Final = 10_000  # rows in memory on their way to the bus

# The table each owning service makes in a migration of its own.
TABLE: Final = """
CREATE TABLE outbox (
    partition smallint NOT NULL,
    event_id bigint NOT NULL,
    subject text NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (partition, event_id)
);
CREATE INDEX outbox_unpublished ON outbox (partition, created_at) WHERE published_at IS NULL;
CREATE TABLE bus_stream (name text PRIMARY KEY, created_at text NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One fact to publish: its partition (0-1023), id, subject and protobuf payload."""

    partition: int
    event_id: int
    subject: str
    payload: bytes

    @classmethod
    def make(cls, partition: int, entity: str, payload: bytes) -> OutboxRow:
        """Return a row for subject `<entity>.v1.<partition>`, where entity is `<domain>.<entity>.<past-tense>`."""
        return cls(partition, new_row_id(), f"{entity}.v1.{partition}", payload)


class Outbox:
    """The outbox of one service.

    Args:
        pool: Its PostgreSQL pool (search_path set to its schema).
        client: The bus.
        service: Its name, for the statements' comments.
        stream: The stream that its subjects belong to.
        keep_condition: SQL on alias `o`: rows for which it is true are kept beyond 48 hours.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        client: Client,
        service: str,
        stream: str,
        keep_condition: str = "false",
    ) -> None:
        self._pool = pool
        self._client = client
        self._stream = stream
        self._keep_condition = keep_condition
        self._to_mark: list[tuple[int, int]] = []
        self._publisher: Publisher[tuple[int, int]] = Publisher(client, self._stored)
        self._to_publish: deque[OutboxRow] = deque()
        self._wake = asyncio.Event()
        self._insert_sql = (
            f"/* hot:{service}.outbox_insert */ INSERT INTO outbox (partition, event_id, subject, payload) "
            "SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bytea[])"
        )
        # A mark that is lost with the machine costs a second publication, and every consumer is idempotent: this commit alone
        # does not wait for the disk, for which somebody's mail may be waiting.
        self._mark_sql = (
            f"/* hot:{service}.outbox_mark */ UPDATE outbox o SET published_at = now() "
            "FROM unnest($1::smallint[], $2::bigint[]) AS done (partition, event_id), "
            "(SELECT set_config('synchronous_commit', 'off', true)) AS unsynced "
            "WHERE o.partition = done.partition AND o.event_id = done.event_id AND o.partition = ANY($1::smallint[])"
        )

    async def insert(self, connection: asyncpg.Connection[asyncpg.Record], rows: Sequence[OutboxRow]) -> None:
        """Write rows in the caller's transaction; after its commit the caller calls `published_soon`."""
        await connection.execute(
            self._insert_sql, [row.partition for row in rows], [row.event_id for row in rows],
            [row.subject for row in rows], [row.payload for row in rows],
        )  # fmt: skip

    def published_soon(self, rows: Sequence[OutboxRow]) -> None:
        """Publish committed rows now, in the background; what fails, or comes while the bus is away, is left to the sweep."""
        if not self._client.is_connected or len(self._to_publish) + self._publisher.waiting > _MAX_WAITING:
            return
        self._to_publish.extend(rows)
        self._wake.set()

    async def run(self) -> None:
        """Publish, mark and sweep until cancelled."""
        await asyncio.gather(
            self._publish_loop(),
            forever("outbox.mark", 0.5, self._mark),
            forever("outbox.sweep", 2.0, self.sweep),
            forever("outbox.stream", 5.0, self.check_stream),
            forever("outbox.prune", 600.0, self.prune),
        )

    async def _publish_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._publish_waiting()

    async def _publish_waiting(self) -> None:
        """Publish what waits, without waiting for the stream to store it: `_stored` hears of that."""
        while self._to_publish:
            rows = [self._to_publish.popleft() for _ in range(min(len(self._to_publish), 256))]
            try:
                await self._publisher.publish(
                    [((row.partition, row.event_id), row.subject, row.payload) for row in rows]
                )
            except (NatsError, OSError):
                _log.warning("events left to the sweep", count=len(rows))

    def _stored(self, key: tuple[int, int]) -> None:
        _direct.inc()
        self._to_mark.append(key)

    async def _mark(self) -> None:
        late = self._publisher.forget_late()
        if late:
            _log.warning("events left to the sweep", count=late)
        marks, self._to_mark = sorted(self._to_mark), []
        if marks:
            try:
                await self._pool.execute(self._mark_sql, [mark[0] for mark in marks], [mark[1] for mark in marks])
            except BaseException:
                self._to_mark.extend(marks)
                raise

    async def sweep(self) -> int:
        """Publish rows that were committed some seconds ago and never published; return how many."""
        if not self._client.is_connected:
            return 0
        partitions = await self._pool.fetch(
            "/* cold:outbox.unpublished */ SELECT partition, count(*) AS n FROM outbox WHERE published_at IS NULL "
            "AND created_at < now() - make_interval(secs => $1) GROUP BY partition", _SWEEP_AFTER_SECONDS,
        )  # fmt: skip
        _pending.set(sum(row["n"] for row in partitions))
        total = 0
        for found in partitions:
            async with self._pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(
                    "/* cold:outbox.lease */ SELECT partition, event_id, subject, payload FROM outbox WHERE partition = $1 "
                    "AND published_at IS NULL AND created_at < now() - make_interval(secs => $2) "
                    "ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED",
                    found["partition"], _SWEEP_AFTER_SECONDS, _SWEEP_ROWS,
                )  # fmt: skip
                stored = await self._publish_and_wait([OutboxRow(*row.values()) for row in rows])
                done = [row["event_id"] for row, ok in zip(rows, stored, strict=True) if ok]
                await connection.execute(
                    "/* cold:outbox.swept */ UPDATE outbox SET published_at = now() WHERE partition = $1 AND event_id = ANY($2)",
                    found["partition"], done,
                )  # fmt: skip
                total += len(done)
        return total

    async def _publish_and_wait(self, rows: Sequence[OutboxRow]) -> list[bool]:
        try:
            stored = await publish_all(self._client, [(row.subject, row.payload) for row in rows])
        except (NatsError, OSError):
            stored = [False] * len(rows)
        if not all(stored):
            _log.warning("events left to the next sweep", count=len(rows) - sum(stored))
        _swept.inc(sum(stored))
        return stored

    async def check_stream(self) -> bool:
        """Make the stream when it is missing; when it is younger than recorded, publish what is kept again."""
        if not self._client.is_connected:
            return False
        created = await ensure_stream(self._client, self._stream)
        known = await self._pool.fetchval(
            "/* cold:outbox.stream */ SELECT created_at FROM bus_stream WHERE name = $1", self._stream
        )
        if known == created:
            return False
        if known is not None:
            _log.warning("the bus was wiped: publishing again what is kept", stream=self._stream)
            self._to_mark.clear()  # what these went to is gone
        async with self._pool.acquire() as connection, connection.transaction():
            if known is not None:
                await connection.execute(
                    "/* cold:outbox.again */ UPDATE outbox o SET published_at = NULL "
                    f"WHERE published_at > now() - interval '{KEEP_HOURS} hours' OR {self._keep_condition}"
                )
            await connection.execute(
                "/* cold:outbox.record */ INSERT INTO bus_stream (name, created_at) VALUES ($1, $2) "
                "ON CONFLICT (name) DO UPDATE SET created_at = excluded.created_at", self._stream, created,
            )  # fmt: skip
        return known is not None

    async def prune(self) -> None:
        """Delete rows published more than 48 hours ago that nothing needs any more."""
        await self._pool.execute(
            "/* cold:outbox.prune */ DELETE FROM outbox o WHERE published_at < now() - "
            f"interval '{KEEP_HOURS} hours' AND NOT ({self._keep_condition})"
        )

    async def drain(self) -> None:
        """Publish and mark what is left, before the process ends."""
        await self._publish_waiting()
        await self._publisher.settled()
        await self._mark()
