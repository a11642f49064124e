"""Wires delivery together, runs it and drains it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import grpc
from nats.aio.client import Client
from nats.errors import Error as NatsError

from petitbleu.delivery.v1 import delivery_pb2_grpc
from petitbleu_delivery.adapters.accounts import AccountsDirectory
from petitbleu_delivery.adapters.guard import JuniorGuard
from petitbleu_delivery.adapters.store import StoreFiling
from petitbleu_delivery.config import DeliverySettings
from petitbleu_delivery.consumers import ACCEPTED, AcceptedMail, DirectoryNews
from petitbleu_delivery.grpc_api import ALLOWED, RoutingServicer
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.gate import Gate
from petitbleu_delivery.service.measures import Tally
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_delivery.service.router import Router
from petitbleu_kit.bus import Consumer, connect
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.lifecycle import StartupError, background, forever, remove_stale_socket
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import IdentityInterceptor, Peer, make_server

NAME: Final = "delivery"
STREAM: Final = "MAIL"
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


async def run(settings: DeliverySettings, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set, then finish the list in hand.

    Raises:
        StartupError: the identity is missing, or a port is taken.
    """
    signer, public_keys = identity(settings)
    store = Peer(settings.target("store"), "store", signer)
    accounts = Peer(settings.target("accounts"), "accounts", signer)
    guard = Peer(settings.target("junior-guard"), "junior-guard", signer)
    bus: list[Client] = []

    async def bus_answers() -> bool:
        return bool(bus) and bus[0].is_connected

    async def store_answers() -> bool:
        return reachable(store)

    async def accounts_answers() -> bool:
        return reachable(accounts)

    # junior-guard is not among them: without it only children's mail waits.
    health = HealthServer(
        {"nats": bus_answers, "store": store_answers, "accounts": accounts_answers},
        settings.health_host, settings.health_port,
    )  # fmt: skip
    try:
        await health.start()
    except OSError as error:
        raise StartupError(f"cannot bind its health port ({type(error).__name__})") from None
    client = await connect_patiently(settings, stop)
    if client is None:
        await health.stop()
        return
    bus.append(client)

    cache = RouteCache(settings.delivery_cache_entries, settings.delivery_cache_seconds)
    tally = Tally()
    rounds = Rounds(
        StoreFiling(store, settings.delivery_call_seconds, settings.delivery_commit_seconds),
        Router(AccountsDirectory(accounts, settings.delivery_call_seconds), cache),
        Gate(JuniorGuard(guard, settings.delivery_guard_seconds)),
        tally,
        settings.delivery_round_recipients,
    )
    consumer = Consumer(
        client, STREAM, NAME, AcceptedMail(rounds, settings.delivery_gather_ms / 1000).handle, subjects=[ACCEPTED],
        max_events=settings.delivery_events, ack_seconds=settings.delivery_ack_seconds,
    )  # fmt: skip
    news = DirectoryNews(client, cache)

    server = make_server(
        IdentityInterceptor(
            NAME, Verifier(NAME, public_keys), PrincipalVerifier(public_keys),
            OperatorToken(settings.operator_token_file), ALLOWED,
        )
    )  # fmt: skip
    delivery_pb2_grpc.add_RoutingServiceServicer_to_server(
        RoutingServicer(tally, cache, lambda: pending_events(client)), server
    )
    address = settings.listen_address(NAME)
    remove_stale_socket(address)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(f"cannot bind its gRPC door ({type(error).__name__})") from None
    await server.start()
    await news.start()
    _log.info("delivery runs")
    consuming = asyncio.create_task(consumer.run())
    async with background(forever("delivery.news", 1.0, news.watch)):
        await stop.wait()
        health.draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.drain(), settings.delivery_drain_seconds)
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    await server.stop(1)
    await health.stop()
    with contextlib.suppress(NatsError, OSError, TimeoutError):
        await asyncio.wait_for(client.drain(), 1)
    for peer in (store, accounts, guard):
        await peer.close()
    _log.info("delivery stopped", settled=tally.settled, in_flight=tally.in_flight)
