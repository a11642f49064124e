"""Dead space: which bodies nobody refers to any more, and segments rewritten without them.

A body is dead when no recipient of its message is open, held, queued or parked and no message of any account refers to it.
What is asked is cheap, because the accounts that may refer to a body are named in its recipients' rows and, when those are
gone, in its place. A segment is deleted only when the back-ups that may name it have expired.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from prometheus_client import Counter, Gauge

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.s3 import ObjectMissingError, segment_name
from petitbleu_store.core import Core
from petitbleu_store.ports import MailboxParts
from petitbleu_store.service.packer import BusyElsewhereError, Packer
from petitbleu_store.service.segments import Draft, Segments, owners_of

_log = get_logger(__name__)
_dead = Counter("petitbleu_store_dead_octets_total", "Octets of bodies to which nobody refers any more")
_live = Gauge("petitbleu_store_segment_live_octets", "Octets of segments that are referred to")
_held = Gauge("petitbleu_store_segment_octets", "Octets of segments in S3")
_TICK: Final = 3600.0
_ROWS: Final = 1000

_SUBJECTS: Final = "unnest($1::smallint[], $2::uuid[]) AS want (partition, blob_id)"


@dataclass(slots=True)
class Compacted:
    """What a round of compaction did."""

    rewritten: int = 0
    deleted: int = 0
    freed_octets: int = 0


class Compaction:
    """Finds dead bodies, rewrites segments, deletes what has expired; under the packer's lease."""

    def __init__(self, core: Core, segments: Segments, packer: Packer, mailboxes: MailboxParts) -> None:
        self._core = core
        self._segments = segments
        self._packer = packer
        self._mailboxes = mailboxes

    async def run(self) -> None:
        """Compact every hour until cancelled."""
        await forever("store.compaction", _TICK, self._tick)

    async def _tick(self) -> None:
        try:
            await self.compact()
        except BusyElsewhereError:
            return

    async def compact(self) -> Compacted:
        """Do one round.

        Raises:
            BusyElsewhereError: another process packs or compacts.
        """
        done = Compacted()
        async with self._packer.lease():
            await self.bury()
            await self._rewrite(done)
            done.deleted, done.freed_octets = await self._segments.delete_expired(
                self._core.settings.segment_retention_days
            )
        (row,) = await self._core.cold.fetch(
            "/* cold:store.segment_octets */ SELECT coalesce(sum(octets), 0)::bigint AS octets, "
            "coalesce(sum(live_octets), 0)::bigint AS live FROM segment"
        )
        _held.set(row["octets"])
        _live.set(row["live"])
        return done

    async def bury(self) -> int:
        """Look at released bodies: those to which nobody refers any more lose their place; return how many did."""
        buried = 0
        after: tuple[int, Any] = (-1, UUID(int=0))
        while True:
            rows = await self._core.cold.fetch(
                "/* cold:store.released */ SELECT partition, blob_id FROM blob_release WHERE (partition, blob_id) > ($1, $2) "
                "ORDER BY partition, blob_id LIMIT $3", *after, _ROWS,
            )  # fmt: skip
            if not rows:
                return buried
            after = (rows[-1]["partition"], rows[-1]["blob_id"])
            buried += await self._bury([row["blob_id"] for row in rows])

    async def _bury(self, ids: Sequence[BlobId]) -> int:
        partitions = [partition_of_blob(blob_id) for blob_id in ids]
        places = await self._core.cold.fetch(
            f"/* cold:store.released_places */ SELECT p.blob_id, p.account_ids FROM {_SUBJECTS} "
            "JOIN blob_place p ON p.partition = want.partition AND p.blob_id = want.blob_id",
            partitions, ids,
        )  # fmt: skip
        recipients = await self._core.cold.fetch(
            f"/* cold:store.released_recipients */ SELECT r.accepted_id AS blob_id, r.account_ids, r.outcome FROM {_SUBJECTS} "
            "JOIN recipient r ON r.partition = want.partition AND r.accepted_id = want.blob_id",
            partitions, ids,
        )  # fmt: skip
        # Open 1, held 3, queued 4 and parked 6 may still need the body.
        needed = {row["blob_id"] for row in recipients if row["outcome"] in {1, 3, 4, 6}}
        owners = owners_of([*places, *recipients])
        placed = {row["blob_id"] for row in places}
        # Hot ones stay on the list until they are packed.
        asked = [blob_id for blob_id in ids if blob_id in placed and blob_id not in needed]
        referred = await self._mailboxes.still_referred([(blob_id, sorted(owners[blob_id])) for blob_id in asked])
        dead = [blob_id for blob_id in asked if blob_id not in referred]
        settled = [blob_id for blob_id in asked if blob_id in referred]
        if dead:
            await in_transaction(self._core.cold, lambda connection: self._lay(connection, dead))
        if settled:
            # Somebody still has it; whoever lets go of it next puts it on the list again.
            await self._core.cold.execute(
                f"/* cold:store.released_kept */ DELETE FROM blob_release b USING {_SUBJECTS} "
                "WHERE b.partition = want.partition AND b.blob_id = want.blob_id",
                [partition_of_blob(blob_id) for blob_id in settled], settled,
            )  # fmt: skip
        return len(dead)

    @staticmethod
    async def _lay(connection: Any, dead: Sequence[BlobId]) -> None:
        partitions = [partition_of_blob(blob_id) for blob_id in dead]
        places = await connection.fetch(
            f"/* cold:store.bury */ DELETE FROM blob_place p USING {_SUBJECTS} "
            "WHERE p.partition = want.partition AND p.blob_id = want.blob_id RETURNING p.blob_id, p.segment_id, p.octets",
            partitions, dead,
        )  # fmt: skip
        octets: defaultdict[BlobId, int] = defaultdict(int)
        alone = []
        for row in places:
            if row["segment_id"] == row["blob_id"]:
                alone.append((partition_of_blob(row["blob_id"]), row["blob_id"], row["octets"]))
            else:
                octets[row["segment_id"]] += row["octets"]
        _dead.inc(sum(row["octets"] for row in places))
        lost = sorted(octets)
        await connection.execute(
            "/* cold:store.bury_octets */ UPDATE segment s SET live_octets = s.live_octets - d.octets, "
            "state = CASE WHEN s.live_octets = d.octets THEN 'dead' ELSE s.state END, "
            "dead_at = CASE WHEN s.live_octets = d.octets THEN now() END "
            "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[]) AS d (partition, segment_id, octets) "
            "WHERE s.partition = d.partition AND s.segment_id = d.segment_id",
            [partition_of_blob(segment_id) for segment_id in lost], lost, [octets[segment_id] for segment_id in lost],
        )  # fmt: skip
        if alone:
            await connection.execute(
                "/* cold:store.bury_alone */ INSERT INTO segment (partition, segment_id, octets, state, dead_at) "
                "SELECT a.partition, a.segment_id, a.octets, 'dead', now() "
                "FROM unnest($1::smallint[], $2::uuid[], $3::bigint[]) AS a (partition, segment_id, octets)",
                *map(list, zip(*alone, strict=True)),
            )
        await connection.execute(
            f"/* cold:store.released_done */ DELETE FROM blob_release b USING {_SUBJECTS} "
            "WHERE b.partition = want.partition AND b.blob_id = want.blob_id",
            partitions, dead,
        )  # fmt: skip

    async def _rewrite(self, done: Compacted) -> None:
        share = self._core.settings.compact_dead_percent
        rows = await self._core.cold.fetch(
            "/* cold:store.segments_to_compact */ SELECT segment_id, octets, blob_ids, digest FROM segment WHERE state = 'live' "
            "AND (octets - live_octets) * 100 > octets * $1 ORDER BY created_at", share,
        )  # fmt: skip
        draft = Draft()
        gathered = 0
        for row in rows:
            gathered += await self._gather(draft, row)
            if len(draft) >= self._core.settings.segment_octets:
                await self._segments.rewrite(draft)
                done.rewritten += gathered
                draft, gathered = Draft(), 0
        if draft.blob_ids:
            await self._segments.rewrite(draft)
            done.rewritten += gathered

    async def _gather(self, draft: Draft, segment: Any) -> bool:
        """Append what is still alive of a segment; one that is damaged stays as it is, for verification to tell and for repair."""
        segment_id: BlobId = segment["segment_id"]
        places = await self._core.cold.fetch(
            f"/* cold:store.segment_places */ SELECT p.blob_id, p.octet_offset, p.octets FROM {_SUBJECTS} "
            "JOIN blob_place p ON p.partition = want.partition AND p.blob_id = want.blob_id WHERE p.segment_id = $3 "
            "ORDER BY p.octet_offset",
            [partition_of_blob(blob_id) for blob_id in segment["blob_ids"]], segment["blob_ids"], segment_id,
        )  # fmt: skip
        try:
            data = memoryview(await self._core.objects.get(segment_name(segment_id), 0, segment["octets"]))
        except ObjectMissingError:
            data = memoryview(b"")
        if await asyncio.to_thread(lambda: hashlib.sha256(data).digest()) != segment["digest"]:
            _log.error("a damaged segment is not compacted", segment_id=str(segment_id))
            return False
        for place in places:
            start = place["octet_offset"]
            draft.add(place["blob_id"], data[start : start + place["octets"]])
            draft.from_segments.append(segment_id)
        return True
