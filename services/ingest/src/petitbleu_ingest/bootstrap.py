"""Wiring: the one place that makes things and puts them together."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from petitbleu_ingest import consumers, metrics
from petitbleu_ingest.adapters.accounts import GrpcDirectory
from petitbleu_ingest.adapters.dns import DnsLimits, DnsResolver
from petitbleu_ingest.adapters.grey_book import RedisGreyBook
from petitbleu_ingest.adapters.inbound import GrpcInbound
from petitbleu_ingest.adapters.logins import GrpcLogins
from petitbleu_ingest.adapters.permits import GrpcPermits
from petitbleu_ingest.adapters.reports import GrpcReports
from petitbleu_ingest.adapters.store import GrpcStore
from petitbleu_ingest.config import IngestSettings, names, networks
from petitbleu_ingest.domain.message import KeyMaker
from petitbleu_ingest.judging import aggregate
from petitbleu_ingest.judging.aggregate import Tally
from petitbleu_ingest.judging.greylist import Greylist
from petitbleu_ingest.judging.judge import Judge, ScanRules, judge_of_submitted
from petitbleu_ingest.ports import Directory
from petitbleu_ingest.service.acceptance import Acceptance
from petitbleu_ingest.service.admission import Admission
from petitbleu_ingest.service.full_accounts import POLL_SECONDS, FullAccounts
from petitbleu_ingest.service.memory import ByteBudget
from petitbleu_ingest.service.recipients import RecipientBook
from petitbleu_ingest.service.return_paths import ReturningDirectory
from petitbleu_ingest.service.wish_book import Reputations, WishBook
from petitbleu_ingest.smtp.door import Door
from petitbleu_ingest.smtp.exchanger import MailExchanger
from petitbleu_ingest.smtp.message_log import MessageLog
from petitbleu_ingest.smtp.submission import Submission
from petitbleu_ingest.smtp.tls import Certificate
from petitbleu_ingest.smtp.tls_server import TlsServer, bound_sockets
from petitbleu_ingest.smtp.wire import Wire
from petitbleu_kit.egress_names import server_of
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import Signer
from petitbleu_kit.lifecycle import StartupError, background, forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import Peer
from petitbleu_kit.telemetry import tracing_on
from petitbleu_mail.auth.forged import OwnNames

_log = get_logger(__name__)
_BACKLOG = 1024
_MIN_SECRET = 32
# Deadline of a question for what tenants want; the settings hold for mail that cannot wait longer
_WISH_SECONDS = 2.0


def idempotency_secret(settings: IngestSettings) -> bytes:
    """Return the key of the idempotency HMAC: the file's, or one derived from the service's identity key."""
    try:
        if settings.ingest_secret_file is not None:
            secret = settings.ingest_secret_file.read_bytes().strip()
            if len(secret) < _MIN_SECRET:
                raise StartupError(f"PETITBLEU_INGEST_SECRET_FILE holds less than {_MIN_SECRET} octets")
            return secret
        if settings.identity_key is None:
            raise StartupError("PETITBLEU_IDENTITY_KEY is not set")
        key = load_pem_private_key(settings.identity_key.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise StartupError(f"a key file cannot be read: {type(error).__name__}") from None
    raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return hmac.digest(raw, b"petitbleu ingest idempotency key v1", "sha256")


def _reachable(peer: Peer) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        state = peer.channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            await peer.channel.wait_for_state_change(state)
            state = peer.channel.get_state(try_to_connect=True)
        return True

    return check


def make_judge(settings: IngestSettings) -> Judge:
    """Put together what judges mail."""
    resolver = None
    if settings.judges:
        resolver = DnsResolver(server_of(settings.dns), DnsLimits(message=settings.judge_seconds))
    return Judge(
        resolver, settings.own_names[0], settings.hostname, settings.rules, settings.scanners(metrics.scans),
        ScanRules(settings.scan_spam == "refuse", settings.virus_scanner_must_answer),
        block_lists=names(settings.dnsbl),
        junk_points=round(settings.spam_junk_points * 100) if settings.scores else 0,
    )  # fmt: skip


def make_door(
    settings: IngestSettings, directory: Directory, store: GrpcStore, secret: bytes, log: MessageLog | None = None
) -> Door:
    """Put the parts of a worker together."""
    return Door(
        settings=settings,
        store=store,
        recipients=RecipientBook(
            directory, FullAccounts(store), seconds=settings.ingest_cache_seconds,
            refusal_seconds=settings.ingest_cache_unknown_seconds, entries=settings.ingest_cache_entries,
            linger=settings.ingest_lookup_linger_seconds,
        ),
        acceptance=Acceptance(
            store, items=settings.ingest_batch_items, octets=settings.ingest_batch_octets,
            queued=max(settings.smtp_connections, 1), concurrency=settings.ingest_batches,
            mark_seconds=settings.ingest_mark_seconds,
            linger=settings.ingest_linger_seconds,
        ),
        admission=Admission(
            settings.smtp_connections, settings.smtp_connections_ip, settings.smtp_rate_ip, networks(settings.smtp_exempt)
        ),
        budget=ByteBudget(settings.ingest_memory, settings.ingest_memory_wait),
        certificate=Certificate(settings.tls_cert, settings.tls_key),
        log=log or MessageLog(enabled=settings.log_level.upper() in {"DEBUG", "INFO"}),
        keys=KeyMaker(secret),
        loop=asyncio.get_running_loop(),
        hostname=settings.hostname,
        own_names=OwnNames(settings.own_names),
        judge=make_judge(settings) if settings.judges or settings.rspamd_url or settings.clamd else None,
        tracing=tracing_on(),
    )  # fmt: skip


def submission_doors(door: Door, accounts: Peer, delivery: Peer) -> list[tuple[int, Door]]:
    """Return the doors of submission with their ports: what they share with the MX is one."""
    settings = door.settings
    logins = GrpcLogins(accounts, settings.submission_login_seconds)
    permits = GrpcPermits(delivery, settings.ingest_lookup_seconds)
    scanners = settings.scanners(metrics.scans)
    must_answer = settings.virus_scanner_must_answer
    judge = judge_of_submitted(settings.hostname, scanners, virus_scanner_must_answer=must_answer) if scanners else None
    return [
        (
            port,
            replace(
                door, judge=judge, sessions=set(),
                submission=Submission(logins, permits, implicit_tls=implicit, clear_on_loopback=settings.dev),
            ),
        )
        for port, implicit in settings.submission_ports
    ]  # fmt: skip


def observe(door: Door) -> None:
    """Read gauges when they are scraped, so that they cost nothing between."""
    metrics.sessions_open.set_function(lambda: door.admission.open)
    metrics.accept_queued.set_function(lambda: door.acceptance.queued)
    metrics.cache_entries.set_function(lambda: len(door.recipients))
    metrics.memory_octets.set_function(lambda: door.budget.used)
    metrics.memory_peak_octets.set_function(lambda: door.budget.peak)


async def sweep(door: Door) -> None:
    """Look at the time limits of all sessions, and at memory that is waited for."""
    now = door.loop.time()
    for session in list(door.sessions):
        session.expire(now)
    door.budget.relieve(now)


async def listen(door: Door, port: int, *, reuse_port: bool) -> asyncio.Server | TlsServer:
    """Open a port; raises `StartupError` when it is taken."""
    settings = door.settings

    def session() -> Wire:
        return Wire(MailExchanger(door), door.buffer)

    try:
        if door.submission is not None and door.submission.implicit_tls:
            return TlsServer(door, bound_sockets(settings.smtp_host, port, _BACKLOG, reuse_port=reuse_port))
        return await door.loop.create_server(
            session, settings.smtp_host, port, reuse_port=reuse_port or None, backlog=_BACKLOG
        )
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else "cannot be opened"
        raise StartupError(f"port {port} of {settings.smtp_host} {what}") from None


async def drain(doors: Sequence[Door], servers: Sequence[asyncio.Server | TlsServer]) -> None:
    """Take no session any more, end those that are idle, and give messages in transfer their time."""
    for door in doors:
        door.draining = True
    for server in servers:
        server.close()
    loop = doors[0].loop
    until = loop.time() + doors[0].settings.smtp_drain_seconds
    while True:
        left = [session for door in doors for session in door.sessions]
        for session in left:
            session.drain()
        if not left or loop.time() >= until:
            break
        await asyncio.sleep(0.05)
    for session in left:
        session.abort()
    await doors[0].acceptance.close()
    doors[0].log.flush()


async def run(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Run one worker until `stop`."""
    secret = idempotency_secret(settings)
    if settings.identity_key is None:
        raise StartupError("PETITBLEU_IDENTITY_KEY is not set")
    signer = Signer.from_file("ingest", settings.identity_key)
    accounts = Peer(settings.target("accounts"), "accounts", signer)
    store_peer = Peer(settings.target("store"), "store", signer)
    stage_peer = Peer(settings.target("store"), "store", signer, own_connection=True)
    store = GrpcStore(
        store_peer, stage_peer, accept_seconds=settings.ingest_accept_seconds,
        quota_seconds=settings.ingest_lookup_seconds,
        stage_seconds=settings.smtp_session_seconds + settings.ingest_stage_seconds,
    )  # fmt: skip
    delivery = Peer(settings.target("delivery"), "delivery", signer)
    directory = ReturningDirectory(
        GrpcDirectory(accounts, settings.ingest_lookup_seconds),
        GrpcInbound(delivery, settings.ingest_lookup_seconds).return_paths,
    )
    door = make_door(settings, directory, store, secret)
    if door.judge is not None:
        if settings.greylist == "on":
            book = RedisGreyBook(settings.redis_url, settings.greylist_seconds)
            door.judge.greylist = Greylist(book, secret, networks(settings.greylist_exempt))
        inbound = GrpcInbound(delivery, _WISH_SECONDS)
        door.judge.tenants = WishBook(inbound.wishes, seconds=settings.ingest_cache_seconds).of
        door.judge.reputations = Reputations(inbound.reputations).of
    reporting: list[Awaitable[None]] = []
    if door.judge is not None and settings.judges and settings.dmarc_report_from:
        tally = Tally(GrpcReports(delivery, settings.ingest_lookup_seconds).record, settings.rules)
        door.judge.tally = tally
        reporting.append(forever("dmarc reports", aggregate.SECONDS, tally.flush))
    await door.certificate.poll()
    if settings.tls_cert is not None and door.certificate.context is None:
        raise StartupError("the TLS certificate or its key cannot be loaded")
    observe(door)
    health = HealthServer(
        {"accounts": _reachable(accounts), "store": _reachable(store_peer)},
        settings.health_host, settings.worker_health_port,
    )  # fmt: skip
    try:
        await health.start()
    except OSError:
        raise StartupError(f"health port {settings.worker_health_port} is in use") from None
    opened = [(settings.port, door), *submission_doors(door, accounts, delivery)]
    doors = [one for _, one in opened]
    servers = [await listen(one, port, reuse_port=settings.ingest_worker >= 0) for port, one in opened]
    _log.info("listening", ports=[port for port, _ in opened], worker=settings.ingest_worker)
    async with background(
        consumers.listen(settings, door.recipients),
        forever("full accounts", POLL_SECONDS, door.recipients.refresh_full),
        *(forever("sweep", settings.smtp_sweep_seconds, partial(sweep, one)) for one in doors),
        forever("certificate", settings.tls_poll_seconds, door.certificate.poll),
        *reporting,
    ):
        await stop.wait()
        health.draining = True
        _log.info("draining", sessions=sum(len(one.sessions) for one in doors))
        await drain(doors, servers)
    await health.stop()
    if door.judge is not None:
        if door.judge.tally is not None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await door.judge.tally.flush()
        await door.judge.close()
    for peer in (accounts, store_peer, stage_peer, delivery):
        await peer.close()
    _log.info("stopped")
