"""Acceptance: one commit makes a batch of messages durable.

In that commit are the bodies (or the places of staged ones), a row a message, a row a recipient, the idempotency keys and one
outbox row. All ids of a batch share one partition, chosen at random, so that one event serves all of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import asyncpg.pool
from prometheus_client import Counter, Histogram

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.ids import PARTITIONS, BlobId, new_blob_id, partition_of_blob
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.postgres import Pool
from petitbleu_store.domain import envelope as envelopes
from petitbleu_store.domain import frames
from petitbleu_store.domain.acceptance import Accepted, AcceptedStatus, Arriving
from petitbleu_store.domain.keys import new_key
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.bodies import Bodies, HotBody
from petitbleu_store.service.intake import AcceptedMessage, Intake
from petitbleu_store.service.recipients import Recipients
from petitbleu_store.service.ring import Ring
from petitbleu_store.service.staging import Staged, Staging

Connection = asyncpg.pool.PoolConnectionProxy

_accepted = Counter("petitbleu_store_accepted_total", "Messages by how they were accepted", ["status"])
_refused = Counter("petitbleu_store_accept_refused_total", "Batches refused at a bound", ["bound"])
_batch = Histogram("petitbleu_store_accept_batch", "Messages a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
_seconds = Histogram(
    "petitbleu_store_accept_seconds",
    "Time of a batch's commit",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1, 3),
)
MAX_ITEMS: Final = 256
MAX_RECIPIENTS: Final = 30_000  # recipient_no is a smallint
_KEY_OCTETS: Final = 32
_STORED_KEY_OCTETS: Final = 16
_IN_THREAD_OCTETS: Final = 128 << 10
_RETRY_SECONDS: Final = 600.0

_FORGET: Final = (
    "/* hot:store.accept_key_seen */ DELETE FROM accept_key k USING unnest($1::smallint[], $2::bytea[]) AS seen (partition, key) "
    "WHERE k.partition = seen.partition AND k.key = seen.key AND k.partition = ANY($1::smallint[])"
)
_KEYS: Final = (
    "/* hot:store.accept_key */ INSERT INTO accept_key (partition, key, accepted_id) "
    "SELECT * FROM unnest($1::smallint[], $2::bytea[], $3::uuid[]) ON CONFLICT (partition, key) DO NOTHING "
    "RETURNING accepted_id, created_at"
)
_KNOWN: Final = (
    "/* hot:store.accept_key_known */ SELECT k.key, k.accepted_id FROM unnest($1::smallint[], $2::bytea[]) AS want (partition, key) "
    "JOIN accept_key k ON k.partition = want.partition AND k.key = want.key AND k.partition = ANY($1::smallint[])"
)
_ACCEPTED: Final = (
    "/* hot:store.accepted */ INSERT INTO accepted (partition, accepted_id, received_at, size, key_id, wrapped_key, envelope, "
    "from_hash) SELECT a.partition, a.accepted_id, now(), a.size, a.key_id, a.wrapped_key, a.envelope, a.from_hash "
    "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::integer[], $5::bytea[], $6::bytea[], $7::bigint[]) "
    "AS a (partition, accepted_id, size, key_id, wrapped_key, envelope, from_hash)"
)
_RECIPIENTS: Final = (
    "/* hot:store.recipient */ INSERT INTO recipient (partition, accepted_id, recipient_no, tenant_id, to_hash, next_attempt_at) "
    "SELECT r.*, now() + make_interval(secs => $6) FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::bigint[], "
    "$5::bigint[]) AS r (partition, accepted_id, recipient_no, tenant_id, to_hash)"
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A message that is sealed and only needs its rows."""

    arriving: Arriving
    message: AcceptedMessage
    key_id: int
    wrapped_key: bytes
    sealed_envelope: bytes
    hot: HotBody | None
    staged: Staged | None

    @property
    def stored_key(self) -> bytes:
        """What is kept of the idempotency key: 128 bits of an HMAC leave no accident."""
        return self.arriving.idempotency_key[:_STORED_KEY_OCTETS]


@dataclass(slots=True)
class _Committed:
    """What a transaction did."""

    received_at: datetime | None = None
    new: set[BlobId] = field(default_factory=set)
    known: dict[bytes, BlobId] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)


def partition_of_key(key: bytes) -> int:
    """Partition (0-1023) of an idempotency key: its first ten bits."""
    return int.from_bytes(key[:2], "big") >> 6


class Acceptance:
    """Makes messages durable."""

    def __init__(
        self,
        pool: Pool,
        *,
        intake: Intake,
        bodies: Bodies,
        ring: Ring,
        recipients: Recipients,
        staging: Staging,
        outbox: Outbox,
        inline_octets: int,
        level: int,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._pool = pool
        self._intake = intake
        self._bodies = bodies
        self._ring = ring
        self._recipients = recipients
        self._staging = staging
        self._outbox = outbox
        self._inline_octets = inline_octets
        self._level = level
        self._retry_seconds = retry_seconds

    async def accept(self, items: Sequence[Arriving], seen_keys: Sequence[bytes] = ()) -> list[Accepted]:
        """Commit a batch; when it returns, what has status OK or REPEAT is on stable storage.

        Args:
            items: At most 256 messages.
            seen_keys: Idempotency keys to forget first: the peers of those saw their 250 (RFC 1047).

        Raises:
            StoreError: BUSY at a bound; INVALID when there are too many items.
            asyncpg.PostgresError: nothing, or everything, was committed; the keys make a repeat harmless.
        """
        if len(items) > MAX_ITEMS:
            raise StoreError(Problem.INVALID, f"more than {MAX_ITEMS} items")
        if items:
            self._check_bounds()
        results: dict[int, Accepted] = {}
        prepared: dict[int, _Prepared] = {}
        valid: list[int] = []
        for number, item in enumerate(items):
            if len(item.idempotency_key) != _KEY_OCTETS or not 0 < len(item.recipients) <= MAX_RECIPIENTS:
                results[number] = Accepted(AcceptedStatus.INVALID)
            else:
                valid.append(number)
        staged = await self._staging.find(
            self._pool, [staged_id for number in valid if (staged_id := items[number].staged_id) is not None]
        )
        partition = secrets.randbelow(PARTITIONS)
        for number in valid:
            item = items[number]
            if item.staged_id is None:
                prepared[number] = await self._prepare(item, partition)
            elif (found := staged.get(item.staged_id)) is not None:
                prepared[number] = await self._prepare_staged(item, found)
            else:
                results[number] = Accepted(AcceptedStatus.STAGED_UNKNOWN)
        batch = list(prepared.values())
        with _seconds.time():
            done = await in_transaction(self._pool, lambda connection: self._commit(connection, batch, seen_keys))
        self._after(batch, done)
        for number, one in prepared.items():
            results[number] = self._result(one, done)
        for result in results.values():
            _accepted.labels(status=result.status.name.lower()).inc()
        _batch.observe(len(items))
        return [results[number] for number in range(len(items))]

    @staticmethod
    def _result(one: _Prepared, done: _Committed) -> Accepted:
        if one.message.blob_id in done.new:
            return Accepted(AcceptedStatus.OK, one.message.blob_id)
        known = done.known.get(one.stored_key)
        if known is None:
            # Its key is there, but the row that had it was deleted between our two looks: as good as never seen.
            raise StoreError(Problem.AWAY)
        return Accepted(AcceptedStatus.REPEAT, known)

    def _check_bounds(self) -> None:
        for bound, full in (("open-recipients", self._recipients.full), ("hot-octets", self._ring.full)):
            if full:
                _refused.labels(bound=bound).inc()
                raise StoreError(Problem.BUSY, bound)

    async def _prepare(self, item: Arriving, partition: int) -> _Prepared:
        body = item.trace + item.body
        blob_id = new_blob_id(partition, self._ring.slot)
        key = new_key()
        if len(body) > _IN_THREAD_OCTETS:
            sealed = await asyncio.to_thread(frames.seal, key, blob_id, body, self._level)
        else:
            sealed = frames.seal(key, blob_id, body, self._level)
        if len(sealed) > self._inline_octets:
            return await self._prepare_staged(item, await self._staging.put(body))
        key_id, wrapper = await self._intake.current()
        wrapped = wrapper.wrap(key, blob_id.bytes)
        return self._with_envelope(item, blob_id, key, len(body), key_id, wrapped, HotBody(blob_id, sealed), None)

    async def _prepare_staged(self, item: Arriving, staged: Staged) -> _Prepared:
        key = (await self._intake.wrapper(staged.key_id)).unwrap(staged.wrapped_key, staged.blob_id.bytes)
        return self._with_envelope(
            item, staged.blob_id, key, staged.size, staged.key_id, staged.wrapped_key, None, staged
        )

    @staticmethod
    def _with_envelope(
        item: Arriving, blob_id: BlobId, key: bytes, size: int, key_id: int, wrapped: bytes, hot: HotBody | None,
        staged: Staged | None,
    ) -> _Prepared:  # fmt: skip
        sealed_envelope = frames.seal_envelope(key, blob_id, envelopes.encode(item.envelope))
        message = AcceptedMessage(blob_id, key, size, _UNKNOWN_TIME, item.envelope)
        return _Prepared(item, message, key_id, wrapped, sealed_envelope, hot, staged)

    async def _commit(self, connection: Any, batch: Sequence[_Prepared], seen_keys: Sequence[bytes]) -> _Committed:
        done = _Committed()
        if seen_keys:
            seen = sorted({key[:_STORED_KEY_OCTETS] for key in seen_keys if len(key) == _KEY_OCTETS})
            await connection.execute(_FORGET, [partition_of_key(key) for key in seen], seen)
        if not batch:
            return done
        # Sorted, so that two batches with the same keys wait for each other instead of deadlocking.
        keyed = sorted(batch, key=lambda one: one.stored_key)
        partitions = [partition_of_key(one.stored_key) for one in keyed]
        keys = [one.stored_key for one in keyed]
        rows = await connection.fetch(_KEYS, partitions, keys, [one.message.blob_id for one in keyed])
        if len(rows) < len(batch):
            known = await connection.fetch(_KNOWN, partitions, keys)
            done.known = {row["key"]: row["accepted_id"] for row in known}
        if not rows:
            return done
        done.received_at = rows[0]["created_at"]
        done.new = {row["accepted_id"] for row in rows}
        await self._insert(connection, [one for one in batch if one.message.blob_id in done.new], done)
        return done

    async def _insert(self, connection: Any, new: Sequence[_Prepared], done: _Committed) -> None:
        ids = [one.message.blob_id for one in new]
        address_hash = self._intake.address_hash
        await self._staging.claim(connection, [one.staged for one in new if one.staged is not None])
        await connection.execute(
            _ACCEPTED, [partition_of_blob(blob_id) for blob_id in ids], ids, [one.message.size for one in new],
            [one.key_id for one in new], [one.wrapped_key for one in new], [one.sealed_envelope for one in new],
            [address_hash.of(one.arriving.envelope.mail_from) for one in new],
        )  # fmt: skip
        recipients = [
            (
                partition_of_blob(one.message.blob_id),
                one.message.blob_id,
                number,
                tenant_id,
                address_hash.of(recipient.address),
            )
            for one in new
            for number, (recipient, tenant_id) in enumerate(
                zip(one.arriving.envelope.recipients, one.arriving.recipients, strict=True)
            )
        ]
        await connection.execute(_RECIPIENTS, *zip(*recipients, strict=True), self._retry_seconds)
        await self._bodies.insert_hot(connection, [one.hot for one in new if one.hot is not None])
        partitions: defaultdict[int, list[_Prepared]] = defaultdict(list)
        for one in new:
            partitions[partition_of_blob(one.message.blob_id)].append(one)
        done.outbox = [
            accepted_event(partition, [one.message for one in group]) for partition, group in partitions.items()
        ]
        await self._outbox.insert(connection, done.outbox)

    def _after(self, batch: Sequence[_Prepared], done: _Committed) -> None:
        """After the commit: tell the bus, and keep at hand what delivery is going to ask for."""
        self._outbox.published_soon(done.outbox)
        new = [one for one in batch if one.message.blob_id in done.new]
        if not new or done.received_at is None:
            return
        at = done.received_at
        self._intake.remember(
            [AcceptedMessage(m.blob_id, m.key, m.size, at, m.envelope) for m in (one.message for one in new)]
        )
        hot = [one.hot for one in new if one.hot is not None]
        self._bodies.remember(hot)
        self._ring.added(sum(len(body.sealed) for body in hot))
        self._recipients.opened(sum(len(one.arriving.recipients) for one in new))


_UNKNOWN_TIME: Final = datetime.fromtimestamp(0).astimezone()


def accepted_event(partition: int, messages: Sequence[AcceptedMessage]) -> OutboxRow:
    """Return the outbox row that tells delivery of messages of one partition."""
    event = events_pb2.MessageAccepted(
        partition=partition, accepted_ids=[message.blob_id.bytes for message in messages]
    )
    if any(message.envelope.traceparent for message in messages):
        event.traceparents.extend(message.envelope.traceparent for message in messages)
    return OutboxRow.make(partition, "mail.message.accepted", event.SerializeToString())
