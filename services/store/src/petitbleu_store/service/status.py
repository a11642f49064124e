"""Counts for the operator and the tests, counted when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu_store.core import Core
from petitbleu_store.service.ring import HOT_SLOTS, hot_table

_HOT: Final = " + ".join(f"(SELECT count(*) FROM {hot_table(slot)})" for slot in range(HOT_SLOTS))
_STATUS: Final = (
    "/* cold:store.status */ SELECT (SELECT count(*) FROM recipient WHERE outcome = 1) AS open_recipients, "
    "(SELECT count(*) FROM recipient WHERE outcome = 6) AS parked_recipients, "
    f"{_HOT} AS hot_bodies, "
    "(SELECT coalesce(sum(pg_total_relation_size(('hot_' || lpad(slot::text, 2, '0'))::regclass)), 0)::bigint FROM ring) "
    "AS hot_octets, (SELECT count(*) FROM segment WHERE state = 'live') AS segments, "
    "(SELECT count(*) FROM outbox WHERE published_at IS NULL) AS outbox_pending"
)


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of what acceptance and the packer hold."""

    open_recipients: int
    parked_recipients: int
    hot_bodies: int
    hot_octets: int
    segments: int
    outbox_pending: int


async def status(core: Core) -> Status:
    """Count."""
    (row,) = await core.cold.fetch(_STATUS)
    return Status(*row.values())
