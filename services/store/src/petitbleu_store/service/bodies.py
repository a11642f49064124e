"""Where a body is, and how it is read: hot table, segment, or an object of its own."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from petitbleu_kit.ids import BlobId, millis_of_blob, partition_of_blob, slot_of_blob
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import Executor, Pool
from petitbleu_store.adapters.s3 import ObjectMissingError, Objects, blob_name, segment_name
from petitbleu_store.domain import frames
from petitbleu_store.service.ring import HOT_SLOTS, hot_table

_log = get_logger(__name__)
_WHOLE_OCTETS: Final = 256 << 10  # up to here a body is fetched by one request; more than one frame's worth
_TAIL_OCTETS: Final = 64 << 10  # holds trailer and index of bodies up to about 1 GiB
# Frames fetched by one request: few at first, for whoever waits for the first octet, then as many as a request is worth.
_FIRST_FRAMES: Final = 4
_FRAMES_AT_ONCE: Final = 32
_FRAMES_A_PIECE: Final = 4
_RECENT_OCTETS: Final = 32 << 20
_COLD_AFTER_MILLIS: Final = 3_600_000

_PLACES: Final = (
    "/* hot:store.blob_places */ SELECT p.blob_id, p.segment_id, p.octet_offset, p.octets "
    "FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, blob_id) JOIN blob_place p "
    "ON p.partition = want.partition AND p.blob_id = want.blob_id AND p.partition = ANY($1::smallint[])"
)


def _hot_read(slot: int) -> str:
    return (
        f"/* hot:store.hot_read */ SELECT h.blob_id, h.body FROM unnest($1::smallint[], $2::uuid[]) AS want (partition, blob_id) "
        f"JOIN {hot_table(slot)} h ON h.partition = want.partition AND h.blob_id = want.blob_id "
        "AND h.partition = ANY($1::smallint[])"
    )


def _hot_insert(slot: int) -> str:
    return (
        f"/* hot:store.hot_insert */ INSERT INTO {hot_table(slot)} (partition, blob_id, account_id, body) "
        "SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bytea[])"
    )


_HOT_READ: Final = [_hot_read(slot) for slot in range(HOT_SLOTS)]
_HOT_INSERT: Final = [_hot_insert(slot) for slot in range(HOT_SLOTS)]


class BodyMissingError(Exception):
    """A body is neither in a hot table nor in S3 where its row says."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed body is in S3: object, offset and octets there."""

    name: str
    offset: int
    octets: int


@dataclass(frozen=True, slots=True)
class HotBody:
    """A sealed body to write: `account_id` is None for accepted mail (its recipients' rows tell whose it is)."""

    blob_id: BlobId
    sealed: bytes
    account_id: int | None = None


class Bodies:
    """Reads and writes sealed bodies."""

    def __init__(self, pool: Pool, objects: Objects) -> None:
        self._pool = pool
        self._objects = objects
        self._recent: OrderedDict[UUID, bytes] = OrderedDict()
        self._recent_octets = 0

    async def insert_hot(self, executor: Executor, bodies: Sequence[HotBody]) -> None:
        """Write bodies in the hot tables that their ids name, in the caller's transaction; then call `remember`."""
        slots: defaultdict[int, list[HotBody]] = defaultdict(list)
        for body in bodies:
            slots[slot_of_blob(body.blob_id)].append(body)
        for slot, group in slots.items():
            await executor.execute(
                _HOT_INSERT[slot], [partition_of_blob(body.blob_id) for body in group], [body.blob_id for body in group],
                [body.account_id for body in group], [body.sealed for body in group],
            )  # fmt: skip

    def remember(self, bodies: Iterable[HotBody]) -> None:
        """Keep what was just committed at hand, sealed, for delivery reads it within milliseconds."""
        for body in bodies:
            if body.blob_id not in self._recent:
                self._recent[body.blob_id] = body.sealed
                self._recent_octets += len(body.sealed)
        while self._recent_octets > _RECENT_OCTETS:
            self._recent_octets -= len(self._recent.popitem(last=False)[1])

    async def _hot(self, executor: Executor, ids: Sequence[BlobId]) -> dict[BlobId, bytes]:
        slots: defaultdict[int, list[BlobId]] = defaultdict(list)
        for blob_id in ids:
            if slot_of_blob(blob_id) < HOT_SLOTS:
                slots[slot_of_blob(blob_id)].append(blob_id)
        found: dict[BlobId, bytes] = {}
        for slot, group in slots.items():
            rows = await executor.fetch(_HOT_READ[slot], [partition_of_blob(blob_id) for blob_id in group], group)
            found.update((row["blob_id"], row["body"]) for row in rows)
        return found

    async def places(self, executor: Executor, ids: Sequence[BlobId]) -> dict[BlobId, Place]:
        """Places in S3 of those bodies that have one."""
        rows = await executor.fetch(_PLACES, [partition_of_blob(blob_id) for blob_id in ids], ids)
        return {
            row["blob_id"]: Place(
                blob_name(row["blob_id"]) if row["segment_id"] == row["blob_id"] else segment_name(row["segment_id"]),
                row["octet_offset"], row["octets"],
            )
            for row in rows
        }  # fmt: skip

    async def locate(
        self, executor: Executor, ids: Sequence[BlobId], *, recent: bool = True
    ) -> tuple[dict[BlobId, bytes], dict[BlobId, Place]]:
        """Return the hot bodies, and the places of the others; what does not exist is in neither.

        A hot table is emptied only after the places of all its rows are committed, so who misses a row there finds its
        place afterwards. Old bodies are looked for in S3 first.
        """
        hot: dict[BlobId, bytes] = {}
        missing: list[BlobId] = []
        for blob_id in ids:
            known = self._recent.get(blob_id) if recent else None
            if known is None:
                missing.append(blob_id)
            else:
                hot[blob_id] = known
        if not missing:
            return hot, {}
        places: dict[BlobId, Place] = {}
        cold_before = time.time_ns() // 1_000_000 - _COLD_AFTER_MILLIS
        old = [blob_id for blob_id in missing if millis_of_blob(blob_id) < cold_before]
        if old:
            places.update(await self.places(executor, old))
        missing = [blob_id for blob_id in missing if blob_id not in places]
        if missing:
            hot.update(await self._hot(executor, missing))
        missing = [blob_id for blob_id in missing if blob_id not in hot]
        if missing:
            places.update(await self.places(executor, missing))
        return hot, places

    async def read_many(self, executor: Executor, wanted: Sequence[tuple[BlobId, bytes]]) -> dict[BlobId, bytes]:
        """Return whole bodies, opened with their keys; those that are missing or do not open are left out.

        Args:
            executor: Where to look; inside the caller's transaction or not.
            wanted: Ids and keys. The caller sees to it that they fit in memory together.

        Raises:
            ObjectsAwayError: S3 does not answer.
        """
        sealed = await self.sealed_many(executor, [blob_id for blob_id, _ in wanted])
        opened: dict[BlobId, bytes] = {}
        for blob_id, key in wanted:
            octets = sealed.get(blob_id)
            if octets is None:
                continue
            try:
                if len(octets) > _WHOLE_OCTETS:
                    opened[blob_id] = await asyncio.to_thread(frames.unseal, key, blob_id, octets)
                else:
                    opened[blob_id] = frames.unseal(key, blob_id, octets)
            except frames.DamagedError:
                _log.error("body does not open", blob_id=str(blob_id))
        return opened

    async def sealed_many(
        self, executor: Executor, ids: Sequence[BlobId], *, max_octets: int | None = None, recent: bool = True
    ) -> dict[BlobId, bytes]:
        """Return sealed bodies; unknown ones, and in S3 those larger than `max_octets`, are left out.

        Args:
            executor: Where to look; inside the caller's transaction or not.
            ids: Which.
            max_octets: Largest sealed body to fetch from S3.
            recent: Whether a copy in memory will do.

        Raises:
            ObjectsAwayError: S3 does not answer.
        """
        hot, places = await self.locate(executor, ids, recent=recent)

        async def fetch(blob_id: BlobId, place: Place) -> None:
            try:
                hot[blob_id] = await self._objects.get(place.name, place.offset, place.octets)
            except ObjectMissingError:
                # Compaction may have moved it since.
                moved = (await self.places(self._pool, [blob_id])).get(blob_id)
                if moved is None or moved == place:
                    _log.error("body missing", blob_id=str(blob_id))
                    return
                hot[blob_id] = await self._objects.get(moved.name, moved.offset, moved.octets)

        await asyncio.gather(
            *(
                fetch(blob_id, place)
                for blob_id, place in places.items()
                if max_octets is None or place.octets <= max_octets
            )
        )
        return hot

    async def stream(
        self, blob_id: BlobId, key: bytes, offset: int = 0, length: int | None = None, *, recent: bool = True
    ) -> AsyncIterator[bytes]:
        """Yield plain octets of a body, each frame checked before anything of it is given.

        Args:
            blob_id: Which.
            key: Its key.
            offset: First octet wanted.
            length: How many; None means to the end.
            recent: Whether a copy in memory will do.

        Raises:
            BodyMissingError: there is no such body.
            DamagedError: it is not as it was sealed.
            ObjectsAwayError: S3 does not answer.
        """
        hot, places = await self.locate(self._pool, [blob_id], recent=recent)
        sealed = hot.get(blob_id)
        place = places.get(blob_id)
        async for piece in self.stream_from(blob_id, key, place if sealed is None else sealed, offset, length):
            yield piece

    async def stream_from(
        self, blob_id: BlobId, key: bytes, source: bytes | Place | None, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield plain octets of a body of which one knows where it is: sealed in memory, or in S3. As `stream` does."""
        if source is None:
            raise BodyMissingError(str(blob_id))
        try:
            if isinstance(source, Place) and source.octets <= _WHOLE_OCTETS:
                source = await self._objects.get(source.name, source.offset, source.octets)
            if isinstance(source, Place):
                async for piece in self._ranged(blob_id, key, source, offset, length):
                    yield piece
                return
        except ObjectMissingError:
            raise BodyMissingError(str(blob_id)) from None
        for piece in _cut(key, blob_id, source, offset, length):
            yield piece

    async def _ranged(
        self, blob_id: BlobId, key: bytes, place: Place, offset: int, length: int | None
    ) -> AsyncIterator[bytes]:
        tail = await self._objects.get(place.name, place.offset + place.octets - _TAIL_OCTETS, _TAIL_OCTETS)
        octets = frames.index_octets(tail[-frames.TRAILER_OCTETS :], place.octets)
        if octets + frames.TRAILER_OCTETS > _TAIL_OCTETS:
            start = place.offset + place.octets - octets - frames.TRAILER_OCTETS
            tail = await self._objects.get(place.name, start, octets + frames.TRAILER_OCTETS)
        sealed_index = tail[-frames.TRAILER_OCTETS - octets : -frames.TRAILER_OCTETS]
        index = frames.open_index(key, blob_id, sealed_index, place.octets)
        wanted = frames.range_of(index, offset, length)
        if wanted is None:
            return
        first, last = wanted
        number, count = first, _FIRST_FRAMES
        while number <= last:
            start, span = index.span(number, min(last, number + count - 1))
            sealed = await self._objects.get(place.name, place.offset + start, span)
            contents = await asyncio.to_thread(_opened, key, blob_id, index, number, sealed)
            found = frames.clip(contents, number, offset, length)
            del sealed, contents
            for at in range(0, len(found), _FRAMES_A_PIECE):
                yield b"".join(found[at : at + _FRAMES_A_PIECE])
            number += count
            count = min(2 * count, _FRAMES_AT_ONCE)


def _opened(key: bytes, blob_id: BlobId, index: frames.Index, first: int, sealed: bytes) -> list[bytes]:
    return list(frames.open_frames(key, blob_id, index, first, sealed))


def _cut(key: bytes, blob_id: BlobId, sealed: bytes, offset: int, length: int | None) -> list[bytes]:
    index = frames.index_of(key, blob_id, sealed)
    wanted = frames.range_of(index, offset, length)
    if wanted is None:
        return []
    start, span = index.span(*wanted)
    contents = _opened(key, blob_id, index, wanted[0], sealed[start : start + span])
    return frames.clip(contents, wanted[0], offset, length)
