"""What delivery remembers of the directory: bounded, at most 60 seconds old, and forgotten when accounts says so.

Only answers that lead somewhere are remembered: nothing is parked on an old "unknown". A stale "not guarded" does no harm,
since store refuses to file in a guarded account without a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

import msgspec
from prometheus_client import Counter, Gauge

from petitbleu_delivery.domain.model import Route, Status

_looked_up = Counter("petitbleu_delivery_cache_total", "Addresses looked up in the cache", ["result"])
_hit = _looked_up.labels(result="hit")
_miss = _looked_up.labels(result="miss")
_forgotten = Counter("petitbleu_delivery_cache_forgotten_total", "Addresses forgotten because the directory changed")
_size = Gauge("petitbleu_delivery_cache_size", "Addresses and targets remembered")


class Flight:
    """A question to the directory under way: what changes meanwhile must not be remembered from its answer."""

    __slots__ = ("accounts", "all", "domains")

    def __init__(self) -> None:
        self.accounts: set[int] = set()
        self.domains: set[int] = set()
        self.all = False


class _Entry(msgspec.Struct, gc=False):
    route: Route
    expires: float


class RouteCache:
    """Remembers routes by address as received.

    Args:
        entries: Bound on addresses and targets together.
        seconds: How long an answer is believed.
        clock: Seconds that only grow.
    """

    def __init__(self, entries: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._bound = entries
        self._seconds = seconds
        self._clock = clock
        self._weight = 0
        # All live equally long, so the order of insertion is the order of expiry.
        self._entries: dict[str, _Entry] = {}
        self._by_account: dict[int, set[str]] = {}
        self._by_domain: dict[int, set[str]] = {}
        self._indirect: set[str] = set()
        self._flights: list[Flight] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight(self) -> int:
        """Addresses and targets remembered."""
        return self._weight

    def get_all(self, addresses: Iterable[str]) -> dict[str, Route]:
        """Return the routes that are remembered of some addresses."""
        now = self._clock()
        found: dict[str, Route] = {}
        asked = 0
        for address in addresses:
            asked += 1
            entry = self._entries.get(address)
            if entry is not None and entry.expires > now:
                found[address] = entry.route
        _hit.inc(len(found))
        _miss.inc(asked - len(found))
        return found

    def begin(self) -> Flight:
        """Begin a question to the directory; it ends with `end`."""
        flight = Flight()
        self._flights.append(flight)
        return flight

    def end(self, flight: Flight, routes: Iterable[tuple[str, Route]] = ()) -> None:
        """End a question and remember its answers, but for what changed while it was under way."""
        self._flights.remove(flight)
        if flight.all or self._seconds <= 0:
            return
        expires = self._clock() + self._seconds
        for address, route in routes:
            weight = 1 + len(route.targets)
            if route.status is not Status.LOCAL or not route.targets or weight > self._bound // 4:
                continue
            if route.domain_id in flight.domains or (route.indirect and flight.domains):
                continue
            if flight.accounts and any(target.account_id in flight.accounts for target in route.targets):
                continue
            self._drop(address)
            self._entries[address] = _Entry(route, expires)
            self._weight += weight
            for target in route.targets:
                self._by_account.setdefault(target.account_id, set()).add(address)
            self._by_domain.setdefault(route.domain_id, set()).add(address)
            if route.indirect:
                self._indirect.add(address)
            while self._weight > self._bound:
                self._drop(next(iter(self._entries)))
        _size.set(self._weight)

    def forget(self, account_ids: Iterable[int] = (), domain_ids: Iterable[int] = ()) -> None:
        """Forget what leads to some accounts or lies in some domains.

        A change in any domain forgets all that an alias, a group or a catch-all answered: its members may lie in that domain.
        """
        accounts, domains = set(account_ids), set(domain_ids)
        for flight in self._flights:
            flight.accounts |= accounts
            flight.domains |= domains
        gone: set[str] = set()
        for account_id in accounts:
            gone |= self._by_account.get(account_id, set())
        for domain_id in domains:
            gone |= self._by_domain.get(domain_id, set())
        if domains:
            gone |= self._indirect
        for address in gone:
            self._drop(address)
        _forgotten.inc(len(gone))
        _size.set(self._weight)

    def forget_address(self, address: str) -> None:
        """Forget one address, because what it led to turned out to be wrong."""
        self._drop(address)

    def clear(self) -> None:
        """Forget everything."""
        for flight in self._flights:
            flight.all = True
        _forgotten.inc(len(self._entries))
        self._entries.clear()
        self._by_account.clear()
        self._by_domain.clear()
        self._indirect.clear()
        self._weight = 0
        _size.set(0)

    def _drop(self, address: str) -> None:
        entry = self._entries.pop(address, None)
        if entry is None:
            return
        self._weight -= 1 + len(entry.route.targets)
        self._indirect.discard(address)
        for target in entry.route.targets:
            _unlink(self._by_account, target.account_id, address)
        _unlink(self._by_domain, entry.route.domain_id, address)


def _unlink(index: dict[int, set[str]], key: int, address: str) -> None:
    known = index.get(key)
    if known is not None:
        known.discard(address)
        if not known:
            del index[key]
