"""Uploads: octets that a person sent and to which no message refers yet (RFC 8620 §6.1), kept for some days within a bound (ADR 13)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from prometheus_client import Counter

from petitbleu_kit.ids import BlobId, new_blob_id
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.s3 import blob_name
from petitbleu_store.core import Core
from petitbleu_store.domain import frames
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.frames import DamagedError
from petitbleu_store.domain.keys import new_key
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.bodies import BodyMissingError, Place
from petitbleu_store.service.ring import COLD_SLOT
from petitbleu_store.service.staging import Staged, StagedGoneError, Staging

_log = get_logger(__name__)
_kept = Counter("petitbleu_store_uploads_total", "Uploads kept")
_let_go = Counter("petitbleu_store_uploads_let_go_total", "Uploads let go of", ["why"])
MAX_IDS: Final = 1000
PIECE_OCTETS: Final = 256 << 10
_ROWS: Final = 1000
_NOISE_BITS: Final = 21

_INSERT: Final = """/* hot:store.upload_insert */ INSERT INTO upload (partition, account_id, upload_id, size, octets, blob_id, sealed_key, body)
SELECT a.partition, a.account_id, $3::bigint, $4::bigint, $5::bigint, $6::uuid, $7::bytea, $8::bytea FROM account a
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""
# The newest stay; the one that was just made always does.
_MAKE_ROOM: Final = """/* hot:store.upload_room */ DELETE FROM upload WHERE partition = $1 AND account_id = $2 AND upload_id IN (
    SELECT upload_id FROM (SELECT u.upload_id, sum(u.size) OVER newest AS together, count(*) OVER newest AS place
        FROM upload u WHERE u.partition = $1 AND u.account_id = $2 WINDOW newest AS (ORDER BY u.upload_id DESC)) AS aged
    WHERE upload_id <> $3 AND (together > $4::bigint OR place > $5::bigint)) RETURNING blob_id, octets, body IS NULL AS alone"""
_FIND: Final = """/* hot:store.uploads_find */ SELECT upload_id, size FROM upload
WHERE partition = $1 AND account_id = $2 AND upload_id = ANY($3::bigint[])"""
_READ: Final = """/* hot:store.upload_read */ SELECT size, octets, blob_id, sealed_key, body FROM upload
WHERE partition = $1 AND account_id = $2 AND upload_id = $3"""
_OLD: Final = """/* cold:store.uploads_old */ DELETE FROM upload WHERE (partition, account_id, upload_id) IN
    (SELECT partition, account_id, upload_id FROM upload WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)
RETURNING blob_id, octets, body IS NULL AS alone"""
_ERASE: Final = """/* cold:store.uploads_erase */ DELETE FROM upload WHERE partition = $1 AND account_id = $2 AND upload_id IN
    (SELECT upload_id FROM upload WHERE partition = $1 AND account_id = $2 LIMIT $3) RETURNING blob_id, octets, body IS NULL AS alone"""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload: its id in the account, and its octets."""

    upload_id: int
    size: int


class Uploads:
    """Keeps uploads, each under a key of its own that is sealed by its account's.

    Args:
        core: The store's shared parts.
        staging: Where large ones go on their way; not that of accepted mail, so that slow senders here hold up none of it.
    """

    def __init__(self, core: Core, staging: Staging) -> None:
        self._core = core
        self._staging = staging

    async def add(self, account: KnownAccount, pieces: AsyncIterator[bytes]) -> Upload:
        """Keep an upload; it is on stable storage when this returns. The account's oldest make room for it (RFC 8620 §6).

        Raises:
            StoreError: INVALID when it is too large, BUSY at a bound, AWAY when S3 is and it is large, NOT_FOUND.
        """
        head = bytearray()
        async for piece in pieces:
            head += piece
            if len(head) > self._core.settings.inline_octets:
                break
        else:
            return await self._keep_small(account, bytes(head))

        async def whole() -> AsyncIterator[bytes]:
            yield bytes(head)
            head.clear()
            async for more in pieces:
                yield more

        staged = await self._staging.stage(whole())
        key = (await self._core.intake.wrapper(staged.key_id)).unwrap(staged.wrapped_key, staged.blob_id.bytes)
        try:
            return await self._keep(account, staged.blob_id, key, staged.size, staged.octets, staged)
        except StagedGoneError:
            raise StoreError(Problem.BUSY, "the upload took too long") from None

    async def _keep_small(self, account: KnownAccount, data: bytes) -> Upload:
        key = new_key()
        blob_id = new_blob_id(account.partition, COLD_SLOT)
        sealed = await asyncio.to_thread(frames.seal, key, blob_id, data, self._core.settings.zstd_level)
        return await self._keep(account, blob_id, key, len(data), len(sealed), sealed)

    async def _keep(
        self, account: KnownAccount, blob_id: BlobId, key: bytes, size: int, octets: int, body: bytes | Staged
    ) -> Upload:
        settings = self._core.settings
        upload_id = (time.time_ns() // 1_000_000) << _NOISE_BITS | secrets.randbits(_NOISE_BITS)
        sealed_key = account.cipher.seal(key, _place(blob_id))
        place = (account.partition, account.account_id)

        async def work(connection: Connection) -> int:
            body_here = None if isinstance(body, Staged) else body
            if isinstance(body, Staged):
                await self._staging.take(connection, [body])
            done = await connection.execute(_INSERT, *place, upload_id, size, octets, blob_id, sealed_key, body_here)
            if done != "INSERT 0 1":
                raise StoreError(Problem.NOT_FOUND)
            gone = await connection.fetch(
                _MAKE_ROOM, *place, upload_id, settings.upload_quota_octets, settings.upload_quota_count
            )
            await self._give_back(connection, gone)
            return len(gone)

        gone = await in_transaction(self._core.pool, work)
        _kept.inc()
        if gone:
            _let_go.labels(why="room").inc(gone)
        return Upload(upload_id, size)

    async def find(self, account: KnownAccount, upload_ids: Sequence[int]) -> list[Upload]:
        """Return those of the uploads that are there, in the order of the ids."""
        if len(upload_ids) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many uploads")
        rows = await self._core.pool.fetch(_FIND, account.partition, account.account_id, list(upload_ids))
        sizes = {row["upload_id"]: row["size"] for row in rows}
        return [Upload(number, sizes[number]) for number in dict.fromkeys(upload_ids) if number in sizes]

    async def read(self, account: KnownAccount, upload_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield a range in pieces of at most 256 KiB; `length` 0 means to the end.

        Raises:
            StoreError: NOT_FOUND, also when it goes meanwhile; INVALID for a negative range; UNREADABLE when it does not open.
        """
        if offset < 0 or length < 0:
            raise StoreError(Problem.INVALID, "no range")
        row = await self._core.pool.fetchrow(_READ, account.partition, account.account_id, upload_id)
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        end = row["size"] if length == 0 else min(row["size"], offset + length)
        if offset >= end:
            return
        blob_id = BlobId(row["blob_id"])
        source = Place(blob_name(blob_id), 0, row["octets"]) if row["body"] is None else row["body"]
        try:
            key = account.cipher.open(row["sealed_key"], _place(blob_id))
            async for piece in self._core.bodies.stream_from(blob_id, key, source, offset, end - offset):
                for at in range(0, len(piece), PIECE_OCTETS):
                    yield piece[at : at + PIECE_OCTETS]
        except BodyMissingError:
            raise StoreError(Problem.NOT_FOUND) from None
        except (SealBrokenError, DamagedError):
            _log.error("upload does not open", account_id=account.account_id, upload_id=upload_id)
            raise StoreError(Problem.UNREADABLE) from None

    async def sweep(self) -> int:
        """Let go of what is older than uploads are kept; return how many."""
        seconds = self._core.settings.upload_days * 86_400
        return await self._let_go("age", _OLD, seconds)

    async def erase(self, partition: int, account_id: int) -> int:
        """Let go of an account's; its key is destroyed already."""
        return await self._let_go("erased", _ERASE, partition, account_id)

    async def _let_go(self, why: str, statement: str, *arguments: Any) -> int:
        async def some(connection: Connection) -> int:
            gone = await connection.fetch(statement, *arguments, _ROWS)
            await self._give_back(connection, gone)
            return len(gone)

        total = 0
        while count := await in_transaction(self._core.cold, some):
            total += count
        if total:
            _let_go.labels(why=why).inc(total)
            _log.info("uploads let go of", why=why, count=total)
        return total

    async def _give_back(self, connection: Connection, gone: Sequence[asyncpg.Record]) -> None:
        """Leave the objects of uploads whose rows are gone to the sweep of what is staged."""
        alone = [(BlobId(row["blob_id"]), row["octets"]) for row in gone if row["alone"]]
        await self._staging.give_back(connection, alone)


def _place(blob_id: BlobId) -> bytes:
    return b"upload" + blob_id.bytes
