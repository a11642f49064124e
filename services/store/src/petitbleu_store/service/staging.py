"""Staging: a large body goes to S3, sealed, before its message is accepted.

Only sealed frames touch the spool directory, so there is never plain text on disk. A row announces each object before its
PUT: what a crash leaves behind has a row, and the sweep deletes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from prometheus_client import Counter, Gauge

from petitbleu_kit.ids import PARTITIONS, BlobId, new_blob_id, partition_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Executor, Pool
from petitbleu_store.adapters.s3 import Objects, blob_name
from petitbleu_store.domain import frames
from petitbleu_store.domain.keys import new_key
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.intake import Intake
from petitbleu_store.service.ring import COLD_SLOT

_log = get_logger(__name__)
_staging = Gauge("petitbleu_store_stages", "Bodies being staged")
_spooled = Gauge("petitbleu_store_spool_octets", "Sealed octets in the spool directory")
_staged = Counter("petitbleu_store_staged_total", "Bodies staged")
_WAIT_SECONDS: Final = 10.0


class StagedGoneError(Exception):
    """What was staged was swept away while it was being accepted."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A body in S3 that waits to be accepted.

    Attributes:
        blob_id: Its id.
        size: Plain octets.
        octets: Sealed octets.
        key_id: The intake key that wraps its key.
        wrapped_key: Its key.
    """

    blob_id: BlobId
    size: int
    octets: int
    key_id: int
    wrapped_key: bytes


class Staging:
    """Puts large bodies in S3.

    Args:
        pool: PostgreSQL.
        objects: S3.
        intake: Intake keys.
        spool: Directory of sealed bodies on their way; emptied at start.
        max_stages: Bodies at once; more wait, then are refused.
        max_spool_octets: Most sealed octets in the directory.
        max_body_octets: Largest body.
        level: Compression level.
    """

    def __init__(
        self, pool: Pool, objects: Objects, intake: Intake, *, spool: Path, max_stages: int, max_spool_octets: int,
        max_body_octets: int, level: int,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._objects = objects
        self._intake = intake
        self._spool = spool
        self._places = asyncio.Semaphore(max_stages)
        self._max_spool_octets = max_spool_octets
        self._max_body_octets = max_body_octets
        self._level = level
        self._octets = 0

    def start(self) -> None:
        """Make the spool directory and remove what a killed predecessor left in it."""
        self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._spool.glob("*.sealed"):
            path.unlink(missing_ok=True)

    async def put(self, body: bytes) -> Staged:
        """Stage a body that is in memory."""

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        return await self.stage(pieces())

    async def stage(self, pieces: AsyncIterator[bytes]) -> Staged:
        """Stage a body that comes in pieces; when it returns, the body is on stable storage.

        Raises:
            StoreError: BUSY at a bound, INVALID when the body is too large, AWAY when S3 is.
        """
        try:
            await asyncio.wait_for(self._places.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise StoreError(Problem.BUSY, "stages") from None
        _staging.inc()
        blob_id = new_blob_id(secrets.randbelow(PARTITIONS), COLD_SLOT)
        path = self._spool / f"{blob_id.hex}.sealed"
        held = [0]
        try:
            return await self._stage(blob_id, path, pieces, held)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            self._octets -= held[0]
            _spooled.dec(held[0])
            _staging.dec()
            self._places.release()

    async def _stage(self, blob_id: BlobId, path: Path, pieces: AsyncIterator[bytes], held: list[int]) -> Staged:
        key = new_key()
        key_id, wrapper = await self._intake.current()
        wrapped = wrapper.wrap(key, blob_id.bytes)
        sealer = frames.Sealer(key, blob_id, self._level)
        file = await asyncio.to_thread(_create, path)
        try:
            async for piece in pieces:
                if sealer.octets + len(piece) > self._max_body_octets:
                    raise StoreError(Problem.INVALID, "body too large")
                self._hold(await asyncio.to_thread(_write, file, sealer, piece), held)
            self._hold(await asyncio.to_thread(_finish, file, sealer), held)
        finally:
            await asyncio.to_thread(file.close)
        partition = partition_of_blob(blob_id)
        await self._pool.execute(
            "/* hot:store.stage_announce */ INSERT INTO staged (partition, blob_id, key_id, wrapped_key) VALUES ($1, $2, $3, $4)",
            partition, blob_id, key_id, wrapped,
        )  # fmt: skip
        await self._objects.put_file(blob_name(blob_id), path)
        await self._pool.execute(
            "/* hot:store.stage_ready */ UPDATE staged SET ready = true, size = $3, octets = $4 "
            "WHERE partition = $1 AND blob_id = $2",
            partition, blob_id, sealer.octets, held[0],
        )  # fmt: skip
        _staged.inc()
        return Staged(blob_id, sealer.octets, held[0], key_id, wrapped)

    def _hold(self, octets: int, held: list[int]) -> None:
        held[0] += octets
        self._octets += octets
        _spooled.inc(octets)
        if self._octets > self._max_spool_octets:
            raise StoreError(Problem.BUSY, "spool")

    async def find(self, executor: Executor, ids: Sequence[BlobId]) -> dict[BlobId, Staged]:
        """Return those of the staged bodies that are whole and not yet accepted."""
        if not ids:
            return {}
        rows = await executor.fetch(
            "/* hot:store.staged */ SELECT s.blob_id, s.size, s.octets, s.key_id, s.wrapped_key "
            "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, blob_id) JOIN staged s "
            "ON s.partition = want.partition AND s.blob_id = want.blob_id AND s.partition = ANY($1::smallint[]) WHERE s.ready",
            [partition_of_blob(blob_id) for blob_id in ids], ids,
        )  # fmt: skip
        return {row["blob_id"]: Staged(*row.values()) for row in rows}

    async def take(self, connection: Any, staged: Sequence[Staged]) -> None:
        """Make staged bodies the caller's, in a transaction that writes down where they are.

        Raises:
            StagedGoneError: one was swept away meanwhile.
        """
        rows = await connection.fetch(
            "/* hot:store.staged_claim */ DELETE FROM staged s USING unnest($1::smallint[], $2::uuid[]) AS want (partition, blob_id) "
            "WHERE s.partition = want.partition AND s.blob_id = want.blob_id AND s.partition = ANY($1::smallint[]) "
            "RETURNING s.blob_id",
            [partition_of_blob(one.blob_id) for one in staged], [one.blob_id for one in staged],
        )  # fmt: skip
        if len(rows) != len({one.blob_id for one in staged}):
            raise StagedGoneError

    async def give_back(self, connection: Any, bodies: Sequence[tuple[BlobId, int]]) -> None:
        """Leave bodies (id, sealed octets) that were taken to the next sweep, in the transaction that forgets them."""
        if bodies:
            await connection.execute(
                "/* hot:store.staged_back */ INSERT INTO staged (partition, blob_id, octets, key_id, wrapped_key, created_at) "
                "SELECT v.partition, v.blob_id, v.octets, 0, ''::bytea, '-infinity'::timestamptz "
                "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[]) AS v (partition, blob_id, octets)",
                [partition_of_blob(blob_id) for blob_id, _ in bodies], [blob_id for blob_id, _ in bodies],
                [octets for _, octets in bodies],
            )  # fmt: skip

    async def claim(self, connection: Any, staged: Sequence[Staged]) -> None:
        """Turn staged bodies into places, in the transaction that accepts them.

        Raises:
            StagedGoneError: one was swept away meanwhile.
        """
        if not staged:
            return
        await self.take(connection, staged)
        partitions = [partition_of_blob(one.blob_id) for one in staged]
        ids = [one.blob_id for one in staged]
        await connection.execute(
            "/* hot:store.staged_place */ INSERT INTO blob_place (partition, blob_id, segment_id, octet_offset, octets) "
            "SELECT p.partition, p.blob_id, p.blob_id, 0, p.octets "
            "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[]) AS p (partition, blob_id, octets)",
            partitions, ids, [one.octets for one in staged],
        )  # fmt: skip

    async def sweep(self, older_than_seconds: int) -> int:
        """Delete what was announced or staged long ago and never accepted; return how many."""
        rows = await self._pool.fetch(
            "/* cold:store.staged_old */ SELECT partition, blob_id FROM staged "
            "WHERE created_at < now() - make_interval(secs => $1) LIMIT 1000", older_than_seconds,
        )  # fmt: skip
        for row in rows:
            # The row goes first and in a transaction: an Accept that claims it waits, and then finds it gone.
            async with self._pool.acquire() as connection, connection.transaction():
                status = await connection.execute(
                    "/* cold:store.staged_sweep */ DELETE FROM staged WHERE partition = $1 AND blob_id = $2",
                    row["partition"], row["blob_id"],
                )  # fmt: skip
                if status == "DELETE 1":
                    await self._objects.delete(blob_name(row["blob_id"]))
        if rows:
            _log.info("staged bodies swept", count=len(rows))
        return len(rows)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)


def _write(file: BinaryIO, sealer: frames.Sealer, piece: bytes) -> int:
    return sum(file.write(sealed) for sealed in sealer.update(piece))


def _finish(file: BinaryIO, sealer: frames.Sealer) -> int:
    return sum(file.write(sealed) for sealed in sealer.finish())
