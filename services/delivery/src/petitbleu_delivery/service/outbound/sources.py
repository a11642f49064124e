"""By which of our addresses a letter leaves: of its pool, a new one as far as its allowance goes, an old one else (ADR 32)."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final, Protocol

import asyncpg
from prometheus_client import Counter as Metric

from petitbleu_delivery.domain.outbound import Letter, Reply
from petitbleu_delivery.domain.sources import Pools, Source, complaint, provider_of
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_letters = Metric(
    "petitbleu_delivery_source_letters_total",
    "Letters by pool: from addresses warm, warming or over",
    ["pool", "state"],
)
_complaints = Metric(
    "petitbleu_delivery_source_complaints_total", "Answers that speak against an address of ours", ["pool"]
)
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
# That an address is as an old one to a provider is believed for so long.
_BELIEVED_SECONDS: Final = 600.0
_REMEMBERED: Final = 20_000


class Rows(Protocol):
    """The tables; `adapters.source_rows` says more of each."""

    async def named(self, addresses: Sequence[str]) -> None:
        """Know addresses."""
        ...

    async def warm(self, addresses: Sequence[str]) -> set[str]:
        """Return those that are old."""
        ...

    async def take(self, address: str, provider: str, day: date) -> bool | None:
        """Count a letter."""
        ...

    async def learn(self, address: str, provider: str, good: int, bad: int) -> None:
        """Add answers."""
        ...


class Sources:
    """Chooses.

    Args:
        pools: What the operator named.
        rows: The tables.
        clock: The time now.
    """

    def __init__(
        self, pools: Pools, rows: Rows, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:  # fmt: skip
        self._pools = pools
        self._rows = rows
        self._clock = clock
        self._addresses = [source.address for source in pools.sources]
        self._warm: set[str] = set()
        self._turns: defaultdict[str, int] = defaultdict(int)
        self._warm_to: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._good: Counter[tuple[str, str]] = Counter()
        self._bad: Counter[tuple[str, str]] = Counter()

    async def look(self) -> None:
        """Make our addresses known, and learn which are old."""
        await self._rows.named(self._addresses)
        self._warm = await self._rows.warm(self._addresses)

    def pool_of(self, letter: Letter) -> str:
        """Return the pool by which a letter leaves."""
        return self._pools.of(letter.tenant_id, letter.priority)

    def families(self, pool: str) -> set[int]:
        """Return the families of addresses that a pool has: 4, 6."""
        return {source.family for source in self._pools.pools[pool]}

    async def choose(self, pool: str, host: str, family: int) -> Source | None:
        """Return from where the next letter to an exchanger leaves, and count it; None when the pool has no such address.

        Of two letters one goes to a new address that may still send, so that it earns its name, and one to an old one. With no old one, what
        is beyond the allowance leaves by a new one all the same: no mail waits for a reputation.
        """
        found = [source for source in self._pools.pools[pool] if source.family == family]
        if not found:
            return None
        turn = self._turns[pool] = self._turns[pool] + 1
        old = [source for source in found if source.address in self._warm]
        new = [source for source in found if source.address not in self._warm]
        if new and (not old or turn % 2):
            for at in range(len(new)):
                source = new[(turn // 2 + at) % len(new)]
                if await self.again(source, host):
                    return source
        state = "warm" if old else "over"
        _letters.labels(pool=pool, state=state).inc()
        return (old or new)[turn // 2 % len(old or new)]

    async def again(self, source: Source, host: str) -> bool:
        """Count one more letter over a connection; False when it must not leave by this one."""
        if source.address in self._warm:
            _letters.labels(pool=source.pool, state="warm").inc()
            return True
        key = (source.address, provider_of(host))
        taken: bool | None = True
        if self._warm_to.get(key, 0.0) < time.monotonic():
            try:
                taken = await self._rows.take(*key, self._clock().date())
            except _AWAY as error:
                _log.warning(
                    "new addresses send nothing while the database is away", error_type=type(error).__qualname__
                )
                return False
            if taken:
                self._warm_to[key] = time.monotonic() + _BELIEVED_SECONDS
                while len(self._warm_to) > _REMEMBERED:
                    self._warm_to.popitem(last=False)
        if taken is None:
            return False
        _letters.labels(pool=source.pool, state="warm" if taken else "warming").inc()
        return True

    def learn(self, source: Source, host: str, replies: Sequence[Reply]) -> None:
        """Hear what a server answered to a letter, or to the connection."""
        bad = max((complaint(reply) for reply in replies), default=0)
        if bad:
            _complaints.labels(pool=source.pool).inc()
        if source.address in self._warm:
            return
        key = (source.address, provider_of(host))
        self._bad[key] += bad
        self._good[key] += any(reply.code // 100 == 2 for reply in replies)
        if bad:
            self._warm_to.pop(key, None)

    async def flush(self) -> None:
        """Write what was heard."""
        good, self._good, bad, self._bad = self._good, Counter(), self._bad, Counter()
        for address, provider in sorted({*good, *bad}):
            await self._rows.learn(address, provider, good[address, provider], bad[address, provider])
