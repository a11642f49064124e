"""Verification: everything that the store holds is looked at again, and what is wrong is named by ids.

Rows and segment lengths always; with `bodies`, each segment's sum, each object of its own, each hot body, and each body whose
key the service itself has (open and parked mail). Bodies that accounts have are opened by the mailbox half.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from petitbleu_kit.ids import BlobId
from petitbleu_store.adapters.s3 import ObjectMissingError, blob_name, segment_name
from petitbleu_store.core import Core
from petitbleu_store.domain import frames
from petitbleu_store.ports import MailboxParts
from petitbleu_store.service.bodies import BodyMissingError
from petitbleu_store.service.ring import HOT_SLOTS, hot_table

_ROWS: Final = 2000
_NEEDED: Final = "(1, 3, 4, 6)"  # open, held, queued, parked


@dataclass(frozen=True, slots=True)
class Verified:
    """Progress so far, and one finding, empty for mere progress."""

    blobs: int = 0
    messages: int = 0
    octets: int = 0
    finding: str = ""
    done: bool = False


class Verification:
    """One run of verification."""

    def __init__(self, core: Core, mailboxes: MailboxParts) -> None:
        self._core = core
        self._mailboxes = mailboxes
        self._blobs = 0
        self._messages = 0
        self._octets = 0
        self._placed: defaultdict[UUID, int] = defaultdict(int)

    async def run(self, *, bodies: bool) -> AsyncIterator[Verified]:
        """Verify everything; yield findings and progress, and at last a result with `done`."""
        segments = {
            row["segment_id"]: row
            for row in await self._core.cold.fetch(
                "/* cold:store.verify_segments */ SELECT segment_id, state, octets, live_octets, digest FROM segment"
            )
        }
        async for result in self._places(segments):
            yield result
        async for result in self._segments(segments, bodies=bodies):
            yield result
        if bodies:
            async for result in self._hot():
                yield result
        async for result in self._accepted(bodies=bodies):
            yield result
        async for verified in self._mailboxes.verify(bodies=bodies):
            self._messages += verified.messages
            for finding in verified.findings:
                yield self._found(finding)
            yield self._so_far()
        yield self._so_far(done=True)

    def _so_far(self, *, done: bool = False) -> Verified:
        return Verified(self._blobs, self._messages, self._octets, "", done)

    def _found(self, finding: str) -> Verified:
        return Verified(self._blobs, self._messages, self._octets, finding)

    async def _places(self, segments: Mapping[UUID, Any]) -> AsyncIterator[Verified]:
        """Each place lies within its segment; objects of their own have the length that their place says."""
        after: tuple[int, UUID] = (-1, UUID(int=0))
        while True:
            rows = await self._core.cold.fetch(
                "/* cold:store.verify_places */ SELECT partition, blob_id, segment_id, octet_offset, octets FROM blob_place "
                "WHERE (partition, blob_id) > ($1, $2) ORDER BY partition, blob_id LIMIT $3", *after, _ROWS,
            )  # fmt: skip
            for row in rows:
                self._blobs += 1
                wrong = await self._wrong_place(row, segments)
                if wrong:
                    yield self._found(f"blob {row['blob_id']}: {wrong}")
            yield self._so_far()
            if len(rows) < _ROWS:
                return
            after = (rows[-1]["partition"], rows[-1]["blob_id"])

    async def _wrong_place(self, row: Any, segments: Mapping[UUID, Any]) -> str:
        if row["segment_id"] == row["blob_id"]:
            octets = await self._core.objects.size(blob_name(row["blob_id"]))
            if octets is None:
                return "its object is missing"
            return "" if octets == row["octets"] else "its object has a wrong length"
        segment = segments.get(row["segment_id"])
        if segment is None:
            # Packed or moved since the segments were listed?
            segment = await self._core.cold.fetchrow(
                "/* cold:store.verify_segment */ SELECT state, octets FROM segment WHERE segment_id = $1",
                row["segment_id"],
            )
        if segment is None:
            return f"its segment {row['segment_id']} is unknown"
        self._placed[row["segment_id"]] += row["octets"]
        if row["octet_offset"] < 0 or row["octet_offset"] + row["octets"] > segment["octets"]:
            return f"lies outside its segment {row['segment_id']}"
        return ""

    async def _segments(self, segments: Mapping[UUID, Any], *, bodies: bool) -> AsyncIterator[Verified]:
        """Each live segment has its length and, when asked, its sum; its places add up."""
        for segment_id, row in segments.items():
            if row["state"] != "live":
                continue
            name = segment_name(segment_id)
            octets = await self._core.objects.size(name)
            if octets is None:
                yield self._found(f"segment {segment_id}: its object is missing")
                continue
            if octets != row["octets"]:
                yield self._found(f"segment {segment_id}: its object has a wrong length")
            elif bodies:
                data = await self._core.objects.get(name, 0, octets)
                self._octets += octets
                if hashlib.sha256(data).digest() != row["digest"]:
                    yield self._found(f"segment {segment_id}: its octets changed")
            if self._placed[segment_id] != row["live_octets"] and not await self._adds_up(segment_id):
                yield self._found(f"segment {segment_id}: its places do not add up")
            yield self._so_far()

    async def _adds_up(self, segment_id: UUID) -> bool:
        """Whether the places of a segment add up now, read at one instant: mail may have moved while we counted."""
        agrees = await self._core.cold.fetchval(
            "/* cold:store.verify_sum */ SELECT s.state <> 'live' OR s.live_octets = (SELECT coalesce(sum(p.octets), 0) "
            "FROM blob_place p WHERE p.segment_id = s.segment_id) FROM segment s WHERE s.segment_id = $1",
            segment_id,
        )
        return agrees is None or bool(agrees)

    async def _hot(self) -> AsyncIterator[Verified]:
        """Each hot body is a sealed body; those of mail that waits open too (see `_accepted`)."""
        for slot in range(HOT_SLOTS):
            after: tuple[int, UUID] = (-1, UUID(int=0))
            while True:
                rows = await self._core.pool.fetch(
                    f"/* cold:store.verify_hot */ SELECT partition, blob_id, body FROM {hot_table(slot)} "
                    "WHERE (partition, blob_id) > ($1, $2) ORDER BY partition, blob_id LIMIT 500", *after,
                )  # fmt: skip
                for row in rows:
                    self._blobs += 1
                    self._octets += len(row["body"])
                    try:
                        frames.is_single(row["body"])
                    except frames.DamagedError:
                        yield self._found(f"blob {row['blob_id']}: its hot body is damaged")
                if not rows:
                    break
                after = (rows[-1]["partition"], rows[-1]["blob_id"])
            yield self._so_far()

    async def _accepted(self, *, bodies: bool) -> AsyncIterator[Verified]:
        """Each accepted message has recipients; the body of each that is still needed exists and, when asked, opens."""
        after: tuple[int, UUID] = (-1, UUID(int=0))
        while True:
            rows = await self._core.cold.fetch(
                "/* cold:store.verify_accepted */ SELECT a.partition, a.accepted_id, count(r.recipient_no) AS recipients, "
                f"bool_or(r.outcome IN {_NEEDED}) AS needed, "
                "bool_or(r.outcome = 1) AS open, bool_or(r.outcome = 4) AS queued, a.submitter_account_id AS submitter "
                "FROM (SELECT partition, accepted_id, submitter_account_id FROM accepted "
                "WHERE (partition, accepted_id) > ($1, $2) ORDER BY partition, accepted_id LIMIT $3) a "
                "LEFT JOIN recipient r USING (partition, accepted_id) GROUP BY a.partition, a.accepted_id, a.submitter_account_id "
                "ORDER BY a.partition, a.accepted_id", *after, _ROWS,
            )  # fmt: skip
            for row in rows:
                if row["recipients"] == 0:
                    yield self._found(f"accepted {row['accepted_id']}: it has no recipient")
            needed = [row["accepted_id"] for row in rows if row["needed"]]
            # What is queued opens too, unless its submitter's account was closed.
            submitters = {row["submitter"] for row in rows if row["queued"]} - {None}
            alive = {None, *await self._core.intake.queued_keys.alive(self._core.cold, submitters)}
            waiting = {
                row["accepted_id"] for row in rows if row["open"] or (row["queued"] and row["submitter"] in alive)
            }
            for finding in await self._needed(needed, waiting, bodies=bodies):
                yield self._found(finding)
            yield self._so_far()
            if len(rows) < _ROWS:
                return
            after = (rows[-1]["partition"], rows[-1]["accepted_id"])

    async def _needed(self, ids: Sequence[BlobId], waiting: Collection[UUID], *, bodies: bool) -> list[str]:
        findings: list[str] = []
        if not bodies:
            hot, places = await self._core.bodies.locate(self._core.cold, ids, recent=False)
            return [
                f"blob {blob_id}: its body is missing"
                for blob_id in ids
                if blob_id not in hot and blob_id not in places
            ]
        messages = await self._core.intake.load(self._core.cold, ids)
        for blob_id in ids:
            message = messages.get(blob_id)
            if message is None:
                if blob_id in waiting:
                    findings.append(f"accepted {blob_id}: it does not open")
                continue  # held: its key is with an account by now; parked: its reason says that it does not open
            try:
                octets = 0
                async for piece in self._core.bodies.stream(blob_id, message.key, recent=False):
                    octets += len(piece)
                self._octets += octets
                if octets != message.size:
                    findings.append(f"blob {blob_id}: its body has a wrong length")
            except BodyMissingError:
                findings.append(f"blob {blob_id}: its body is missing")
            except (frames.DamagedError, ObjectMissingError):
                findings.append(f"blob {blob_id}: its body does not open")
        return findings
