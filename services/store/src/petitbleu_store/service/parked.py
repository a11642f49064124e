"""Parked recipients: an operator lists, replays and drops them, without seeing an address or a body."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.core import Core
from petitbleu_store.errors import Problem, StoreError

Reference = tuple[BlobId, int]
_ROWS: Final = 1000
_EVENT_IDS: Final = 256


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked recipient."""

    accepted_id: BlobId
    recipient_no: int
    reason: str
    attempts: int
    received_at: datetime
    size: int


class ParkedRecipients:
    """The operator's view of what could not be delivered."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list_page(self, token: str, limit: int) -> tuple[list[Parked], str]:
        """Return a page and the token of the next one, empty at the end.

        Raises:
            StoreError: INVALID when the token is none of ours.
        """
        try:
            octets = bytes.fromhex(token)
            after = (-1, UUID(int=0), -1) if not octets else (
                int.from_bytes(octets[:2], "big"), UUID(bytes=octets[2:18]), int.from_bytes(octets[18:], "big"),
            )  # fmt: skip
        except ValueError:
            raise StoreError(Problem.INVALID, "page token") from None
        rows = await self._core.cold.fetch(
            "/* cold:store.parked_list */ SELECT r.partition, r.accepted_id, r.recipient_no, r.reason, r.attempts, a.received_at, "
            "a.size FROM recipient r JOIN accepted a USING (partition, accepted_id) WHERE r.outcome = 6 "
            "AND (r.partition, r.accepted_id, r.recipient_no) > ($1, $2, $3) "
            "ORDER BY r.partition, r.accepted_id, r.recipient_no LIMIT $4",
            *after, limit,
        )  # fmt: skip
        page = [
            Parked(r["accepted_id"], r["recipient_no"], r["reason"] or "", r["attempts"], r["received_at"], r["size"])
            for r in rows
        ]
        if len(rows) < limit:
            return page, ""
        last = rows[-1]
        return page, (
            last["partition"].to_bytes(2, "big") + last["accepted_id"].bytes + last["recipient_no"].to_bytes(2, "big")
        ).hex()

    async def replay(self, references: Sequence[Reference]) -> int:
        """Open parked recipients again and tell delivery; return how many were."""
        if not references:
            return 0
        outbox: list[OutboxRow] = []

        async def work(connection: Any) -> int:
            outbox.clear()
            rows = await connection.fetch(
                "/* cold:store.parked_replay */ UPDATE recipient r SET outcome = 1, attempts = 0, settled_at = NULL, reason = NULL, "
                "next_attempt_at = now() + make_interval(secs => $4) "
                "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) AS p (partition, accepted_id, recipient_no) "
                "WHERE r.partition = p.partition AND r.accepted_id = p.accepted_id AND r.recipient_no = p.recipient_no "
                "AND r.partition = ANY($1::smallint[]) AND r.outcome = 6 RETURNING r.partition, r.accepted_id",
                *_columns(references), float(self._core.settings.retry_open_seconds),
            )  # fmt: skip
            outbox.extend(_events(rows))
            await self._core.outbox.insert(connection, outbox)
            return len(rows)

        replayed = await in_transaction(self._core.cold, work)
        self._core.outbox.published_soon(outbox)
        self._core.recipients.opened(replayed)
        return replayed

    async def replay_all(self) -> int:
        """Open every parked recipient again; return how many were."""
        replayed = 0
        while True:
            rows = await self._core.cold.fetch(
                "/* cold:store.parked_some */ SELECT accepted_id, recipient_no FROM recipient WHERE outcome = 6 LIMIT $1",
                _ROWS,
            )
            if not rows:
                return replayed
            replayed += await self.replay([(row["accepted_id"], row["recipient_no"]) for row in rows])

    async def drop(self, references: Sequence[Reference]) -> int:
        """Discard parked recipients; return how many were. What then nobody needs is released for compaction."""
        if not references:
            return 0
        partitions, ids, numbers = _columns(references)

        async def work(connection: Any) -> int:
            status = await connection.execute(
                "/* cold:store.parked_drop */ UPDATE recipient r SET outcome = 5, settled_at = now(), reason = 'dropped' "
                "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) AS p (partition, accepted_id, recipient_no) "
                "WHERE r.partition = p.partition AND r.accepted_id = p.accepted_id AND r.recipient_no = p.recipient_no "
                "AND r.partition = ANY($1::smallint[]) AND r.outcome = 6",
                partitions, ids, numbers,
            )  # fmt: skip
            await connection.execute(
                "/* cold:store.release */ INSERT INTO blob_release (partition, blob_id) "
                "SELECT DISTINCT p.partition, p.blob_id FROM unnest($1::smallint[], $2::uuid[]) AS p (partition, blob_id) "
                "ON CONFLICT DO NOTHING", partitions, ids,
            )  # fmt: skip
            return int(status.rpartition(" ")[2])

        return await in_transaction(self._core.cold, work)


def _columns(references: Sequence[Reference]) -> tuple[list[int], list[BlobId], list[int]]:
    rows = sorted({(partition_of_blob(blob_id), blob_id, number) for blob_id, number in references})
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _events(rows: Sequence[Any]) -> list[OutboxRow]:
    partitions: defaultdict[int, dict[BlobId, None]] = defaultdict(dict)
    for row in rows:
        partitions[row["partition"]][row["accepted_id"]] = None
    events = []
    for partition, found in partitions.items():
        ids = [blob_id.bytes for blob_id in found]
        for start in range(0, len(ids), _EVENT_IDS):
            event = events_pb2.MessageAccepted(partition=partition, accepted_ids=ids[start : start + _EVENT_IDS])
            events.append(OutboxRow.make(partition, "mail.message.accepted", event.SerializeToString()))
    return events
