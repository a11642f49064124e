"""Wires the gateway together, runs it, and takes it apart in the opposite order."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from petitbleu_gateway.adapters.accounts_grpc import GrpcAccounts
from petitbleu_gateway.adapters.bus_events import BusEvents
from petitbleu_gateway.adapters.family_grpc import GrpcFamily
from petitbleu_gateway.adapters.filters_grpc import GrpcFilters
from petitbleu_gateway.adapters.guardians_grpc import GrpcGuardians
from petitbleu_gateway.adapters.identities_grpc import GrpcIdentities
from petitbleu_gateway.adapters.policies_grpc import GrpcPolicies
from petitbleu_gateway.adapters.probes import backend_answers, service_ready
from petitbleu_gateway.adapters.push_grpc import GrpcPush
from petitbleu_gateway.adapters.push_post import PostLimits, PushPoster
from petitbleu_gateway.adapters.rendering_pool import RenderingLimits, RenderingPool
from petitbleu_gateway.adapters.schools_grpc import GrpcSchools
from petitbleu_gateway.adapters.scripts_grpc import GrpcScripts
from petitbleu_gateway.adapters.senders_grpc import GrpcSenders
from petitbleu_gateway.adapters.sharing_grpc import GrpcDirectory, GrpcSharing
from petitbleu_gateway.adapters.sign_up_grpc import GrpcSignUp
from petitbleu_gateway.adapters.states_grpc import GrpcStates
from petitbleu_gateway.adapters.store_grpc import GrpcMailStore
from petitbleu_gateway.adapters.submissions_grpc import GrpcSubmissions
from petitbleu_gateway.config import GatewaySettings
from petitbleu_gateway.domain.image_urls import IMAGE_PATH, ImageKeys
from petitbleu_gateway.domain.web_push import Vapid
from petitbleu_gateway.http.app import Gateway, Route
from petitbleu_gateway.http.clients import ClientBook, Network
from petitbleu_gateway.http.download_door import DownloadDoor
from petitbleu_gateway.http.event_source_door import EventSourceDoor
from petitbleu_gateway.http.exchange import OctetBudget
from petitbleu_gateway.http.image_door import ImageDoor
from petitbleu_gateway.http.jmap_doors import JmapDoors
from petitbleu_gateway.http.page_door import ASSETS_PATH, PageDoor, pages_of
from petitbleu_gateway.http.policy_door import STS_PATH, PolicyDoor
from petitbleu_gateway.http.probe_doors import ProbeDoors
from petitbleu_gateway.http.protocol import ConnectionLimits
from petitbleu_gateway.http.push_opening import PushOpening
from petitbleu_gateway.http.rendering_door import MESSAGES_PATH, Render, RenderingDoor
from petitbleu_gateway.http.servers import Certificates, Door
from petitbleu_gateway.http.session_doors import SessionDoors
from petitbleu_gateway.http.sign_up_doors import SIGN_UP_PATH, SignUpDoors
from petitbleu_gateway.http.upload_door import UploadDoor
from petitbleu_gateway.http.web_socket_door import WebSocketDoor
from petitbleu_gateway.jmap.calls import MethodLimits
from petitbleu_gateway.jmap.session import (
    API_PATH,
    DOWNLOAD_PATH,
    EVENT_PATH,
    SESSION_PATH,
    UPLOAD_PATH,
    WEB_SOCKET_PATH,
    SessionLimits,
)
from petitbleu_gateway.managesieve.login import Login
from petitbleu_gateway.managesieve.server import ManageSieveDoor
from petitbleu_gateway.managesieve.session import ManageSieve
from petitbleu_gateway.methods.email_submission import Submissions
from petitbleu_gateway.methods.family import Family, FamilyMethods
from petitbleu_gateway.methods.filter_rules import FilterRulesMethods, Filters
from petitbleu_gateway.methods.guardians import GuardianMethods, Guardians
from petitbleu_gateway.methods.listed_sender import ListedSenderMethods, Senders
from petitbleu_gateway.methods.push_subscription import PushSubscriptionMethods
from petitbleu_gateway.methods.registry import build_registry
from petitbleu_gateway.methods.schools import SchoolMethods, Schools
from petitbleu_gateway.ports import Accounts, Directory, MailStore, People, Proofs, Scripts, SignUp
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.fairness import Pace, Turns
from petitbleu_gateway.service.fetch_limits import Buckets
from petitbleu_gateway.service.push import PushHub, PushLimits, States
from petitbleu_gateway.service.push_sender import PushSender
from petitbleu_gateway.service.push_upkeep import PushUpkeep
from petitbleu_gateway.service.readiness import Readiness
from petitbleu_gateway.service.shared_accounts import SharedAccounts
from petitbleu_kit.egress import Egress
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import Signer
from petitbleu_kit.lifecycle import StartupError, background, forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import Peer

_log = get_logger(__name__)
_DRAIN_SECONDS = 9.0
_WINDOW_OCTETS = 256 << 10


@dataclass(frozen=True, slots=True)
class Showing:
    """What messages are shown with: who renders them, who goes for their images, and who signs the addresses of these."""

    render: Render
    egress: Egress
    keys: ImageKeys


@dataclass(frozen=True, slots=True)
class WebPush:
    """Push subscriptions: their methods, the key by which we post, empty for none, and who posts, None where nobody does."""

    methods: PushSubscriptionMethods
    application_server_key: str
    sender: PushSender | None
    egress: Egress


def build_application(
    settings: GatewaySettings, accounts: Accounts, store: MailStore, people: People, authentication: Authentication,
    readiness: Readiness, opening: PushOpening, showing: Showing, web_push: WebPush, proxies: Sequence[Network],
    shared: SharedAccounts, policies: PolicyDoor, submissions: Submissions, family: Family, directory: Directory,
    senders: Senders, filters: Filters, pages: PageDoor, sign_up: SignUp, guardians: Guardians,
    schools: Schools,
) -> Gateway:  # fmt: skip
    """Return the application with its doors, on whatever stands behind the ports."""
    budget = OctetBudget(settings.http_octets_in_flight, settings.http_octets_account)
    limits = SessionLimits(
        settings.jmap_max_size_request, settings.jmap_max_concurrent_requests, settings.jmap_max_calls_in_request,
        settings.jmap_max_objects_in_get, settings.jmap_max_objects_in_set, settings.jmap_max_draft_octets,
        settings.jmap_max_size_upload, settings.jmap_max_concurrent_uploads,
        # what one request may hold of blobs bounds what can be put together in one
        min(settings.jmap_max_size_upload, settings.jmap_max_blob_octets),
        web_push.application_server_key,
    )  # fmt: skip
    method_limits = MethodLimits(
        settings.jmap_max_objects_in_get, settings.jmap_max_objects_in_set, settings.jmap_max_query,
        settings.jmap_max_blob_octets, settings.jmap_max_draft_octets, settings.jmap_max_response_octets,
        limits.max_size_blob_set,
    )  # fmt: skip
    sessions = SessionDoors(authentication, accounts, limits, settings.public_url, budget, shared)
    opening_doors = SignUpDoors(sign_up, accounts, authentication, budget)
    jmap = JmapDoors(
        authentication, store, people, build_registry(
            web_push.methods, submissions, settings.jmap_max_submission_octets, FamilyMethods(family, directory),
            ListedSenderMethods(senders), FilterRulesMethods(filters), GuardianMethods(guardians),
            SchoolMethods(schools),
        ),
        limits, method_limits,
        settings.http_body_seconds, budget,
        Turns(settings.jmap_turns, settings.jmap_turns_account),
        Pace(settings.jmap_rate, settings.jmap_burst, settings.jmap_patience), shared,
    )  # fmt: skip
    download = DownloadDoor(authentication, store, settings.jmap_max_concurrent_downloads, budget, shared)
    upload = UploadDoor(
        authentication,
        store,
        limits,
        shared,
        seconds=settings.jmap_upload_seconds,
        stall_seconds=settings.http_stall_seconds,
    )
    events = EventSourceDoor(authentication, opening)
    web_socket = WebSocketDoor(
        authentication, opening, jmap, settings.jmap_max_size_request, settings.jmap_max_calls_in_request,
        settings.http_body_seconds, settings.public_url, budget,
    )  # fmt: skip
    rendering = RenderingDoor(
        authentication, store, showing.render, showing.keys, budget, most_octets=settings.jmap_max_blob_octets,
        at_once=settings.rendering_at_once, image_seconds=settings.image_seconds, public_url=settings.public_url,
    )  # fmt: skip
    images = ImageDoor(
        showing.egress, showing.keys, Buckets(settings.image_rate, settings.image_burst), at_once=settings.image_at_once,
        most_octets=settings.image_max_octets, seconds=settings.image_fetch_seconds,
    )  # fmt: skip
    probes = ProbeDoors(readiness)
    describe = {"GET": sessions.describe, "HEAD": sessions.describe}
    routes = [
        Route("readyz", "/readyz", {"GET": probes.ready, "HEAD": probes.ready}),
        Route("livez", "/livez", {"GET": probes.live, "HEAD": probes.live}),
        Route("session", "/.well-known/jmap", describe),  # RFC 8620 §2.2
        Route("mta-sts", STS_PATH, {"GET": policies.policy, "HEAD": policies.policy}),
        Route("session", SESSION_PATH, describe),
        Route("api", API_PATH, {"POST": jmap.api}),
        Route("events", EVENT_PATH, {"GET": events.events}),
        Route("websocket", WEB_SOCKET_PATH, {"GET": web_socket.open}),
        Route("sessions", "/api/session", {"POST": sessions.create, "DELETE": sessions.revoke}),
        Route("sign-up", SIGN_UP_PATH, {"GET": opening_doors.how, "POST": opening_doors.open}),
        Route("sign-up", f"{SIGN_UP_PATH}/name", {"GET": opening_doors.name}),
        Route("sign-up", f"{SIGN_UP_PATH}/challenge", {"POST": opening_doors.challenge}),
        Route("recovery", "/api/recovery", {"POST": opening_doors.recover}),
        Route("children", "/api/children", {"POST": opening_doors.open_child}),
        Route("download", DOWNLOAD_PATH, {"GET": download.download, "HEAD": download.download}, below=True),
        Route("upload", UPLOAD_PATH, {"POST": upload.upload}, below=True),
        Route("rendering", MESSAGES_PATH, {"GET": rendering.rendering}, below=True),
        Route("image", IMAGE_PATH, {"GET": images.image}, below=True),
        Route("page", "/", {"GET": pages.page, "HEAD": pages.page}),
        Route("page", ASSETS_PATH, {"GET": pages.page, "HEAD": pages.page}, below=True),
    ]
    return Gateway(routes, proxies)


def _networks(name: str, text: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(entry.strip()) for entry in text.split(",") if entry.strip()]
    except ValueError:
        raise StartupError(f"{name} is no list of networks") from None


def _connected(peer: Peer) -> Callable[[], Awaitable[bool]]:
    """Return a check that a channel can be used."""

    async def check() -> bool:
        state = peer.channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            await peer.channel.wait_for_state_change(state)
            state = peer.channel.get_state(try_to_connect=True)
        return True

    return check


def _readiness(settings: GatewaySettings, own: HealthServer) -> Readiness:
    checks: dict[str, Callable[[], Awaitable[bool]]] = {
        name: functools.partial(service_ready, origin) for name, origin in settings.services_to_probe().items()
    }
    for name, address in settings.backends_to_probe().items():
        checks[name] = functools.partial(backend_answers, name, address)

    async def gateway() -> bool:
        return not own.draining and not await own.failing()

    checks["gateway"] = gateway
    return Readiness(checks)


def _doors(
    settings: GatewaySettings, application: Gateway, proxies: Sequence[Network]
) -> tuple[list[Door], Certificates | None]:
    limits = ConnectionLimits(
        settings.http_header_octets, settings.http_header_fields, settings.http_head_seconds,
        settings.http_stall_seconds,
    )  # fmt: skip
    exempt = _networks("PETITBLEU_HTTP_EXEMPT", settings.http_exempt)
    clients = ClientBook(settings.http_connections_client, [*exempt, *proxies])

    def door(port: int, certificates: Certificates | None = None) -> Door:
        return Door(
            application, settings.http_host, port, limits, clients, connections=settings.http_connections,
            idle_seconds=settings.http_idle_seconds, context=certificates.context if certificates else None,
        )  # fmt: skip

    doors = []
    if settings.http_port:
        doors.append(door(settings.port(settings.http_port)))
    certificates = None
    if settings.https_port and settings.tls_cert is not None and settings.tls_key is not None:
        certificates = Certificates(settings.tls_cert, settings.tls_key)
        doors.append(door(settings.port(settings.https_port), certificates))
    elif settings.https_port:
        _log.warning("no HTTPS: no certificate is configured")
    if not doors:
        raise StartupError("neither the HTTP nor the HTTPS door is configured")
    return doors, certificates


def _managesieve(
    settings: GatewaySettings,
    authentication: Authentication,
    proofs: Proofs,
    scripts: Scripts,
    certificates: Certificates | None,
) -> ManageSieveDoor:
    """Return the door of ManageSieve."""

    def make(client_ip: str) -> ManageSieve:
        login = Login(authentication, proofs, client_ip)
        return ManageSieve(login, scripts, may_start_tls=True, secure=False)

    clients = ClientBook(settings.http_connections_client, _networks("PETITBLEU_HTTP_EXEMPT", settings.http_exempt))
    # without a certificate nobody may log in, so nobody needs the door
    port = settings.port(settings.managesieve_port) if settings.managesieve_port and certificates is not None else 0
    return ManageSieveDoor(
        make, settings.http_host, port, certificates, clients,
        connections=settings.managesieve_connections, idle_seconds=settings.managesieve_idle_seconds,
    )  # fmt: skip


def _rendering_pool(settings: GatewaySettings) -> RenderingPool:
    limits = RenderingLimits(settings.rendering_memory_octets, settings.rendering_cpu_seconds)
    return RenderingPool(limits, settings.rendering_workers)


def _egress(settings: GatewaySettings, connections: int = 100) -> Egress:
    try:
        return Egress.of(settings, connections)
    except (OSError, ValueError):
        raise StartupError("PETITBLEU_EGRESS_… or PETITBLEU_CA_FILE cannot be used") from None


def _showing(settings: GatewaySettings, identity_key: Path, pool: RenderingPool) -> Showing:
    egress = _egress(settings)
    # every process that serves our origin has this key, so each can check what another signed
    return Showing(pool.render, egress, ImageKeys(identity_key.read_bytes()))


def _web_push(settings: GatewaySettings, keeper: GrpcPush, states: States, connections: Callable[[], int]) -> WebPush:
    vapid = None
    if settings.vapid_key is not None:
        try:
            vapid = Vapid.from_file(settings.vapid_key, settings.push_contact)
        except (OSError, ValueError, TypeError):
            raise StartupError("the file of PETITBLEU_VAPID_KEY is no private key (PEM) of P-256") from None
    public = b"" if vapid is None else vapid.public
    # of its own, so that slow hosts of images hold up no push
    egress = _egress(settings, max(settings.push_posts, 1))
    sender = None
    if settings.push_posts:
        limits = PostLimits(
            settings.push_post_seconds, settings.push_posts, settings.push_posts_host, settings.push_verifications_host
        )
        poster = PushPoster(egress, vapid, limits)
        sender = PushSender(keeper, states, poster, public, connections, settings.push_fold_seconds)
    methods = PushSubscriptionMethods(
        keeper, states, public, sender.subscribed if sender is not None else lambda _account_id: None
    )
    return WebPush(methods, "" if vapid is None else vapid.application_server_key, sender, egress)


def _identity(settings: GatewaySettings) -> tuple[Path, Signer]:
    """Return the file of our key, and who signs with it."""
    if settings.identity_key is None:
        raise StartupError("PETITBLEU_IDENTITY_KEY is not set")
    try:
        return settings.identity_key, Signer.from_file("gateway", settings.identity_key)
    except (OSError, ValueError):
        raise StartupError("the file of PETITBLEU_IDENTITY_KEY cannot be read") from None


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set, then finish what is in flight."""
    key, signer = _identity(settings)
    pool = _rendering_pool(settings)
    showing = _showing(settings, key, pool)
    accounts_peer = Peer(settings.target("accounts"), "accounts", signer)
    store_peer = Peer(settings.target("store"), "store", signer)
    accounts = GrpcAccounts(accounts_peer, settings.rpc_seconds)
    stream_peer = Peer(settings.target("store"), "store", signer, own_connection=True, window_octets=_WINDOW_OCTETS)
    delivery_peer = Peer(settings.target("delivery"), "delivery", signer)
    guard_peer = Peer(settings.target("junior-guard"), "junior-guard", signer)
    scripts = GrpcScripts(delivery_peer, settings.rpc_seconds)
    store = GrpcMailStore(store_peer, stream_peer, settings.rpc_seconds, scripts)
    events = BusEvents(settings)
    authentication = Authentication(
        accounts,
        lambda: settings.credential_seconds if events.heard else settings.credential_seconds_without_bus,
    )
    states = GrpcStates(store_peer, accounts_peer, delivery_peer, settings.rpc_seconds)
    push = PushHub(states, PushLimits(settings.push_streams_account, settings.push_streams))
    web_push = _web_push(settings, GrpcPush(accounts_peer, settings.rpc_seconds), states, lambda: events.connections)
    shared = SharedAccounts(
        GrpcSharing(store_peer, settings.rpc_seconds),
        GrpcDirectory(accounts_peer, settings.rpc_seconds),
        lookups=settings.principal_lookups,
    )
    upkeep = PushUpkeep(push, authentication, lambda: events.connections, settings.push_recheck_seconds, shared)
    health = HealthServer(
        {"accounts": _connected(accounts_peer), "store": _connected(store_peer)},
        settings.health_host, settings.health_port,
    )  # fmt: skip
    proxies = _networks("PETITBLEU_PROXIES", settings.proxies)
    application = build_application(
        settings,
        accounts,
        store,
        GrpcIdentities(accounts_peer, settings.rpc_seconds),
        authentication,
        _readiness(settings, health),
        PushOpening(push, upkeep, shared),
        showing,
        web_push,
        proxies,
        shared,
        PolicyDoor(GrpcPolicies(delivery_peer, settings.rpc_seconds)),
        GrpcSubmissions(delivery_peer, settings.rpc_seconds),
        GrpcFamily(guard_peer, settings.rpc_seconds),
        GrpcDirectory(accounts_peer, settings.rpc_seconds),
        GrpcSenders(delivery_peer, settings.rpc_seconds),
        GrpcFilters(delivery_peer, settings.rpc_seconds),
        PageDoor(pages_of(settings.web_root)),
        GrpcSignUp(accounts_peer, settings.rpc_seconds),
        GrpcGuardians(guard_peer, settings.rpc_seconds),
        GrpcSchools(guard_peer, settings.rpc_seconds),
    )
    doors, certificates = _doors(settings, application, proxies)
    managesieve = _managesieve(settings, authentication, accounts, scripts, certificates)
    await managesieve.start()
    await health.start()
    periodic: list[Awaitable[None]] = [events.run(authentication, push, web_push.sender, upkeep), upkeep.run()]
    if web_push.sender is not None:
        periodic.append(web_push.sender.run())
    if certificates is not None:
        periodic.append(forever("certificates", settings.tls_reload_seconds, certificates.reload))
    async with background(*periodic):
        running = [asyncio.create_task(door.run_until_stopped()) for door in doors]
        stopping = asyncio.create_task(stop.wait())
        _log.info("gateway serves", doors=len(doors))
        await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        health.draining = True
        push.end_all()
        for door in doors:
            door.stop()
        await managesieve.stop()
        await asyncio.wait(running, timeout=_DRAIN_SECONDS)
        stopping.cancel()
    await health.stop()
    await pool.close()
    for egress in (showing.egress, web_push.egress):
        await egress.close()
    store.close()
    for peer in (accounts_peer, store_peer, stream_peer, delivery_peer, guard_peer):
        await peer.close()
    failed = [task for task in running if task.done() and not task.cancelled() and task.exception() is not None]
    if failed:
        raise StartupError("a door ended by itself")
