"""TLS reports (RFC 8460 §5.3): a domain's day is told, when it is over, to the places that the domain names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from prometheus_client import Counter

from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.adapters.tls_rows import Held
from petitbleu_delivery.domain.report_mail import tls_report_mail
from petitbleu_delivery.domain.tls_report import TlsReport, TlsSession
from petitbleu_delivery.ports import HostedDomains
from petitbleu_delivery.service.domains.tls_results import Texts, places_of
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.resolver import TemporaryDnsError, ascii_domain

_log = get_logger(__name__)
_sent = Counter("petitbleu_delivery_tls_reports_total", "Reports of TLS to other domains", ["result"])
# Kinds of sessions in one report, the most frequent first.
_MAX_ROWS: Final = 1_000
_MAX_DUE: Final = 10_000
# Counts come within a minute or so.
_LATE: Final = timedelta(minutes=15)
# RFC 8460 §4.1: reports of all the world do not begin at midnight; each domain has its minute of the first four hours.
_SPREAD_MINUTES: Final = 240
# RFC 8460 §5.5: tried again for a day or so, and then given up.
_KEPT: Final = timedelta(days=2)
_POSTED_MOST: Final = 10_000


class Rows(Protocol):
    """The table; `adapters.tls_rows` says more of each."""

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        """Days before this one and the domains of which there are rows."""
        ...

    def hold(self, day: date, domain: str, limit: int) -> AbstractAsyncContextManager[Held]:
        """Take a domain's day in hand."""
        ...


class TlsReports:
    """Sends.

    Args:
        rows: The table.
        accept: Hands mails to store; the key of each makes a repeat a no-op.
        post: Posts a report to a URL; says whether it was taken.
        hosted: Says for whom the sender's domain is hosted.
        names: The DNS.
        sender: Address in From, of a hosted domain.
        organization: Name of who reports.
        clock: The time now.
    """

    def __init__(
        self,
        rows: Rows,
        accept: Callable[[Sequence[Letter]], Awaitable[bool]],
        post: Callable[[str, bytes], Awaitable[bool]],
        hosted: HostedDomains,
        names: Texts,
        sender: str,
        organization: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rows = rows
        self._accept = accept
        self._post = post
        self._hosted = hosted
        self._names = names
        self._sender = sender
        self._reporter = ascii_domain(sender.rpartition("@")[2])
        self._organization = organization or self._reporter
        self._clock = clock
        # what was taken by a URL is not posted again while another place of the same day is tried
        self._posted: dict[tuple[str, str], None] = {}

    async def send(self) -> None:
        """Send the reports of days that are over; what several processes do at the same time is done once."""
        hosting = await self._hosted.hosting(self._reporter)
        now = self._clock()
        for day, domain in await self._rows.due(now.date(), _MAX_DUE):
            over = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
            if now < over + _LATE + timedelta(minutes=_share(domain)):
                continue
            async with self._rows.hold(day, domain, _MAX_ROWS) as held:
                # what nobody can be sure is ours is worth nothing, and what is not sent is not kept
                held.done = hosting is None or await self._report(day, domain, held.rows, hosting.tenant_id)
                if not held.done and now.date() - day > _KEPT:
                    _sent.labels(result="unreachable").inc()
                    held.done = True

    async def _report(self, day: date, domain: str, rows: Sequence[tuple[bytes, int]], tenant_id: int) -> bool:
        """Send a domain's day; say whether that is done, or nobody wants it any more."""
        if not rows:
            return False  # another process has it
        try:
            places = await places_of(self._names, domain)
        except TemporaryDnsError:
            return False
        sessions = tuple(
            (found, count) for said, count in rows for found in (_opened(said),) if found is not None
        )  # fmt: skip
        if places is None or not sessions:
            _sent.labels(result="nobody").inc()
            return True
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        name = sha256(f"{self._reporter} {domain} {begin:%Y-%m-%d}".encode()).hexdigest()[:24]
        contact = f"mailto:{self._sender}"
        report = TlsReport(self._organization, contact, f"{name}@{self._reporter}", begin, domain, sessions)
        done = not places.addresses or await self._accept(
            [self._letter(report, to, tenant_id) for to in places.addresses]
        )
        if done:
            _sent.labels(result="sent").inc(len(places.addresses))
        # at once: the day is held in a transaction, which no server of others may keep open for long
        return all(await asyncio.gather(*(self._posts(url, report) for url in places.urls))) and done

    async def _posts(self, url: str, report: TlsReport) -> bool:
        if (url, report.report_id) in self._posted:
            return True
        if not await self._post(url, report.packed()):
            return False
        _sent.labels(result="posted").inc()
        self._posted[url, report.report_id] = None
        while len(self._posted) > _POSTED_MOST:
            del self._posted[next(iter(self._posted))]
        return True

    def _letter(self, report: TlsReport, to: str, tenant_id: int) -> Letter:
        now = self._clock()
        body = tls_report_mail(report, self._sender, to, self._reporter, now)
        key = sha256(b"tls-report\0" + report.report_id.encode() + b"\0" + to.encode()).digest()
        trace = f"Received: by {self._reporter} (Petit Bleu);\r\n\t{now:%a, %d %b %Y %H:%M:%S} +0000\r\n".encode()
        # the null path: nobody here reads what comes back, and no report is worth a bounce
        return Letter(key, "", to, trace, body, 0, tenant_id, notice=True, header_from=self._sender)


def _share(domain: str) -> int:
    """Minutes after midnight at which a domain's report begins."""
    return int.from_bytes(sha256(b"tls-report " + domain.encode()).digest()[:4]) % _SPREAD_MINUTES


def _opened(said: bytes) -> TlsSession | None:
    try:
        return msgspec.json.decode(said, type=TlsSession)
    except msgspec.DecodeError:
        _log.error("a row of TLS reports cannot be read")
        return None
