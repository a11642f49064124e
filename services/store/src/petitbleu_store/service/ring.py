"""The ring of hot tables: which one is written, and how much all of them hold."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

from petitbleu_kit.lifecycle import forever
from petitbleu_store.adapters.postgres import Pool

HOT_SLOTS: Final = 8
COLD_SLOT: Final = 15  # a blob id with this slot was never in a hot table: it has an object of its own

_octets = Gauge("petitbleu_store_hot_octets", "Octets of the hot tables")
_limit = Gauge("petitbleu_store_hot_octets_limit", "Octets of the hot tables beyond which nothing is accepted")
_REFRESH_SECONDS: Final = 2.0

_STATE: Final = (
    "/* cold:store.ring_state */ SELECT slot, state, extract(epoch FROM now() - since)::float8 AS age, "
    "pg_total_relation_size(('hot_' || lpad(slot::text, 2, '0'))::regclass) AS octets FROM ring ORDER BY slot"
)


def hot_table(slot: int) -> str:
    """Name of a slot's table."""
    return f"hot_{slot:02d}"


class Ring:
    """What a writer knows of the ring: a copy that is seconds old.

    A writer that has not heard of a switch writes in the sealed table; the packer finds such rows under its lock before it
    empties the table, so nothing depends on how fresh this is.
    """

    def __init__(self, pool: Pool, max_octets: int) -> None:
        self._pool = pool
        self._max_octets = max_octets
        self._added = 0
        self.slot = 0
        self.octets = 0
        _limit.set(max_octets)

    async def refresh(self) -> None:
        """Read the ring's state."""
        added = self._added
        rows = await self._pool.fetch(_STATE)
        self.octets = sum(row["octets"] for row in rows)
        self._added -= added
        for row in rows:
            if row["state"] == "written":
                self.slot = row["slot"]
        _octets.set(self.octets)

    def added(self, octets: int) -> None:
        """Count octets written since the last refresh."""
        self._added += octets

    @property
    def full(self) -> bool:
        """Whether the bound of hot octets is reached."""
        return self.octets + self._added >= self._max_octets

    async def run(self) -> None:
        """Refresh until cancelled."""
        await forever("store.ring", _REFRESH_SECONDS, self.refresh)
