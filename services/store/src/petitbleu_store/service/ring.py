"""The ring of hot tables: which one is written, and how much all of them hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from petitbleu_kit.lifecycle import forever
from petitbleu_store.adapters.postgres import Pool

HOT_SLOTS: Final = 8
SEGMENT_SLOT: Final = 14  # the slot in the id of a segment
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


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of the ring.

    Attributes:
        slot: Its number.
        state: "written", "sealed" or "free".
        age: Seconds in that state.
        octets: Octets of its table, indexes included.
    """

    slot: int
    state: str
    age: float
    octets: int


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

    async def refresh(self) -> list[Slot]:
        """Read the ring's state."""
        added = self._added
        slots = [Slot(*row.values()) for row in await self._pool.fetch(_STATE)]
        self.octets = sum(slot.octets for slot in slots)
        self._added -= added
        for slot in slots:
            if slot.state == "written":
                self.slot = slot.slot
        _octets.set(self.octets)
        return slots

    def added(self, octets: int) -> None:
        """Count octets written since the last refresh."""
        self._added += octets

    @property
    def full(self) -> bool:
        """Whether the bound of hot octets is reached."""
        return self.octets + self._added >= self._max_octets

    async def seal(self) -> int | None:
        """Switch writing to the next free slot; return the slot that is sealed now, None when no slot is free."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                "/* cold:store.ring_lock */ SELECT slot, state FROM ring ORDER BY slot FOR UPDATE"
            )
            written = next(row["slot"] for row in rows if row["state"] == "written")
            free = [row["slot"] for row in rows if row["state"] == "free"]
            if not free:
                return None
            following = min(free, key=lambda slot: (slot - written) % HOT_SLOTS)
            for state, slot in (("sealed", written), ("written", following)):
                await connection.execute(
                    "/* cold:store.ring_switch */ UPDATE ring SET state = $1, since = now() WHERE slot = $2",
                    state,
                    slot,
                )
        self.slot = following
        return int(written)

    async def run(self) -> None:
        """Refresh until cancelled."""
        await forever("store.ring", _REFRESH_SECONDS, self.refresh)
