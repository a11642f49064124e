"""Wires delivery together, runs it and drains it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import grpc
from nats.aio.client import Client
from nats.errors import Error as NatsError

from petitbleu.delivery.v1 import delivery_pb2_grpc
from petitbleu_delivery.adapters.accounts import AccountsDirectory
from petitbleu_delivery.adapters.guard import JuniorGuard
from petitbleu_delivery.adapters.store import StoreFiling
from petitbleu_delivery.bootstrap_abuse import AbuseParts
from petitbleu_delivery.bootstrap_bounces import open_bounces
from petitbleu_delivery.bootstrap_domains import open_domains
from petitbleu_delivery.bootstrap_inbound import InboundParts
from petitbleu_delivery.bootstrap_outbound import Outbound, open_transport
from petitbleu_delivery.bootstrap_permits import PermitParts
from petitbleu_delivery.bootstrap_scripts import script_parts
from petitbleu_delivery.bootstrap_scrutiny import open_scrutiny
from petitbleu_delivery.bootstrap_sources import open_sources, sources_work
from petitbleu_delivery.bootstrap_submissions import submission_parts
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.consumers import ACCEPTED, AcceptedMail, DirectoryNews
from petitbleu_delivery.grpc_api import ALLOWED, RoutingServicer
from petitbleu_delivery.grpc_domains import DOMAINS_ALLOWED
from petitbleu_delivery.grpc_filters import ALLOWED_FILTERS, PERSON_FILTERS
from petitbleu_delivery.grpc_inbound import ALLOWED_INBOUND
from petitbleu_delivery.grpc_permit_terms import ALLOWED_PERMIT_TERMS
from petitbleu_delivery.grpc_permits import ALLOWED_PERMITS
from petitbleu_delivery.grpc_queue import ALLOWED_QUEUE
from petitbleu_delivery.grpc_reports import REPORTS_ALLOWED
from petitbleu_delivery.grpc_scripts import ALLOWED_SCRIPTS, PERSON_SCRIPTS
from petitbleu_delivery.grpc_senders import ALLOWED_SENDERS, PERSON_SENDERS
from petitbleu_delivery.grpc_submissions import ALLOWED_SUBMISSIONS, PERSON_SUBMISSIONS
from petitbleu_delivery.grpc_suppressions import ALLOWED_SUPPRESSIONS
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.reputation import JUDGED
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router
from petitbleu_kit.bus import Consumer, connect
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.lifecycle import StartupError, background, forever, remove_stale_socket
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.postgres import answers, migrate, refuse_unsafe, wait_for_pool
from petitbleu_kit.rpc import IdentityInterceptor, Peer, make_server

NAME: Final = "delivery"
SCHEMA: Final = "delivery"
STREAM: Final = "MAIL"
EVENTS: Final = "DELIVERY"
_SOON_SECONDS: Final = 2.0
_log = get_logger(__name__)


async def connect_patiently(settings: DeliverySettings, stop: asyncio.Event) -> Client | None:
    """Connect to the bus, waiting for one that is still starting; None when told to stop meanwhile."""
    connecting = asyncio.create_task(connect(settings, NAME))
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({connecting, stopping}, timeout=_SOON_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        _log.warning("waiting for the bus")
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return connecting.result()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    return None


async def open_database(settings: DeliverySettings, stop: asyncio.Event) -> asyncpg.Pool[asyncpg.Record] | None:
    """Wait for a database that is still starting, and bring its schema up to date; None when told to stop meanwhile."""
    opening = asyncio.create_task(wait_for_pool(settings.pg_dsn, SCHEMA, settings.pg_pool_size))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not opening.done():
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        return None
    pool = opening.result()
    await refuse_unsafe(pool)
    await migrate(pool, SCHEMA, settings.migrations_dir)
    return pool


async def pending_events(client: Client) -> int:
    """Events that the bus holds for delivery, those handed out and not answered included; -1 when it does not say."""
    try:
        info = await client.jetstream().consumer_info(STREAM, NAME, timeout=2)
    except (NatsError, OSError, TimeoutError):
        return -1
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


def reachable(peer: Peer) -> bool:
    """Whether a peer's channel is up, or would be tried at the next call."""
    state = peer.channel.get_state(try_to_connect=True)
    return state in {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE}


def identity(settings: DeliverySettings) -> tuple[Signer, Path]:
    """Read this service's key; return it with the directory of the others' public keys.

    Raises:
        StartupError: a setting is missing, or the key cannot be read.
    """
    if settings.identity_key is None or settings.identity_dir is None:
        raise StartupError("PETITBLEU_IDENTITY_KEY and PETITBLEU_IDENTITY_DIR must be set")
    try:
        return Signer.from_file(NAME, settings.identity_key), settings.identity_dir
    except (OSError, ValueError) as error:
        raise StartupError(f"the identity key cannot be read ({type(error).__name__})") from None


class Backends(NamedTuple):
    """What the parts of delivery work with."""

    settings: DeliverySettings
    pool: asyncpg.Pool[asyncpg.Record]
    bus: Client
    store: Peer
    accounts: Peer
    guard: Peer
    health: HealthServer
    outbox: Outbox


@contextlib.asynccontextmanager
async def backends(settings: DeliverySettings, signer: Signer, stop: asyncio.Event) -> AsyncIterator[Backends | None]:
    """Open what delivery needs, and answer probes meanwhile; None when told to stop before all is there.

    Raises:
        StartupError: the health port is taken.
    """
    store = Peer(settings.target("store"), "store", signer)
    accounts = Peer(settings.target("accounts"), "accounts", signer)
    guard = Peer(settings.target("junior-guard"), "junior-guard", signer)
    opened: list[Backends] = []

    async def bus_answers() -> bool:
        return bool(opened) and opened[0].bus.is_connected

    async def database_answers() -> bool:
        return bool(opened) and await answers(opened[0].pool)

    async def store_answers() -> bool:
        return reachable(store)

    async def accounts_answers() -> bool:
        return reachable(accounts)

    # junior-guard is not among them: without it only children's mail waits.
    health = HealthServer(
        {"nats": bus_answers, "postgresql": database_answers, "store": store_answers, "accounts": accounts_answers},
        settings.health_host, settings.health_port,
    )  # fmt: skip
    try:
        await health.start()
    except OSError as error:
        raise StartupError(f"cannot bind its health port ({type(error).__name__})") from None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(health.stop)
        for peer in (store, accounts, guard):
            stack.push_async_callback(peer.close)
        pool = await open_database(settings, stop)
        client = None
        if pool is not None:
            stack.push_async_callback(pool.close)
            client = await connect_patiently(settings, stop)
        if pool is None or client is None:
            yield None
            return
        stack.push_async_callback(leave, client)
        outbox = Outbox(pool, client, NAME, EVENTS)
        opened.append(Backends(settings, pool, client, store, accounts, guard, health, outbox))
        yield opened[0]


async def leave(client: Client) -> None:
    """Leave the bus; what it does not answer in a second is not waited for."""
    with contextlib.suppress(NatsError, OSError, TimeoutError):
        await asyncio.wait_for(client.drain(), 1)


async def run(settings: DeliverySettings, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set, then finish the list in hand.

    Raises:
        StartupError: the identity is missing, or a port is taken.
    """
    signer, public_keys = identity(settings)
    async with backends(settings, signer, stop) as opened:
        if opened is not None:
            await serve(opened, public_keys, stop)
    _log.info("delivery stopped")


async def open_door(server: grpc.aio.Server, address: str) -> None:
    """Begin to answer gRPC.

    Raises:
        StartupError: the address is taken.
    """
    remove_stale_socket(address)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(f"cannot bind its gRPC door ({type(error).__name__})") from None
    await server.start()


async def serve(opened: Backends, public_keys: Path, stop: asyncio.Event) -> None:
    """Deliver and answer until `stop` is set.

    Raises:
        StartupError: the gRPC door is taken, or the service's key is not the right one.
    """
    settings = opened.settings
    client = opened.bus
    domains = await open_domains(opened)
    cache = RouteCache(settings.delivery_cache_entries, settings.delivery_cache_seconds)
    tally = Tally()
    permits = PermitParts(settings, opened.pool)
    await permits.suspensions.refresh()
    scripts = script_parts(
        settings, opened.pool, opened.store, opened.accounts, domains.keys, permits.permits, opened.outbox
    )  # fmt: skip
    directory = AccountsDirectory(opened.accounts, settings.delivery_call_seconds)
    submitters = Submitters(directory, settings.delivery_cache_seconds)
    sources = await open_sources(opened)
    transport, egress, tls_reports = await open_transport(opened, sources)
    submissions = submission_parts(
        settings, opened.pool, opened.store, scripts.peers.people, permits.permits, submitters.stopped, opened.outbox,
        open_scrutiny(settings, opened.store, submitters),
    )  # fmt: skip
    router = Router(directory, cache)
    filing = StoreFiling(opened.store, settings.delivery_call_seconds, settings.delivery_commit_seconds)
    guard = JuniorGuard(opened.guard, settings.delivery_guard_seconds)
    abuse = AbuseParts(opened, submitters, router, scripts.peers.people)
    bounces = await open_bounces(opened, submissions.outbox, submissions.news, abuse.watch)
    inbound = InboundParts(opened, scripts.paths)
    outbound = Outbound(
        opened, submitters, router, filing, guard, transport, domains.keys, submissions.news, bounces, permits.suspensions.holds
    )  # fmt: skip
    await outbound.open()
    rounds = Rounds(
        filing,
        router,
        Gate(guard),
        tally,
        settings.delivery_round_recipients,
        scripts.rulings,
        outbound.entering,
        submissions.news,
        outbound.notices,
        bounces.returned,
        (inbound.reputations, scripts.contacts),
        submissions.reports,
        scripts.paths,
    )
    consumer = Consumer(
        client, STREAM, NAME, AcceptedMail(rounds, settings.delivery_gather_ms / 1000, inbound.reputations).handle,
        subjects=[ACCEPTED, JUDGED], max_events=settings.delivery_events, ack_seconds=settings.delivery_ack_seconds,
    )  # fmt: skip
    news = DirectoryNews(client, cache, submitters)

    server = make_server(
        IdentityInterceptor(
            NAME, Verifier(NAME, public_keys), PrincipalVerifier(public_keys),
            OperatorToken(settings.operator_token_file),
            {**ALLOWED, **ALLOWED_SCRIPTS, **ALLOWED_FILTERS, **DOMAINS_ALLOWED, **REPORTS_ALLOWED, **ALLOWED_SUBMISSIONS, **ALLOWED_QUEUE,
             **ALLOWED_PERMITS, **ALLOWED_PERMIT_TERMS, **ALLOWED_SUPPRESSIONS, **ALLOWED_INBOUND, **ALLOWED_SENDERS},
            PERSON_SCRIPTS | PERSON_FILTERS | PERSON_SUBMISSIONS | PERSON_SENDERS,
        )
    )  # fmt: skip
    for part in (scripts, submissions, permits, bounces, inbound):
        part.serve(server)
    delivery_pb2_grpc.add_RoutingServiceServicer_to_server(
        RoutingServicer(tally, cache, lambda: pending_events(client)), server
    )
    domains.add_to(server)
    outbound.add_to(server)
    await open_door(server, settings.listen_address(NAME))
    await news.start()
    _log.info("delivery runs")
    consuming = asyncio.create_task(consumer.run())
    async with background(
        forever("delivery.news", 1.0, news.watch), *scripts.tasks(), *domains.work(),
        *submissions.tasks(), *permits.tasks(), *bounces.tasks(), *abuse.tasks(), *inbound.tasks(), *outbound.work(),
        *tls_reports.work(),
        *sources_work(sources),
    ):  # fmt: skip
        await stop.wait()
        opened.health.draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.drain(), settings.delivery_drain_seconds)
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        await asyncio.gather(
            outbound.close(settings.delivery_drain_seconds / 2), inbound.reputations.flush(), scripts.contacts.flush()
        )
    await tls_reports.close()
    if sources is not None:
        await sources.flush()
    await egress.close()
    await server.stop(1)
    await submissions.end()
    await domains.close()
    _log.info("delivered", settled=tally.settled, in_flight=tally.in_flight)
