"""DMARC aggregate reports (RFC 9990): counts are gathered through the day, and told to who asks for them the day after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from prometheus_client import Counter

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu_delivery.adapters.dmarc_rows import DmarcRow
from petitbleu_delivery.adapters.rule_peers import Letter
from petitbleu_delivery.domain.report_mail import report_mail
from petitbleu_delivery.domain.seal import Seal, SealError
from petitbleu_delivery.ports import HostedDomains
from petitbleu_kit.logs import get_logger
from petitbleu_mail.auth.dmarc_record import parse_record
from petitbleu_mail.auth.dmarc_report import AggregateReport, AggregateRow, SignatureResult, willing_addresses
from petitbleu_mail.auth.resolver import Resolver, TemporaryDnsError, ascii_domain

_log = get_logger(__name__)
_sent = Counter("petitbleu_delivery_dmarc_reports_total", "DMARC aggregate reports", ["result"])
_DAY_SECONDS: Final = 86_400
# Rows of one report, the most frequent first; mailboxes of reports take some megabytes.
_MAX_ROWS: Final = 5_000
# Reports of one turn.
_MAX_REPORTS: Final = 1_000
# Counts come within a minute or so; a day is reported when it is over for that long.
_LATE: Final = timedelta(minutes=15)
# A domain whose name servers do not answer for so long gets no report of that day.
_KEPT: Final = timedelta(days=2)
_SEALED: Final = b"dmarc"


class Rows(Protocol):
    """The table; `adapters.dmarc_rows` says more of each."""

    async def add(self, rows: Sequence[DmarcRow]) -> None:
        """Add counts."""
        ...

    async def due(self, before: date, limit: int) -> list[tuple[date, str]]:
        """Days before this one and the domains of which there are rows."""
        ...

    async def rows(self, day: date, domain: str, limit: int) -> list[tuple[bytes, int]]:
        """What is sealed of a domain's day, with its counts."""
        ...

    async def drop(self, day: date, domain: str) -> None:
        """Forget a domain's day."""
        ...


class DmarcReports:
    """Gathers and sends.

    Args:
        rows: The table.
        seal: Seals rows, and tells equal ones by a keyed hash.
        accept: Hands mails to store; the key of each makes a repeat a no-op.
        hosted: Says for whom the sender's domain is hosted.
        resolver: The DNS.
        sender: Address in From, of a hosted domain; nothing is gathered or sent without.
        organization: Name of who reports.
        clock: The time now.
    """

    def __init__(
        self,
        rows: Rows,
        seal: Seal,
        accept: Callable[[Sequence[Letter]], Awaitable[bool]],
        hosted: HostedDomains,
        resolver: Resolver,
        sender: str,
        organization: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rows = rows
        self._seal = seal
        self._accept = accept
        self._hosted = hosted
        self._resolver = resolver
        self._sender = sender
        self._receiver = ascii_domain(sender.rpartition("@")[2])
        self._organization = organization or self._receiver
        self._clock = clock

    async def record(self, counts: Sequence[pb.DmarcCount]) -> None:
        """Add what ingest counted."""
        if not self._sender:
            return
        today = self._clock().date()
        merged: dict[tuple[date, str, bytes], DmarcRow] = {}
        for count in counts:
            domain = ascii_domain(count.evaluation.domain)
            if not domain or count.messages <= 0:
                continue
            day = datetime.fromtimestamp(count.seen_at, UTC).date()
            day = day if today - _KEPT <= day <= today else today
            said = count.evaluation.SerializeToString(deterministic=True)
            key = self._seal.hash(0, domain.encode(), said)
            known = merged.get((day, domain, key))
            messages = count.messages + (known.messages if known is not None else 0)
            sealed = known.sealed if known is not None else self._seal.seal(0, _SEALED, said)
            merged[day, domain, key] = DmarcRow(day, domain, key, sealed, messages)
        await self._rows.add(list(merged.values()))

    async def send(self) -> None:
        """Send the reports of days that are over; what several processes do at the same time is done once."""
        hosting = await self._hosted.hosting(self._receiver) if self._sender else None
        now = self._clock()
        for day, domain in await self._rows.due((now - _LATE).date(), _MAX_REPORTS):
            if hosting is None:
                # a report that nobody can trust is worth nothing, and what is not sent is not kept
                await self._rows.drop(day, domain)
                continue
            try:
                await self._report(day, domain, hosting.tenant_id)
            except TemporaryDnsError:
                if now.date() - day > _KEPT:
                    _sent.labels(result="unreachable").inc()
                    await self._rows.drop(day, domain)

    async def _report(self, day: date, domain: str, tenant_id: int) -> None:
        evaluations = self._opened(await self._rows.rows(day, domain, _MAX_ROWS))
        record = parse_record(evaluations[-1][0].record.encode()) if evaluations else None
        addresses = await willing_addresses(self._resolver, domain, record) if record is not None else []
        if record is not None and addresses:
            begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            name = sha256(f"{self._receiver} {domain} {begin}".encode()).hexdigest()[:24]
            report = AggregateReport(
                self._organization, self._sender, f"{name}@{self._receiver}", begin, begin + _DAY_SECONDS - 1, domain, record,
                tuple(_row(said, messages) for said, messages in evaluations),
            )  # fmt: skip
            if not await self._accept([self._letter(report, to, tenant_id) for to in addresses if to.isascii()]):
                return  # store has no room now: at the next turn
            _sent.labels(result="sent").inc(len(addresses))
        else:
            _sent.labels(result="nobody").inc()
        await self._rows.drop(day, domain)

    def _opened(self, rows: Sequence[tuple[bytes, int]]) -> list[tuple[pb.DmarcEvaluation, int]]:
        found = []
        for sealed, messages in rows:
            try:
                said = pb.DmarcEvaluation.FromString(self._seal.open(0, _SEALED, sealed))
            except (SealError, DecodeError):
                _log.error("a row of DMARC cannot be opened")
                continue
            found.append((said, messages))
        return found

    def _letter(self, report: AggregateReport, to: str, tenant_id: int) -> Letter:
        now = self._clock()
        body = report_mail(report, self._sender, to, self._receiver, now)
        key = sha256(b"dmarc-report\0" + report.report_id.encode() + b"\0" + to.encode()).digest()
        trace = f"Received: by {self._receiver} (Petit Bleu);\r\n\t{now:%a, %d %b %Y %H:%M:%S} +0000\r\n".encode()
        # the null path: nobody here reads what comes back, and no report is worth a bounce
        return Letter(key, "", to, trace, body, 0, tenant_id, notice=True, header_from=self._sender)


def _row(said: pb.DmarcEvaluation, messages: int) -> AggregateRow:
    return AggregateRow(
        said.source, messages, said.disposition, said.dkim_aligned, said.spf_aligned, said.header_from, said.envelope_from,
        said.spf_domain, said.spf_result, said.spf_scope,
        tuple(SignatureResult(one.domain, one.selector, one.result) for one in said.signatures), said.reason,
    )  # fmt: skip
