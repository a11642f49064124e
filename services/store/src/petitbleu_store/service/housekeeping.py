"""What has to be done from time to time: publish open recipients again, and forget what may be forgotten."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from petitbleu.events.v1 import events_pb2
from petitbleu_kit.bus import publish_all
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_store.core import Core
from petitbleu_store.service import queued
from petitbleu_store.service.ring import HOT_SLOTS, hot_table
from petitbleu_store.service.staging import Staging

_log = get_logger(__name__)
_again = Counter("petitbleu_store_published_again_total", "Messages published again because a recipient stayed open")
_AGAIN_TICK: Final = 5.0
_PRUNE_TICK: Final = 300.0
_ROWS: Final = 5000
_EVENT_IDS: Final = 256
_HOT: Final = " UNION ALL ".join(f"SELECT partition, blob_id FROM {hot_table(slot)}" for slot in range(HOT_SLOTS))


class Housekeeping:
    """The store's periodic work, beside the packer's. Doing it twice at once does no harm."""

    def __init__(self, core: Core, staging: Staging) -> None:
        self._core = core
        self._staging = staging

    async def run(self) -> None:
        """Do everything until cancelled."""
        await asyncio.gather(
            forever("store.publish_again", _AGAIN_TICK, self.publish_again),
            forever("store.prune", _PRUNE_TICK, self.prune),
        )

    async def publish_again(self) -> int:
        """Publish messages of which a recipient is open past its time; return how many.

        The bus may have lost the first event, or delivery asked for another try after a while.
        """
        if not self._core.bus.is_connected:
            return 0
        rows = await self._core.cold.fetch(
            "/* cold:store.open_due */ SELECT partition, accepted_id, recipient_no FROM recipient "
            "WHERE outcome = 1 AND next_attempt_at < now() ORDER BY next_attempt_at LIMIT $1", _ROWS,
        )  # fmt: skip
        if not rows:
            return 0
        partitions: defaultdict[int, dict[UUID, None]] = defaultdict(dict)
        for row in rows:
            partitions[row["partition"]][row["accepted_id"]] = None
        events = []
        for partition, found in partitions.items():
            ids = [accepted_id.bytes for accepted_id in found]
            for start in range(0, len(ids), _EVENT_IDS):
                event = events_pb2.MessageAccepted(partition=partition, accepted_ids=ids[start : start + _EVENT_IDS])
                events.append((f"mail.message.accepted.v1.{partition}", event.SerializeToString()))
        stored = await publish_all(self._core.bus, events)
        if not all(stored):
            return 0  # they are still due
        rows.sort(key=lambda row: (row["partition"], row["accepted_id"], row["recipient_no"]))
        await self._core.cold.execute(
            "/* cold:store.open_again */ UPDATE recipient r SET next_attempt_at = now() + make_interval(secs => $4) "
            "FROM unnest($1::smallint[], $2::uuid[], $3::smallint[]) AS due (partition, accepted_id, recipient_no) "
            "WHERE r.partition = due.partition AND r.accepted_id = due.accepted_id AND r.recipient_no = due.recipient_no "
            "AND r.partition = ANY($1::smallint[]) AND r.outcome = 1 AND r.next_attempt_at < now()",
            [row["partition"] for row in rows], [row["accepted_id"] for row in rows], [row["recipient_no"] for row in rows],
            float(self._core.settings.retry_open_seconds),
        )  # fmt: skip
        count = sum(len(found) for found in partitions.values())
        _again.inc(count)
        return count

    async def prune(self) -> None:
        """Forget old keys and looks, destroy spent intake keys, delete what was staged in vain."""
        settings = self._core.settings
        await self._core.cold.execute(
            "/* cold:store.prune_keys */ DELETE FROM accept_key "
            "WHERE created_at < now() - make_interval(hours => $1) AND (kept_until IS NULL OR kept_until < now())",
            settings.keep_key_hours,
        )
        await self._core.cold.execute(
            "/* cold:store.prune_audit */ DELETE FROM audit WHERE looked_at < now() - make_interval(days => $1)",
            settings.keep_audit_days,
        )
        while await self.prune_accepted() == _ROWS:
            pass
        await self._core.intake.destroy_spent()
        await queued.destroy_spent(self._core.cold, settings.keep_sent_hours)
        await self._staging.sweep(settings.staged_seconds)

    async def prune_accepted(self) -> int:
        """Delete the rows of some mail that was settled long ago; return of how many messages.

        Whose it is goes to the place of its body; what nobody has is released for compaction. A body that is still hot has
        no place to which that could go: its rows stay until it is packed.
        """
        rows = await self._core.cold.fetch(
            "/* cold:store.prunable */ SELECT a.partition, a.accepted_id, (SELECT array_agg(DISTINCT one) FROM recipient r, "
            "unnest(r.account_ids) AS one WHERE r.partition = a.partition AND r.accepted_id = a.accepted_id) AS account_ids "
            "FROM accepted a WHERE a.received_at < now() - make_interval(days => $1) AND NOT EXISTS (SELECT 1 FROM recipient r "
            "WHERE r.partition = a.partition AND r.accepted_id = a.accepted_id AND r.outcome IN (1, 3, 4, 6)) "
            f"AND NOT EXISTS (SELECT 1 FROM ({_HOT}) AS h WHERE h.partition = a.partition AND h.blob_id = a.accepted_id) LIMIT $2",
            self._core.settings.keep_accepted_days,
            _ROWS,
        )
        if not rows:
            return 0
        partitions, ids = [row["partition"] for row in rows], [row["accepted_id"] for row in rows]
        owned = [row for row in rows if row["account_ids"]]
        lost = [row for row in rows if not row["account_ids"]]
        async with self._core.cold.acquire() as connection, connection.transaction():
            await connection.execute(
                "/* cold:store.prune_owned */ UPDATE blob_place p SET account_ids = o.account_ids::bigint[] "
                "FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS o (partition, blob_id, account_ids) "
                "WHERE p.partition = o.partition AND p.blob_id = o.blob_id "
                "AND p.account_ids IS DISTINCT FROM o.account_ids::bigint[]",
                [row["partition"] for row in owned],
                [row["accepted_id"] for row in owned],
                ["{" + ",".join(map(str, sorted(row["account_ids"]))) + "}" for row in owned],
            )
            await connection.execute(
                "/* cold:store.prune_lost */ INSERT INTO blob_release (partition, blob_id) "
                "SELECT * FROM unnest($1::smallint[], $2::uuid[]) ON CONFLICT DO NOTHING",
                [row["partition"] for row in lost],
                [row["accepted_id"] for row in lost],
            )
            for table in ("recipient", "accepted"):
                await connection.execute(
                    f"/* cold:store.prune_{table} */ DELETE FROM {table} t USING unnest($1::smallint[], $2::uuid[]) "
                    "AS old (partition, accepted_id) WHERE t.partition = old.partition AND t.accepted_id = old.accepted_id",
                    partitions,
                    ids,
                )
        return len(rows)
