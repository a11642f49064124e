"""What TLS with other servers was like, counted in memory, and kept for the reports of the day (RFC 8460)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from prometheus_client import Counter as Metric

from petitbleu_delivery.adapters.tls_rows import TlsRow
from petitbleu_delivery.domain.tls_report import Places, TlsFailure, TlsPolicy, TlsSession, report_places
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.resolver import NoSuchNameError, TemporaryDnsError

_log = get_logger(__name__)
_lost = Metric("petitbleu_delivery_tls_results_lost_total", "Sessions that no report tells, for want of room")
# Kinds of sessions between two flushes, and of one domain: who has a thousand servers is told of the first kinds.
_MOST: Final = 20_000
_MOST_OF_A_DOMAIN: Final = 100
# Whether a domain wants reports is believed for so long; what could not be asked, for a moment.
_ASKED_SECONDS: Final = 3600.0
_FAILED_SECONDS: Final = 300.0
_REMEMBERED: Final = 20_000


class Texts(Protocol):
    """Gives TXT records."""

    async def txt(self, name: str) -> tuple[bytes, ...]:
        """Raises `NoSuchNameError`, `TemporaryDnsError`."""
        ...


class Adding(Protocol):
    """The table; `adapters.tls_rows` says more."""

    async def add(self, rows: Sequence[TlsRow]) -> None:
        """Add counts."""
        ...


async def places_of(names: Texts, domain: str) -> Places | None:
    """Return where a domain wants its reports, None for nowhere.

    Raises:
        TemporaryDnsError: the DNS does not say.
    """
    try:
        return report_places(await names.txt(f"_smtp._tls.{domain}"))
    except NoSuchNameError:
        return None


class TlsResults:
    """Counts.

    Args:
        rows: The table.
        names: The DNS.
        clock: The time now.
    """

    def __init__(
        self, rows: Adding, names: Texts, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:  # fmt: skip
        self._rows = rows
        self._names = names
        self._clock = clock
        self._counts: Counter[tuple[date, str, TlsSession]] = Counter()
        self._kinds: Counter[str] = Counter()
        self._wanted: OrderedDict[str, tuple[float, bool]] = OrderedDict()

    def saw(self, domain: str, policy: TlsPolicy, failure: TlsFailure | None = None) -> None:
        """Count a session with a server of a domain."""
        key = (self._clock().date(), domain, TlsSession(policy, failure))
        if key not in self._counts:
            if len(self._counts) >= _MOST or self._kinds[domain] >= _MOST_OF_A_DOMAIN:
                _lost.inc()
                return
            self._kinds[domain] += 1
        self._counts[key] += 1

    async def flush(self) -> None:
        """Keep what was counted of domains that want reports, and forget the rest."""
        if not self._counts:
            return
        counts, self._counts, self._kinds = self._counts, Counter(), Counter()
        domains = sorted({domain for _, domain, _ in counts})
        wanted = dict(zip(domains, await asyncio.gather(*map(self._is_wanted, domains)), strict=True))
        rows = []
        for (day, domain, session), count in counts.items():
            if wanted[domain]:
                said = msgspec.json.encode(session)
                rows.append(TlsRow(day, domain, sha256(said).digest(), said, count))
        await self._rows.add(rows)

    async def _is_wanted(self, domain: str) -> bool:
        until, wanted = self._wanted.get(domain, (0.0, False))
        if until > time.monotonic():
            return wanted
        seconds = _ASKED_SECONDS
        try:
            wanted = await places_of(self._names, domain) is not None
        except TemporaryDnsError:
            seconds = _FAILED_SECONDS  # what was known of it still holds
        self._wanted[domain] = (time.monotonic() + seconds, wanted)
        self._wanted.move_to_end(domain)
        while len(self._wanted) > _REMEMBERED:
            self._wanted.popitem(last=False)
        return wanted
