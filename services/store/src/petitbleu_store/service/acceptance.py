"""Acceptance: one commit makes a batch of messages durable.

In that commit are the bodies (or the places of staged ones), a row a message, a row a recipient, the idempotency keys and one
outbox row. All ids of a batch share one partition, chosen at random, so that one event serves all of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter as Count
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from prometheus_client import Counter, Histogram

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.ids import PARTITIONS, BlobId, new_blob_id, partition_of_blob, slot_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import accept_rows
from petitbleu_store.adapters.accept_rows import STORED_KEY_OCTETS, MessageRow
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
from petitbleu_store.service.staging import Staged, StagedGoneError, Staging

_log = get_logger(__name__)
_accepted = Counter("petitbleu_store_accepted_total", "Messages by how they were accepted", ["status"])
_refused = Counter("petitbleu_store_accept_refused_total", "Batches refused at a bound", ["bound"])
_stepwise = Counter("petitbleu_store_accept_stepwise_total", "Batches that needed more than one statement")
_batch = Histogram("petitbleu_store_accept_batch", "Messages a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
_seconds = Histogram(
    "petitbleu_store_accept_seconds",
    "Time of a batch's commit",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1, 3),
)
_counted = {status: _accepted.labels(status=status.name.lower()) for status in AcceptedStatus}
MAX_ITEMS: Final = 256
MAX_RECIPIENTS: Final = 30_000  # recipient_no is a smallint
_KEY_OCTETS: Final = 32
_IN_THREAD_OCTETS: Final = 128 << 10
_BEFORE: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A message that is sealed and only needs its rows."""

    row: MessageRow
    key: bytes
    arriving: Arriving
    hot: HotBody | None
    staged: Staged | None


@dataclass(slots=True)
class _Committed:
    """What a commit did."""

    at: datetime = _BEFORE
    new: set[BlobId] = field(default_factory=set)
    known: dict[bytes, BlobId] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)


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
        retry_seconds: float,
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
        self._single_statement = True

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
        seen = sorted({key[:STORED_KEY_OCTETS] for key in seen_keys if len(key) == _KEY_OCTETS})
        prepared = await self._prepare_all(items, results, seen)
        batch = list(prepared.values())
        with _seconds.time():
            done = await self._commit(batch, seen)
        self._after(batch, done)
        for number, one in prepared.items():
            results[number] = _result(one, done)
        for status, count in Count(result.status for result in results.values()).items():
            _counted[status].inc(count)
        _batch.observe(len(items))
        return [results[number] for number in range(len(items))]

    async def known(self, idempotency_key: bytes) -> BlobId | None:
        """Return what was accepted under a key of 32 octets that is still kept; None when nothing was."""
        stored = idempotency_key[:STORED_KEY_OCTETS]
        return (await accept_rows.known_keys(self._pool, [stored])).get(stored)

    def _check_bounds(self) -> None:
        for bound, full in (("open-recipients", self._recipients.full), ("hot-octets", self._ring.full)):
            if full:
                _refused.labels(bound=bound).inc()
                raise StoreError(Problem.BUSY, bound)

    async def _prepare_all(
        self, items: Sequence[Arriving], results: dict[int, Accepted], seen: Sequence[bytes]
    ) -> dict[int, _Prepared]:
        """Seal what can be accepted; what cannot gets its result."""
        staged_ids = [item.staged_id for item in items if item.staged_id is not None]
        staged = await self._staging.find(self._pool, staged_ids) if staged_ids else {}
        partition = secrets.randbelow(PARTITIONS)
        prepared: dict[int, _Prepared] = {}
        for number, item in enumerate(items):
            if len(item.idempotency_key) != _KEY_OCTETS or not 0 < len(item.recipients) <= MAX_RECIPIENTS:
                results[number] = Accepted(AcceptedStatus.INVALID)
            elif item.staged_id is None:
                prepared[number] = await self._prepare(item, partition)
            elif (found := staged.get(item.staged_id)) is not None:
                prepared[number] = await self._prepare_staged(item, found)
            else:
                results[number] = await self._of_accepted(item.idempotency_key[:STORED_KEY_OCTETS], seen)
        return prepared

    async def _of_accepted(self, stored_key: bytes, seen: Sequence[bytes]) -> Accepted:
        """Return what became of a staged body that waits no more: a call whose answer was lost is made again."""
        known = {} if stored_key in seen else await accept_rows.known_keys(self._pool, [stored_key])
        if stored_key in known:
            return Accepted(AcceptedStatus.REPEAT, known[stored_key])
        return Accepted(AcceptedStatus.STAGED_UNKNOWN)

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
        row = self._row(item, blob_id, key, len(body), key_id, wrapper.wrap(key, blob_id.bytes))
        return _Prepared(row, key, item, HotBody(blob_id, sealed), None)

    async def _prepare_staged(self, item: Arriving, staged: Staged) -> _Prepared:
        key = (await self._intake.wrapper(staged.key_id)).unwrap(staged.wrapped_key, staged.blob_id.bytes)
        row = self._row(item, staged.blob_id, key, staged.size, staged.key_id, staged.wrapped_key)
        return _Prepared(row, key, item, None, staged)

    def _row(
        self, item: Arriving, blob_id: BlobId, key: bytes, size: int, key_id: int, wrapped_key: bytes
    ) -> MessageRow:
        hashed = self._intake.address_hash.of
        envelope = item.envelope
        return MessageRow(
            blob_id,
            item.idempotency_key[:STORED_KEY_OCTETS],
            size,
            key_id,
            wrapped_key,
            frames.seal_envelope(key, blob_id, envelopes.encode(envelope)),
            hashed(envelope.mail_from),
            [
                (tenant_id, hashed(recipient.address))
                for recipient, tenant_id in zip(envelope.recipients, item.recipients, strict=True)
            ],
            item.told,
            (envelope.submitter_account_id or None, envelope.submitter_tenant_id or None),
            item.hold_until,
        )

    async def _commit(self, batch: Sequence[_Prepared], seen: Sequence[bytes]) -> _Committed:
        if self._single_statement and batch and _is_plain(batch):
            try:
                return await self._all_at_once(batch, seen)
            except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                pass  # a repeat is among them: step by step, to learn which
            except asyncpg.FeatureNotSupportedError:
                # A distributed engine that does not take it as one statement.
                _log.warning("batches are committed step by step on this database")
                self._single_statement = False
        _stepwise.inc()
        return await in_transaction(self._pool, lambda connection: self._step_by_step(connection, batch, seen))

    async def _all_at_once(self, batch: Sequence[_Prepared], seen: Sequence[bytes]) -> _Committed:
        rows = [one.row for one in batch]
        event = accepted_event(partition_of_blob(rows[0].blob_id), batch)
        bodies = [one.hot.sealed for one in batch if one.hot is not None]
        slot = slot_of_blob(rows[0].blob_id)
        at = await accept_rows.insert_all_at_once(self._pool, slot, rows, bodies, event, seen, self._retry_seconds)
        return _Committed(at, {row.blob_id for row in rows}, {}, [event])

    async def _step_by_step(self, connection: Any, batch: Sequence[_Prepared], seen: Sequence[bytes]) -> _Committed:
        await accept_rows.forget_keys(connection, seen)
        done = _Committed()
        if not batch:
            return done
        at, done.new, done.known = await accept_rows.insert_keys(connection, [one.row for one in batch])
        if at is None:
            return done
        done.at = at
        new = [one for one in batch if one.row.blob_id in done.new]
        try:
            await self._staging.claim(connection, [one.staged for one in new if one.staged is not None])
        except StagedGoneError:
            raise StoreError(Problem.AWAY, "staged body gone") from None
        now = done.at.timestamp()
        await accept_rows.insert_messages(
            connection, [one.row for one in new],
            [one.row.hold_until - now if one.row.hold_until > now else self._retry_seconds for one in new],
        )  # fmt: skip
        await accept_rows.keep_keys(
            connection, [(one.row.stored_key, one.arriving.keep_key_days) for one in new if one.arriving.keep_key_days]
        )
        await self._bodies.insert_hot(connection, [one.hot for one in new if one.hot is not None])
        partitions: defaultdict[int, list[_Prepared]] = defaultdict(list)
        for one in new:
            partitions[partition_of_blob(one.row.blob_id)].append(one)
        for partition, group in partitions.items():
            due = [one for one in group if one.arriving.hold_until <= now]
            if due:
                done.outbox.append(accepted_event(partition, due))
        await self._outbox.insert(connection, done.outbox)
        return done

    def _after(self, batch: Sequence[_Prepared], done: _Committed) -> None:
        """After the commit: tell the bus, and keep at hand what delivery is going to ask for."""
        self._outbox.published_soon(done.outbox)
        new = [one for one in batch if one.row.blob_id in done.new]
        messages = [
            AcceptedMessage(one.row.blob_id, one.key, one.row.size, done.at, one.arriving.envelope) for one in new
        ]
        self._intake.remember(messages)
        hot = [one.hot for one in new if one.hot is not None]
        self._bodies.remember(hot)
        self._ring.added(sum(len(body.sealed) for body in hot))
        self._recipients.accepted(messages)


def _is_plain(batch: Sequence[_Prepared]) -> bool:
    """Whether one statement can take the batch: all hot, one table, one key, nothing held back or remembered for long."""
    first = batch[0].row
    slot = slot_of_blob(first.blob_id)
    return all(
        one.hot is not None
        and one.row.key_id == first.key_id
        and slot_of_blob(one.row.blob_id) == slot
        and not one.arriving.hold_until
        and not one.arriving.keep_key_days
        for one in batch
    )


def _result(one: _Prepared, done: _Committed) -> Accepted:
    if one.row.blob_id in done.new:
        return Accepted(AcceptedStatus.OK, one.row.blob_id)
    known = done.known.get(one.row.stored_key)
    if known is None:
        # Its key was there, and was forgotten between our two looks: the sender shall repeat.
        raise StoreError(Problem.AWAY, "key forgotten meanwhile")
    return Accepted(AcceptedStatus.REPEAT, known)


def accepted_event(partition: int, batch: Sequence[_Prepared]) -> OutboxRow:
    """Return the outbox row that tells delivery of messages of one partition."""
    event = events_pb2.MessageAccepted(partition=partition, accepted_ids=[one.row.blob_id.bytes for one in batch])
    if any(one.arriving.envelope.traceparent for one in batch):
        event.traceparents.extend(one.arriving.envelope.traceparent for one in batch)
    return OutboxRow.make(partition, "mail.message.accepted", event.SerializeToString())
