"""Wires mail to other servers."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

import grpc.aio

from petitbleu.delivery.v1 import queue_pb2_grpc
from petitbleu_delivery.adapters.accepted_mail import AcceptedMail
from petitbleu_delivery.adapters.exchangers import Exchangers
from petitbleu_delivery.adapters.guard import JuniorGuard
from petitbleu_delivery.adapters.queue_orders import QueueOrders
from petitbleu_delivery.adapters.queue_rows import QueueRows
from petitbleu_delivery.adapters.records_dns import RecordLookups
from petitbleu_delivery.adapters.smtp_transport import SmtpTransport
from petitbleu_delivery.adapters.store import StoreFiling
from petitbleu_delivery.adapters.sts_policies import StsPolicies
from petitbleu_delivery.bootstrap_bounces import BounceParts
from petitbleu_delivery.bootstrap_sources import source_rows
from petitbleu_delivery.bootstrap_tls_reports import TlsReporting
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.domain.outbound import Priority
from petitbleu_delivery.grpc_queue import QueueServicer
from petitbleu_delivery.ports import DomainSigner, SubmissionNews, Transport
from petitbleu_delivery.service import measures
from petitbleu_delivery.service.outbound.destinations import Limits
from petitbleu_delivery.service.outbound.entering import Entering
from petitbleu_delivery.service.outbound.notices import DeliveryNotices
from petitbleu_delivery.service.outbound.presence import Presence
from petitbleu_delivery.service.outbound.sending import Sender
from petitbleu_delivery.service.outbound.sources import Sources
from petitbleu_delivery.service.outbound.telling import Teller
from petitbleu_delivery.service.outbound.way_out import Submitters, WayOut
from petitbleu_delivery.service.router import Router
from petitbleu_delivery.service.suspensions import IsSuspended
from petitbleu_kit.egress import Egress, EgressRules
from petitbleu_kit.egress_addresses import networks
from petitbleu_kit.lifecycle import StartupError, forever
from petitbleu_kit.logs import get_logger

if TYPE_CHECKING:
    from petitbleu_delivery.bootstrap import Backends

_log = get_logger(__name__)
_SWEEP_SECONDS: Final = 1.0
_UNTOLD_SECONDS: Final = 15.0
_UNTOLD_MOST: Final = 500
_LOST_SECONDS: Final = 60.0
_PRUNE_SECONDS: Final = 600.0


async def open_transport(
    opened: Backends, sources: Sources | None = None
) -> tuple[SmtpTransport, Egress, TlsReporting]:
    """Return what carries letters, the guard through which policies are fetched, and who tells what TLS was like.

    Raises:
        StartupError: a setting cannot be used.
    """
    settings = opened.settings
    try:
        names = RecordLookups(settings.dns)
        rules = EgressRules(
            networks(settings.egress_allow), networks(settings.egress_refuse), frozenset({settings.outbound_port})
        )
        egress = Egress.of(settings)
        relay = relay_of(settings.outbound_relay)
        name = name_of(settings)
        exchangers = Exchangers(
            names,
            rules,
            settings.outbound_port,
            validates=settings.dns_validates,
            own=(settings.hostname, name, *settings.own_mx()),
        )
        authority = None if settings.ca_file is None else str(settings.ca_file)
        # its own look-ups: who wants reports is asked about where mail may wait for no answer
        reporting = TlsReporting(opened, RecordLookups(settings.dns), egress)
        transport = SmtpTransport(
            exchangers,
            StsPolicies(opened.pool, names, egress),
            name,
            settings.outbound_port,
            authority=authority,
            relay=relay,
            watch=reporting.watch,
            sources=sources,
        )
    except (ValueError, OSError) as error:
        raise StartupError(f"a setting of outbound mail cannot be used ({type(error).__name__})") from None
    return transport, egress, reporting


def name_of(settings: DeliverySettings) -> str:
    """Return the name by which we greet, and which reports."""
    return settings.outbound_name or settings.hostname


def relay_of(text: str) -> tuple[str, int] | None:
    """Read `host:port`; None for nothing.

    Raises:
        ValueError: it is something else.
    """
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError
    return host.strip("[]"), int(port)


def limits_of(settings: DeliverySettings) -> Limits:
    """Return the bounds that an operator set."""
    return Limits(
        settings.outbound_connections, settings.outbound_destination_connections, settings.outbound_destination_first,
        settings.outbound_units, settings.outbound_octets, settings.outbound_first_retry_seconds,
        settings.outbound_longest_retry_seconds, settings.outbound_expire_seconds, settings.outbound_warn_seconds,
    )  # fmt: skip


class Outbound:
    """Mail to other servers, wired.

    Args:
        opened: Pool and peers.
        submitters: Who submits.
        router: Where addresses lead.
        filing: store.
        guard: junior-guard.
        transport: Carries letters.
        signer: Signs them.
        news: Hears what became of submissions.
        bounces: Remembers what servers refused.
        suspended: Who may send nothing.
    """

    def __init__(
        self, opened: Backends, submitters: Submitters, router: Router, filing: StoreFiling, guard: JuniorGuard,
        transport: Transport, signer: DomainSigner, news: SubmissionNews,
        bounces: BounceParts, suspended: IsSuspended,
    ) -> None:  # fmt: skip
        settings = opened.settings
        self._silent = settings.outbound_silent_seconds
        self._transport = transport
        self._pool = opened.pool
        self._source_rows = source_rows(opened)
        self.rows = QueueRows(opened.pool)
        self.presence = Presence(self.rows, self._silent)
        mail = AcceptedMail(opened.store, settings.delivery_commit_seconds)
        self.submitters = submitters
        way_out = WayOut(submitters, guard, suspended=suspended)
        self.notices = DeliveryNotices(
            router, self.submitters, mail, name_of(settings), settings.outbound_expire_seconds
        )
        self.teller = Teller(self.rows, filing, news, self.notices)
        self.sender = Sender(
            self.rows,
            mail,
            transport,
            signer,
            self.teller,
            limits_of(settings),
            self.presence,
            way_out,
            bounces.suppressions,
            bounces.tokens,
            bounces.watch,
            suspended,
        )
        self.entering = Entering(self.rows, self.sender, way_out, self.presence, bounces.watch)

    async def open(self) -> None:
        """Say that this process is there."""
        await self._beat()

    async def _beat(self) -> None:
        if not await self.presence.beat():
            self.sender.give_up()
        self.sender.go_on()

    async def sweep(self) -> None:
        """Take what is due and in nobody's hands."""
        # A process that could not say that it is there may be taken for dead: it takes nothing more in hand.
        if not self.presence.sure:
            return
        self.sender.orders(await self.rows.destinations())
        for lowest in (Priority.PERSON, Priority.BULK):
            await self._claim(lowest)

    async def _claim(self, lowest: Priority) -> None:
        """Take what is due of the classes down to `lowest`, as far as there is room."""
        while room := min(self.sender.room if lowest is Priority.PERSON else self.sender.bulk_room, 500):
            units = await self.rows.claim(
                self.presence.worker, self._silent, room, of_silent=self.presence.settled, lowest=lowest.value
            )
            self.sender.take(units)
            if len(units) < room:
                return

    async def refind(self) -> None:
        """Take what is ours by the rows and not in hand: the answer of the commit that gave it to us was lost."""
        mine = await self.rows.mine(self.presence.worker, _LOST_SECONDS, _UNTOLD_MOST)
        lost = [unit for unit in mine if not self.sender.holds(unit)]
        if lost:
            _log.warning("units are found again", count=len(lost))
            self.sender.take(lost)

    async def upkeep(self) -> None:
        """Tell what was kept and never told, and measure the queue."""
        while untold := await self.rows.untold(_UNTOLD_SECONDS, _UNTOLD_MOST):
            _log.info("answers are told again", count=len(untold))
            await self.teller.settle(untold)
            if len(untold) < _UNTOLD_MOST:
                break
        await self.refind()
        measures.queue_is(await self.rows.depth())

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer the operator."""
        servicer = QueueServicer(QueueOrders(self._pool), self.sender.forgive, self._source_rows)
        queue_pb2_grpc.add_QueueServiceServicer_to_server(servicer, server)

    def work(self) -> Sequence[Awaitable[None]]:
        """Return what goes on in the background."""
        return (
            forever("delivery.outbound.beat", self._silent / 6, self._beat),
            forever("delivery.outbound.sweep", _SWEEP_SECONDS, self.sweep),
            forever("delivery.outbound.upkeep", _UNTOLD_SECONDS / 3, self.upkeep),
            forever("delivery.outbound.prune", _PRUNE_SECONDS, self.rows.prune),
        )

    async def close(self, seconds: float) -> None:
        """End what is on its way, and give the rest back."""
        await self.sender.drain(seconds)
        await self._transport.close()
        await self.rows.gone(self.presence.worker)
