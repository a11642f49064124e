"""Fakes for hosted domains: the table of keys with its promises, a directory, a clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from petitbleu_delivery.domain.domain_keys import DomainKey, KeyState, KeyTimes
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_delivery.ports import Hosting

TIMES = KeyTimes(timedelta(days=180), timedelta(days=2), timedelta(days=14))


class Calendar:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


class FakeRows:
    """What `adapters.domain_rows` promises, in memory."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.rows: dict[tuple[str, str], tuple[DomainKey, bytes | None]] = {}

    def of(self, domain: str) -> list[DomainKey]:
        return sorted(
            (key for key, _ in self.rows.values() if key.domain == domain), key=lambda key: key.made, reverse=True
        )

    async def keys(self, domain: str) -> list[DomainKey]:
        return self.of(domain)

    async def signing(self, domain: str) -> list[tuple[DomainKey, bytes]]:
        found = [
            (key, sealed)
            for key, sealed in self.rows.values()
            if key.domain == domain and key.state is KeyState.ACTIVE and sealed is not None
        ]
        return sorted(found, key=lambda one: one[0].algorithm)

    async def add(self, key: DomainKey, sealed: bytes) -> bool:
        place = {KeyState.ACTIVE: (KeyState.ACTIVE,)}.get(key.state, (KeyState.MADE, KeyState.PUBLISHED))
        taken = any(one.algorithm is key.algorithm and one.state in place for one in self.of(key.domain))
        if taken or (key.domain, key.selector) in self.rows:
            return False
        self.rows[key.domain, key.selector] = (key, sealed)
        return True

    async def move(self, key: DomainKey, state: KeyState, now: datetime) -> bool:
        known, sealed = self.rows[key.domain, key.selector]
        if known.state is not key.state:
            return False
        moved = msgspec.structs.replace(known, state=state, since=now)
        self.rows[key.domain, key.selector] = (moved, None if state is KeyState.RETIRED else sealed)
        return True

    async def activate(self, key: DomainKey, now: datetime) -> bool:
        for one in self.of(key.domain):
            if one.algorithm is key.algorithm and one.state is KeyState.ACTIVE:
                await self.move(one, KeyState.RETIRING, now)
        return await self.move(key, KeyState.ACTIVE, now)

    async def due(self, after: str, now: datetime, times: KeyTimes, limit: int) -> Sequence[str]:
        return sorted({domain for domain, _ in self.rows if domain > after})[:limit]


class FakeHosted:
    """A directory of domains; `away` when accounts does not answer."""

    def __init__(self, **tenants: int) -> None:
        self.tenants = {name.replace("_", "."): tenant for name, tenant in tenants.items()}
        self.away = False
        self.asked = 0

    async def hosting(self, domain: str) -> Hosting | None:
        self.asked += 1
        if self.away:
            raise PeerUnavailableError(Peer.ACCOUNTS, "UNAVAILABLE")
        tenant = self.tenants.get(domain)
        return None if tenant is None else Hosting(domain, tenant)
