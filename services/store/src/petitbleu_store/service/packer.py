"""The packer: moves hot bodies to S3 in segments and empties their table.

Each step is safe to repeat from wherever a crash left it: places are inserted only after the segment was read back, and
a table is emptied only under a lock under which every one of its rows has a place.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
from prometheus_client import Counter, Gauge

from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters.postgres import LOCK_CLASS, LOCK_PACKER
from petitbleu_store.core import Core
from petitbleu_store.service.ring import Slot, hot_table
from petitbleu_store.service.segments import Draft, Segments

_log = get_logger(__name__)
_emptied = Counter("petitbleu_store_hot_tables_emptied_total", "Hot tables packed and emptied")
_sealed = Gauge("petitbleu_store_hot_tables_sealed", "Hot tables that wait for the packer")
_failed = Counter("petitbleu_store_pack_failed_total", "Rounds of the packer that failed; bodies stay hot")
_ROWS: Final = 512
_LOCK_TIMEOUT: Final = "200ms"
_TRIES: Final = 20
# An empty table still has its index's first pages; below this there is nothing worth an S3 request.
_EMPTY_OCTETS: Final = 64 << 10


@dataclass(slots=True)
class Packed:
    """What a round packed."""

    segments: int = 0
    bodies: int = 0


class BusyElsewhereError(Exception):
    """Another process holds the packer's lease."""


class Packer:
    """Packs one sealed table after another, under a lease that one process holds."""

    def __init__(self, core: Core, segments: Segments) -> None:
        self._core = core
        self._segments = segments

    async def run(self) -> None:
        """Pack what is due until cancelled."""
        await forever("store.packer", self._core.settings.pack_tick_seconds, self.tick)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        """Hold the lease: one packer or compactor at a time.

        It is an advisory lock of a session, so it ends with its holder. Losing it does no harm, see `Segments`.

        Raises:
            BusyElsewhereError: somebody else has it.
        """
        async with self._core.cold.acquire() as connection:
            if not await connection.fetchval(
                "/* cold:store.packer_lease */ SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, LOCK_PACKER
            ):
                raise BusyElsewhereError
            try:
                yield
            finally:
                try:
                    await connection.execute(
                        "/* cold:store.packer_release */ SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, LOCK_PACKER
                    )
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    connection.terminate()  # back in the pool, its session would keep the lease from everybody

    async def tick(self) -> Packed:
        """Seal the written table when it is due, and pack what is sealed."""
        slots = await self._core.ring.refresh()
        _sealed.set(sum(slot.state == "sealed" for slot in slots))
        if not any(slot.state == "sealed" or self._is_due(slot) for slot in slots):
            return Packed()
        try:
            async with self.lease():
                return await self._round(force=False)
        except BusyElsewhereError:
            return Packed()
        except Exception:
            _failed.inc()
            raise

    async def pack_now(self) -> Packed:
        """Seal the written table and pack all that is sealed.

        Raises:
            BusyElsewhereError: another process packs.
        """
        async with self.lease():
            return await self._round(force=True)

    def _is_due(self, slot: Slot) -> bool:
        settings = self._core.settings
        if slot.state != "written":
            return False
        return slot.octets >= settings.seal_octets or (
            slot.age >= settings.seal_seconds and slot.octets > _EMPTY_OCTETS
        )

    async def _round(self, *, force: bool) -> Packed:
        packed = Packed()
        await self._segments.sweep_orphans()
        slots = await self._core.ring.refresh()
        # What is sealed already comes first: while S3 is away, one table at most waits, and the written one grows.
        for slot in slots:
            if slot.state == "sealed":
                await self._pack_slot(slot.slot, packed, resumed=True)
        written = next(slot for slot in slots if slot.state == "written")
        if force or self._is_due(written):
            if not await self._core.cold.fetchval(
                f"/* cold:store.hot_any */ SELECT EXISTS (SELECT 1 FROM {hot_table(written.slot)})"
            ):
                return packed
            sealed = await self._core.ring.seal()
            if sealed is not None:
                await self._pack_slot(sealed, packed, resumed=False)
        return packed

    async def _pack_slot(self, slot: int, packed: Packed, *, resumed: bool) -> None:
        for attempt in range(_TRIES):
            await self._place_all(slot, packed, skip_placed=resumed or attempt > 0)
            placed = await self._core.cold.fetchval(
                f"/* cold:store.hot_placed */ SELECT count(*) FROM {hot_table(slot)} h "
                "JOIN blob_place p ON p.partition = h.partition AND p.blob_id = h.blob_id"
            )
            if await self._empty(slot, placed):
                _emptied.inc()
                await self._core.ring.refresh()
                return
        _log.warning("a hot table is too busy to be emptied; next time", slot=slot)

    async def _place_all(self, slot: int, packed: Packed, *, skip_placed: bool) -> None:
        """Write every row that has no place yet in segments; in a table sealed just now, none has."""
        unplaced = (
            "AND NOT EXISTS (SELECT 1 FROM blob_place p WHERE p.partition = h.partition AND p.blob_id = h.blob_id) "
            if skip_placed
            else ""
        )
        draft = Draft()
        after: tuple[int, UUID] = (-1, UUID(int=0))
        while True:
            # On the pool that uses indexes only: in a table without statistics the planner might sort all of it each time.
            rows = await self._core.pool.fetch(
                f"/* cold:store.pack_read */ SELECT h.partition, h.blob_id, h.account_id, h.body FROM {hot_table(slot)} h "
                f"WHERE (h.partition, h.blob_id) > ($1, $2) {unplaced}ORDER BY h.partition, h.blob_id LIMIT $3",
                *after, _ROWS,
            )  # fmt: skip
            for row in rows:
                draft.add(row["blob_id"], row["body"], row["account_id"])
                if len(draft) >= self._core.settings.segment_octets:
                    await self._write(draft, packed)
                    draft = Draft()
            if len(rows) < _ROWS:
                break
            after = (rows[-1]["partition"], rows[-1]["blob_id"])
        if draft.blob_ids:
            await self._write(draft, packed)

    async def _write(self, draft: Draft, packed: Packed) -> None:
        await self._segments.write(draft)
        packed.segments += 1
        packed.bodies += len(draft.blob_ids)

    async def _empty(self, slot: int, placed: int) -> bool:
        """Empty a table of which `placed` rows have places, if these are all; a late writer may have added one."""
        table = hot_table(slot)
        try:
            async with self._core.cold.acquire() as connection, connection.transaction():
                await connection.execute(f"/* cold:store.lock_timeout */ SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                await connection.execute(f"/* cold:store.hot_lock */ LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                if await connection.fetchval(f"/* cold:store.hot_count */ SELECT count(*) FROM {table}") != placed:
                    return False
                freed = await connection.execute(
                    "/* cold:store.ring_free */ UPDATE ring SET state = 'free', since = now() WHERE slot = $1 AND state = 'sealed'",
                    slot,
                )
                if freed != "UPDATE 1":
                    return False  # who took our lease was faster: what is in the table now is not what we counted
                await connection.execute(f"/* cold:store.hot_empty */ TRUNCATE {table}")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        return True
