"""Wires submissions together (RFC 8621 §7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence

import asyncpg
import grpc.aio

from petitbleu.delivery.v1 import submission_pb2_grpc
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.key_file import read_key
from petitbleu_delivery.adapters.outgoing import StoreOutgoing
from petitbleu_delivery.adapters.submission_rows import PostgresSubmissions
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.seal import Seal
from petitbleu_delivery.domain.submissions import Rates
from petitbleu_delivery.grpc_submissions import SubmissionServicer
from petitbleu_delivery.service.submissions.handover import HandOver
from petitbleu_delivery.service.submissions.news import Reported
from petitbleu_delivery.service.submissions.ports import Permits, Stopped
from petitbleu_delivery.service.submissions.reports import SubmissionReports
from petitbleu_delivery.service.submissions.scrutiny import Scrutiny
from petitbleu_delivery.service.submissions.submissions import Submissions
from petitbleu_kit.lifecycle import forever
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.rpc import Peer

_DAY_MS = 86_400_000
Living = Callable[[Sequence[int]], Awaitable[Container[int]]]


class SubmissionParts:
    """What submissions consist of.

    Attributes:
        news: Takes what rounds and the outbound queue report.
        reports: Hears of reports that come as mail.
        outbox: The facts of delivery on their way to the bus.

    Args:
        settings: Settings.
        pool: The database.
        store: The channel to store.
        seal: Seals what submissions say.
        living: Says which of at most 1,000 accounts are there.
        permits: Says who may send how much.
        stopped: Says that nothing leaves an account any more.
        outbox: The facts of delivery on their way to the bus.
        scrutiny: Looks messages through.
    """

    def __init__(
        self, settings: DeliverySettings, pool: asyncpg.Pool[asyncpg.Record], store: Peer, seal: Seal,
        living: Living, permits: Permits, stopped: Stopped, outbox: Outbox, scrutiny: Scrutiny | None = None,
    ) -> None:  # fmt: skip
        self._living = living
        self.outbox = outbox
        self._table = PostgresSubmissions(pool, self.outbox, seal)
        outgoing = StoreOutgoing(store, settings.delivery_commit_seconds, settings.hostname)
        self._handover = HandOver(self._table, outgoing, stopped, scrutiny)
        rates = Rates(settings.submission_hour_recipients, settings.submission_day_recipients)
        self._submissions = Submissions(self._table, self._handover, permits, rates)
        self._keep_ms = settings.submission_keep_days * _DAY_MS
        self.news = Reported(self._table)
        self.reports = SubmissionReports(self._table, AcceptedMail(store, settings.delivery_commit_seconds))

    def serve(self, server: grpc.aio.Server) -> None:
        """Answer people's requests."""
        submission_pb2_grpc.add_SubmissionServiceServicer_to_server(SubmissionServicer(self._submissions), server)

    def tasks(self) -> list[Awaitable[None]]:
        """Return what runs beside."""
        return [
            self.outbox.run(),
            forever("delivery.submissions", 1.0, self._handover.sweep),
            forever("delivery.submissions_prune", 600.0, self._prune),
            forever("delivery.submissions_erase", 3600.0, lambda: self._table.erase_closed(self._living)),
        ]

    async def _prune(self) -> None:
        await self._table.prune(self._keep_ms)

    async def end(self) -> None:
        """Let what is under way end."""
        await self._handover.end()
        await self.outbox.drain()


def submission_parts(
    settings: DeliverySettings,
    pool: asyncpg.Pool[asyncpg.Record],
    store: Peer,
    living: Living,
    permits: Permits,
    stopped: Stopped,
    outbox: Outbox,
    scrutiny: Scrutiny | None = None,
) -> SubmissionParts:
    """Put submissions together.

    Raises:
        StartupError: the key cannot be read.
    """
    return SubmissionParts(
        settings,
        pool,
        store,
        Seal(read_key(settings.key_file()), "submissions"),
        living,
        permits,
        stopped,
        outbox,
        scrutiny,
    )
