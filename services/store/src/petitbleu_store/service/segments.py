"""Segments: many sealed bodies in one S3 object.

A segment is announced by a row, put, read back, and only then named by places, all of them in one commit. Whatever a crash
leaves behind is a row in state "writing", whose object nobody names; the next packer deletes both.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from prometheus_client import Histogram

from petitbleu_kit.ids import PARTITIONS, BlobId, new_blob_id, partition_of_blob, slot_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Pool
from petitbleu_store.adapters.s3 import Objects, blob_name, segment_name
from petitbleu_store.service.ring import SEGMENT_SLOT

_log = get_logger(__name__)
_per_put = Histogram(
    "petitbleu_store_segment_bodies",
    "Bodies put in a segment: mails per S3 PUT",
    buckets=(1, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 30_000),
)
# PostgreSQL sorts the array of `partition = ANY(…)` anew for each row that it joins: with all bodies of a segment at once, small
# ones by the ten thousand, that was the square of their number and ran into the time limit. In order of partition, few are near.
_CHUNK: Final = 512
_ACCOUNTS: Final = (
    "/* cold:store.pack_accounts */ SELECT r.accepted_id, r.account_ids "
    "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, accepted_id) JOIN recipient r "
    "ON r.partition = want.partition AND r.accepted_id = want.accepted_id AND r.partition = ANY($3::smallint[]) "
    "WHERE r.account_ids IS NOT NULL"
)
_PLACES: Final = (
    "/* cold:store.pack_places */ INSERT INTO blob_place (partition, blob_id, segment_id, octet_offset, octets, account_ids) "
    "SELECT p.partition, p.blob_id, $6::uuid, p.octet_offset, p.octets, p.account_ids::bigint[] "
    "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[]) "
    "AS p (partition, blob_id, octet_offset, octets, account_ids) ON CONFLICT (partition, blob_id) DO NOTHING RETURNING octets"
)
_MOVED: Final = (
    "/* cold:store.compact_places */ UPDATE blob_place b SET segment_id = $5::uuid, octet_offset = p.octet_offset "
    "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::uuid[]) AS p (partition, blob_id, octet_offset, from_segment) "
    "WHERE b.partition = p.partition AND b.blob_id = p.blob_id AND b.segment_id = p.from_segment "
    "AND b.partition = ANY($6::smallint[]) RETURNING b.octets"
)
_LIVE: Final = (
    "/* cold:store.segment_live */ UPDATE segment SET state = 'live', octets = $3, live_octets = $4, blob_ids = $5, digest = $6 "
    "WHERE partition = $1 AND segment_id = $2 AND state = 'writing'"
)


class NotWrittenError(Exception):
    """A segment was not read back as it was written, or somebody else took it for an orphan; nothing names it."""


@dataclass(slots=True)
class Draft:
    """A segment being filled: its octets, and what lies where."""

    data: bytearray = field(default_factory=bytearray)
    blob_ids: list[BlobId] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    owners: list[int | None] = field(default_factory=list)
    from_segments: list[UUID] = field(default_factory=list)

    def add(self, blob_id: BlobId, sealed: bytes | memoryview, owner: int | None = None) -> None:
        """Append a sealed body."""
        self.blob_ids.append(blob_id)
        self.offsets.append(len(self.data))
        self.lengths.append(len(sealed))
        self.owners.append(owner)
        self.data += sealed

    def __len__(self) -> int:
        return len(self.data)


class Segments:
    """Writes and deletes segments."""

    def __init__(self, cold: Pool, hot: Pool, objects: Objects) -> None:
        self._cold = cold
        self._hot = hot
        self._objects = objects

    async def write(self, draft: Draft) -> UUID:
        """Write bodies of hot tables as a segment and place them there.

        Raises:
            ObjectsAwayError: S3 does not answer; the bodies are still hot.
            NotWrittenError: it was not read back as written.
        """
        segment_id, digest = await self._put(draft)
        partitions = [partition_of_blob(blob_id) for blob_id in draft.blob_ids]
        accounts: defaultdict[UUID, set[int]] = defaultdict(set)
        for some in _chunks(len(partitions)):
            near = partitions[some]
            for row in await self._hot.fetch(_ACCOUNTS, near, draft.blob_ids[some], sorted(set(near))):
                accounts[row["accepted_id"]].update(row["account_ids"])
        owners = [
            _array({owner} if owner is not None else accounts.get(blob_id))
            for blob_id, owner in zip(draft.blob_ids, draft.owners, strict=True)
        ]
        async with self._cold.acquire() as connection, connection.transaction():
            placed = await connection.fetch(
                _PLACES, partitions, draft.blob_ids, draft.offsets, draft.lengths, owners, segment_id
            )
            await self._make_live(connection, segment_id, draft, sum(row["octets"] for row in placed), digest)
        _per_put.observe(len(draft.blob_ids))
        return segment_id

    async def rewrite(self, draft: Draft) -> UUID:
        """Write bodies of other segments (`from_segments`) as a new one and move their places; the old ones are dead."""
        segment_id, digest = await self._put(draft)
        async with self._cold.acquire() as connection, connection.transaction():
            moved: list[Any] = []
            for some in _chunks(len(draft.blob_ids)):
                near = [partition_of_blob(blob_id) for blob_id in draft.blob_ids[some]]
                moved += await connection.fetch(
                    _MOVED, near, draft.blob_ids[some], draft.offsets[some], draft.from_segments[some], segment_id,
                    sorted(set(near)),
                )  # fmt: skip
            await self._make_live(connection, segment_id, draft, sum(row["octets"] for row in moved), digest)
            old = sorted(set(draft.from_segments))
            await connection.execute(
                "/* cold:store.segment_dead */ UPDATE segment SET state = 'dead', live_octets = 0, dead_at = now() "
                "WHERE partition = ANY($1) AND segment_id = ANY($2)",
                [partition_of_blob(one) for one in old], old,
            )  # fmt: skip
        return segment_id

    async def _put(self, draft: Draft) -> tuple[BlobId, bytes]:
        segment_id = new_blob_id(secrets.randbelow(PARTITIONS), SEGMENT_SLOT)
        await self._cold.execute(
            "/* cold:store.segment_announce */ INSERT INTO segment (partition, segment_id, state, octets) "
            "VALUES ($1, $2, 'writing', $3)",
            partition_of_blob(segment_id), segment_id, len(draft),
        )  # fmt: skip
        name = segment_name(segment_id)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(draft.data).digest())
        await self._objects.put(name, draft.data)
        if not await self._objects.same(name, draft.data):
            raise NotWrittenError(str(segment_id))
        return segment_id, digest

    @staticmethod
    async def _make_live(connection: Any, segment_id: BlobId, draft: Draft, live: int, digest: bytes) -> None:
        status = await connection.execute(
            _LIVE, partition_of_blob(segment_id), segment_id, len(draft), live, draft.blob_ids, digest
        )
        if status != "UPDATE 1":
            raise NotWrittenError(str(segment_id))

    async def sweep_orphans(self) -> int:
        """Delete segments that were announced and never finished; only the holder of the packer's lease may."""
        rows = await self._cold.fetch(
            "/* cold:store.segment_orphans */ SELECT partition, segment_id FROM segment WHERE state = 'writing'"
        )
        return await self._delete([(row["partition"], row["segment_id"]) for row in rows], "writing")

    async def delete_expired(self, retention_days: float) -> tuple[int, int]:
        """Delete dead segments and objects that no back-up names any more; return how many, and their octets."""
        rows = await self._cold.fetch(
            "/* cold:store.segment_expired */ SELECT partition, segment_id, octets FROM segment WHERE state = 'dead' "
            "AND dead_at <= now() - make_interval(secs => $1)",
            retention_days * 86_400,
        )
        deleted = await self._delete([(row["partition"], row["segment_id"]) for row in rows], "dead")
        return deleted, sum(row["octets"] for row in rows)

    async def _delete(self, segments: Sequence[tuple[int, BlobId]], state: str) -> int:
        deleted = 0
        for partition, segment_id in segments:
            # The row goes first and stays locked: who would still finish this segment finds it gone and names nothing in it.
            async with self._cold.acquire() as connection, connection.transaction():
                status = await connection.execute(
                    "/* cold:store.segment_delete */ DELETE FROM segment WHERE partition = $1 AND segment_id = $2 AND state = $3",
                    partition, segment_id, state,
                )  # fmt: skip
                if status == "DELETE 1":
                    await self._objects.delete(object_name(segment_id))
                    deleted += 1
        if deleted:
            _log.info("segments deleted", state=state, count=deleted)
        return deleted


def object_name(segment_id: BlobId) -> str:
    """Name of the S3 object of a row of `segment`: a segment, or an object of one body."""
    return segment_name(segment_id) if slot_of_blob(segment_id) == SEGMENT_SLOT else blob_name(segment_id)


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]


def _array(values: set[int] | None) -> str | None:
    return "{" + ",".join(map(str, sorted(values))) + "}" if values else None


def owners_of(rows: Sequence[Mapping[str, Any]]) -> dict[BlobId, set[int]]:
    """Accounts by blob, from rows with `blob_id` and `account_ids`."""
    owners: defaultdict[BlobId, set[int]] = defaultdict(set)
    for row in rows:
        owners[row["blob_id"]].update(row["account_ids"] or ())
    return owners
