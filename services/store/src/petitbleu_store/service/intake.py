"""Keys and envelopes of accepted messages, until and while accounts have them.

A blob's key is wrapped by the intake key of its day. An intake key is destroyed once its day is over and nothing of it is open,
so that mail which nobody kept can be read by nobody. When a recipient is parked, the message moves to the operations key; while one is
queued for another server, the account of whoever submitted it opens it too (`service/queued`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import LOCK_CLASS, LOCK_INTAKE_KEY, Executor, Pool
from petitbleu_store.domain import envelope as envelopes
from petitbleu_store.domain import frames
from petitbleu_store.domain.envelope import Envelope
from petitbleu_store.domain.keys import AddressHash, Wrapper, WrongKeyError, derive, new_key
from petitbleu_store.ports import KeyEncryption
from petitbleu_store.service import queued
from petitbleu_store.service.queued import QueuedKeys

_log = get_logger(__name__)
OPERATIONS_KEY: Final = 0
_REFRESH_SECONDS: Final = 300
_REMEMBERED: Final = 8192

_LOAD: Final = (
    "/* hot:store.accepted_load */ SELECT a.partition, a.accepted_id, a.received_at, a.size, a.key_id, a.wrapped_key, a.envelope, "
    "a.queued_key, a.submitter_account_id "
    "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, accepted_id) JOIN accepted a "
    "ON a.partition = want.partition AND a.accepted_id = want.accepted_id AND a.partition = ANY($1::smallint[])"
)


@dataclass(frozen=True, slots=True)
class AcceptedMessage:
    """What is known of an accepted message, opened.

    Attributes:
        blob_id: Its id, which is its blob's.
        key: The blob's key, 32 octets.
        size: Plain octets of the blob.
        received_at: When it was accepted (UTC).
        envelope: Addresses and parameters.
    """

    blob_id: BlobId
    key: bytes
    size: int
    received_at: datetime
    envelope: Envelope


def _purpose(key_id: int) -> bytes:
    return b"operations" if key_id == OPERATIONS_KEY else b"intake:%d" % key_id


class Intake:
    """The intake keys, the operations key, and what they open."""

    def __init__(self, pool: Pool, key_encryption: KeyEncryption, queued_keys: QueuedKeys) -> None:
        self._pool = pool
        self.queued_keys = queued_keys
        self._key_encryption = key_encryption
        self._wrappers: dict[int, Wrapper] = {}
        self._current: tuple[int, Wrapper] | None = None
        self._current_until = 0.0
        self._lock = asyncio.Lock()
        self._known: OrderedDict[UUID, AcceptedMessage] = OrderedDict()
        self.address_hash: AddressHash

    async def start(self) -> None:
        """Make the operations key and the day's intake key when they are missing, and read them."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "/* cold:store.intake_lock */ SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, LOCK_INTAKE_KEY
            )
            wrapped = await connection.fetchval(
                "/* cold:store.ops_key */ SELECT wrapped_key FROM ops_key WHERE key_id = 0"
            )
            if wrapped is None:
                wrapped = await self._key_encryption.wrap(new_key(), _purpose(OPERATIONS_KEY))
                await connection.execute(
                    "/* cold:store.ops_key_new */ INSERT INTO ops_key (key_id, wrapped_key) VALUES (0, $1)", wrapped
                )
        key = await self._key_encryption.unwrap(wrapped, _purpose(OPERATIONS_KEY))
        # Derived from the operations key, which outlives rotations of the key-encryption key.
        self.address_hash = AddressHash(derive(key, b"petitbleu address hash"))
        self._wrappers[OPERATIONS_KEY] = Wrapper(key)
        await self.current()

    async def current(self) -> tuple[int, Wrapper]:
        """Id and wrapper of the intake key for what is accepted now.

        Days are counted by the database's clock, so that a clock that jumps on one machine makes no key too many.
        """
        now = asyncio.get_running_loop().time()
        if self._current is not None and now < self._current_until:
            return self._current
        async with self._lock:
            if self._current is None or now >= self._current_until:
                key_id, wrapped = await self._of_today()
                if self._current is None or self._current[0] != key_id:
                    wrapper = Wrapper(await self._key_encryption.unwrap(wrapped, _purpose(key_id)))
                    self._wrappers[key_id] = wrapper
                    self._current = (key_id, wrapper)
                self._current_until = now + _REFRESH_SECONDS
        return self._current

    async def _of_today(self) -> tuple[int, bytes]:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "/* cold:store.intake_lock */ SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, LOCK_INTAKE_KEY
            )
            row = await connection.fetchrow(
                "/* cold:store.intake_today */ SELECT key_id, wrapped_key FROM intake_key WHERE wrapped_key IS NOT NULL "
                "AND created_at >= date_trunc('day', now()) ORDER BY key_id DESC LIMIT 1"
            )
            if row is None:
                key_id = await connection.fetchval(
                    "/* cold:store.intake_next */ SELECT coalesce(max(key_id), 0) + 1 FROM intake_key"
                )
                wrapped = await self._key_encryption.wrap(new_key(), _purpose(key_id))
                await connection.execute(
                    "/* cold:store.intake_new */ INSERT INTO intake_key (key_id, wrapped_key) VALUES ($1, $2)",
                    key_id,
                    wrapped,
                )
                _log.info("intake key made", key_id=key_id)
                return key_id, wrapped
            return row["key_id"], row["wrapped_key"]

    async def wrapper(self, key_id: int) -> Wrapper:
        """Return the wrapper of an intake key, or of the operations key (0).

        Raises:
            WrongKeyError: it was destroyed.
        """
        wrapper = self._wrappers.get(key_id)
        if wrapper is None:
            wrapped = await self._pool.fetchval(
                "/* cold:store.intake_key */ SELECT wrapped_key FROM intake_key WHERE key_id = $1", key_id
            )
            if wrapped is None:
                raise WrongKeyError
            wrapper = self._wrappers[key_id] = Wrapper(await self._key_encryption.unwrap(wrapped, _purpose(key_id)))
        return wrapper

    def remember(self, messages: Sequence[AcceptedMessage]) -> None:
        """Keep what was just accepted at hand: delivery asks for it within milliseconds."""
        for message in messages:
            self._known[message.blob_id] = message
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def load(self, executor: Executor, ids: Sequence[BlobId]) -> dict[BlobId, AcceptedMessage]:
        """Return accepted messages with their keys; those that are unknown, or whose key is destroyed, are left out."""
        found: dict[BlobId, AcceptedMessage] = {}
        missing: list[BlobId] = []
        for blob_id in ids:
            known = self._known.get(blob_id)
            if known is None:
                missing.append(blob_id)
            else:
                found[blob_id] = known
        if missing:
            rows = await executor.fetch(_LOAD, [partition_of_blob(blob_id) for blob_id in missing], missing)
            for row in rows:
                blob_id = BlobId(UUID(int=row["accepted_id"].int))
                try:
                    key = await self._key_of(executor, blob_id, row)
                    envelope = envelopes.decode(frames.open_envelope(key, blob_id, row["envelope"]))
                except (WrongKeyError, frames.DamagedError, ValueError):
                    _log.error("accepted message does not open", accepted_id=str(blob_id))
                    continue
                found[blob_id] = AcceptedMessage(blob_id, key, row["size"], row["received_at"], envelope)
            self.remember([found[blob_id] for blob_id in missing if blob_id in found])
        return found

    async def _key_of(self, executor: Executor, blob_id: BlobId, row: Any) -> bytes:
        """Return a message's key: by what queued mail is read with, or as it was accepted, until the key of that day is destroyed.

        Raises:
            WrongKeyError: both are gone.
        """
        if row["queued_key"] is not None:
            key = await self.queued_keys.open(
                executor, self._wrappers[OPERATIONS_KEY], blob_id, row["queued_key"], row["submitter_account_id"] or 0
            )
            if key is not None:
                return key
        return (await self.wrapper(row["key_id"])).unwrap(row["wrapped_key"], blob_id.bytes)

    async def to_queued(self, executor: Executor, ids: Sequence[BlobId]) -> list[Sequence[Any]]:
        """Return the arrays of `queued.KEYS` for messages that are to be queued; those that do not open are left out."""
        messages = await self.load(executor, list(dict.fromkeys(ids)))
        kept = [blob_id for blob_id in dict.fromkeys(ids) if blob_id in messages]
        sealed = await self.queued_keys.seal(
            executor, self._wrappers[OPERATIONS_KEY],
            [(one, messages[one].key, messages[one].envelope.submitter_account_id) for one in kept],
        )  # fmt: skip
        return queued.key_arrays(kept, sealed)

    def forget_account(self, account_id: int) -> None:
        """Forget what an account submitted: it was erased."""
        for blob_id in [one for one, known in self._known.items() if known.envelope.submitter_account_id == account_id]:
            del self._known[blob_id]

    async def to_operations_key(self, executor: Executor, ids: Sequence[BlobId]) -> None:
        """Wrap the keys of messages by the operations key, in the transaction that parks a recipient of theirs."""
        messages = await self.load(executor, ids)
        wrapper = self._wrappers[OPERATIONS_KEY]
        kept = [blob_id for blob_id in dict.fromkeys(ids) if blob_id in messages]
        await executor.execute(
            "/* cold:store.accepted_to_operations */ UPDATE accepted a SET key_id = 0, wrapped_key = w.wrapped_key "
            "FROM unnest($1::smallint[], $2::uuid[], $3::bytea[]) AS w (partition, accepted_id, wrapped_key) "
            "WHERE a.partition = w.partition AND a.accepted_id = w.accepted_id AND a.partition = ANY($1::smallint[])",
            [partition_of_blob(blob_id) for blob_id in kept], kept,
            [wrapper.wrap(messages[blob_id].key, blob_id.bytes) for blob_id in kept],
        )  # fmt: skip

    async def destroy_spent(self) -> int:
        """Destroy intake keys whose day is over by two hours and of whose mail no recipient is open; return how many.

        Mail of theirs with a parked recipient is under the operations key by then, unless it could not be opened: what was
        parked for that keeps its intake key. Queued mail has a key of its own. What is under the operations key and has neither open nor queued nor parked recipients any
        more loses its key here too.

        A machine that slept, or a clock put right, lets days pass at once: so a key goes only when every process has had
        the time to hear of a later one, and uses that.
        """
        self._current_until = 0.0
        await self.current()
        spent = await self._pool.fetch(
            "/* cold:store.intake_spent */ UPDATE intake_key k SET wrapped_key = NULL, destroyed_at = now() "
            "WHERE wrapped_key IS NOT NULL AND date_trunc('day', created_at) + interval '26 hours' < now() "
            "AND NOT EXISTS (SELECT 1 FROM recipient r JOIN accepted a USING (partition, accepted_id) "
            "WHERE (r.outcome IN (1, 6) OR r.outcome = 4 AND a.queued_key IS NULL) AND a.key_id = k.key_id) "
            "AND NOT EXISTS (SELECT 1 FROM staged s WHERE s.key_id = k.key_id) "
            "AND EXISTS (SELECT 1 FROM intake_key n WHERE n.key_id > k.key_id AND n.created_at < now() - make_interval(secs => $1)) "
            "RETURNING key_id",
            2.0 * _REFRESH_SECONDS,
        )
        await self._pool.execute(
            "/* cold:store.operations_spent */ UPDATE accepted a SET wrapped_key = '' WHERE key_id = 0 AND wrapped_key <> '' "
            "AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.partition = a.partition AND r.accepted_id = a.accepted_id "
            "AND r.outcome IN (1, 4, 6))"
        )
        for row in spent:
            self._wrappers.pop(row["key_id"], None)
            _log.info("intake key destroyed", key_id=row["key_id"])
        if spent:
            self._known.clear()
        return len(spent)

    async def rotate(self) -> int:
        """Wrap the intake keys and the operations key by the active key-encryption key; return how many changed."""
        rotated = 0
        for table in ("intake_key", "ops_key"):
            rows = await self._pool.fetch(
                f"/* cold:store.rotate */ SELECT key_id, wrapped_key FROM {table} WHERE wrapped_key IS NOT NULL"
            )
            for row in rows:
                if self._key_encryption.is_current(row["wrapped_key"]):
                    continue
                purpose = _purpose(row["key_id"])
                key = await self._key_encryption.unwrap(row["wrapped_key"], purpose)
                wrapped = await self._key_encryption.wrap(key, purpose)
                status = await self._pool.execute(
                    f"/* cold:store.rotate */ UPDATE {table} SET wrapped_key = $2 WHERE key_id = $1 AND wrapped_key = $3",
                    row["key_id"], wrapped, row["wrapped_key"],
                )  # fmt: skip
                rotated += status == "UPDATE 1"
        return rotated
