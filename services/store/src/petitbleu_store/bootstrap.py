"""The only place that wires things."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import grpc.aio
from nats.aio.client import Client

from petitbleu.store.v1 import accept_pb2_grpc, filing_pb2_grpc, mailbox_pb2_grpc
from petitbleu_kit import bus
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Verifier
from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_kit.lifecycle import StartupError, background, remove_stale_socket
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.postgres import HOT_SETTINGS, answers, migrate, refuse_unsafe, wait_for_pool
from petitbleu_kit.rpc import OPERATOR, IdentityInterceptor, make_server
from petitbleu_store import mailbox_parts
from petitbleu_store.adapters.keyring import FileKeyEncryption
from petitbleu_store.adapters.s3 import Objects, ObjectsAwayError
from petitbleu_store.config import StoreSettings
from petitbleu_store.core import Core
from petitbleu_store.grpc_api.accept import AcceptServicer
from petitbleu_store.grpc_api.admin import AdminServicer
from petitbleu_store.grpc_api.filing import FilingServicer
from petitbleu_store.grpc_api.parked import ParkedServicer
from petitbleu_store.ports import KeyEncryption, MailboxParts
from petitbleu_store.service.acceptance import Acceptance
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.account_keys import AccountKeys
from petitbleu_store.service.bodies import Bodies
from petitbleu_store.service.compaction import Compaction
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.intake import Intake
from petitbleu_store.service.packer import Packer
from petitbleu_store.service.parked import ParkedRecipients
from petitbleu_store.service.queued import QueuedKeys
from petitbleu_store.service.recipients import Recipients
from petitbleu_store.service.ring import Ring
from petitbleu_store.service.segments import Segments
from petitbleu_store.service.staging import Staging
from petitbleu_store.service.trace import Trace

SERVICE: Final = "store"
_log = get_logger(__name__)
_COLD_CONNECTIONS: Final = 6
_DRAIN_SECONDS: Final = 8.0
# Kept beyond 48 hours (architecture, promise 2): events of mail of which a recipient is open.
_KEEP_OUTBOX: Final = (
    "(o.subject LIKE 'mail.message.accepted.%' "
    "AND EXISTS (SELECT 1 FROM recipient r WHERE r.outcome = 1 AND r.partition = o.partition "
    # what is held back for longer has no event here (RFC 4865), and the sweep publishes what is open anyway
    "AND r.next_attempt_at < now() + interval '2 days'))"
)

ALLOWED: Final = {
    "/petitbleu.store.v1.AcceptService/": frozenset({"ingest"}),
    "/petitbleu.store.v1.AcceptService/Accept": frozenset({"ingest", "delivery", "junior-guard"}),
    "/petitbleu.store.v1.AcceptService/AcceptMany": frozenset({"ingest", "delivery"}),
    "/petitbleu.store.v1.AcceptService/Stage": frozenset({"ingest", "delivery"}),
    "/petitbleu.store.v1.OutgoingService/": frozenset({"delivery"}),
    "/petitbleu.store.v1.FilingService/": frozenset({"delivery"}),
    "/petitbleu.store.v1.FilingService/DecideHeld": frozenset({"junior-guard"}),
    "/petitbleu.store.v1.ParkedService/": frozenset({OPERATOR}),
    "/petitbleu.store.v1.AdminService/": frozenset({OPERATOR}),
    "/petitbleu.store.v1.MailboxService/": frozenset({"gateway"}),
    "/petitbleu.store.v1.ReadingService/": frozenset({"gateway"}),
    "/petitbleu.store.v1.UploadService/": frozenset({"gateway"}),
    "/petitbleu.store.v1.RemovedService/": frozenset({"gateway"}),
    "/petitbleu.store.v1.SharingService/": frozenset({"gateway"}),
    "/petitbleu.store.v1.AccountService/": frozenset({"accounts"}),
}
# The requests of ReadingService name a person each, so its streams name none.
PERSON_METHODS: Final = frozenset(
    f"/petitbleu.store.v1.{service}/"
    for service in ("MailboxService", "UploadService", "RemovedService", "SharingService")
)


@dataclass(frozen=True, slots=True)
class Store:
    """The store, wired."""

    core: Core
    acceptance: Acceptance
    staging: Staging
    mailboxes: MailboxParts
    housekeeping: Housekeeping
    packer: Packer
    compaction: Compaction
    key_encryption: KeyEncryption


@contextlib.asynccontextmanager
async def opened(settings: StoreSettings) -> AsyncIterator[Store]:
    """Open everything that the store works with, and close it at the end.

    Raises:
        StartupError: one clear line.
    """
    if settings.kek_file is None:
        raise StartupError("PETITBLEU_KEK_FILE names no file of key-encryption keys")
    if settings.identity_dir is None:
        raise StartupError("PETITBLEU_IDENTITY_DIR names no directory of public keys")
    key_encryption = FileKeyEncryption(settings.kek_file)
    objects = Objects(
        settings.s3_endpoint, settings.s3_access_key, settings.s3_secret_key, settings.s3_bucket,
        secure=settings.s3_secure, region=settings.s3_region, threads=settings.s3_threads,
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(objects.close)
        cold = await wait_for_pool(settings.pg_dsn, SERVICE, _COLD_CONNECTIONS)
        stack.push_async_callback(cold.close)
        await refuse_unsafe(cold)
        await migrate(cold, SERVICE, settings.migrations_dir)
        pool = await wait_for_pool(settings.pg_dsn, SERVICE, settings.pg_pool_size, settings=HOT_SETTINGS)
        stack.push_async_callback(pool.close)
        reads = KeptConnections(pool)
        stack.push_async_callback(reads.close)
        client = Client()
        stack.push_async_callback(client.close)
        connecting = asyncio.create_task(_bus(settings, client))
        stack.callback(connecting.cancel)
        account_keys = AccountKeys(key_encryption)
        book = AccountBook(account_keys)
        intake = Intake(cold, key_encryption, QueuedKeys(book))
        await intake.start()
        ring = Ring(cold, settings.max_hot_octets)
        await ring.refresh()
        recipients = Recipients(cold, intake, settings.max_open_recipients)
        await recipients.count()
        bodies = Bodies(pool, objects)
        outbox = Outbox(pool, client, SERVICE, "MAIL", _KEEP_OUTBOX)
        staging = Staging(
            cold, objects, intake, spool=settings.spool(), max_stages=settings.max_stages,
            max_spool_octets=settings.spool_octets, max_body_octets=settings.max_body_octets, level=settings.zstd_level,
        )  # fmt: skip
        staging.start()
        core = Core(
            settings=settings, pool=pool, cold=cold, reads=reads, outbox=outbox, bus=client, objects=objects, intake=intake,
            account_keys=account_keys, book=book, bodies=bodies, ring=ring, staging=staging, recipients=recipients,
            decisions=Verifier(SERVICE, settings.identity_dir),
        )  # fmt: skip
        acceptance = Acceptance(
            pool, intake=intake, bodies=bodies, ring=ring, recipients=recipients, staging=staging, outbox=outbox,
            inline_octets=settings.inline_octets, level=settings.zstd_level, retry_seconds=settings.retry_open_seconds,
        )  # fmt: skip
        mailboxes = await mailbox_parts.make(core)
        stack.push_async_callback(mailboxes.close)
        segments = Segments(cold, pool, objects)
        packer = Packer(core, segments)
        yield Store(
            core=core, acceptance=acceptance, staging=staging, mailboxes=mailboxes, packer=packer,
            housekeeping=Housekeeping(core, staging), compaction=Compaction(core, segments, packer, mailboxes),
            key_encryption=key_encryption,
        )  # fmt: skip


async def _bus(settings: StoreSettings, client: Client) -> None:
    """Connect to the bus; mail is accepted and filed without it, and the outbox keeps the facts meanwhile."""
    while True:
        try:
            await bus.connect(settings, SERVICE, client)
        except Exception as error:  # noqa: BLE001 — whatever it is, the bus is not there yet
            _log.warning("the bus does not answer yet", error_type=type(error).__qualname__)
            await asyncio.sleep(2)
        else:
            return


async def _bucket(objects: Objects) -> None:
    """Make the bucket when there is none; small mail does not wait for S3."""
    while True:
        try:
            await objects.ensure_bucket()
        except ObjectsAwayError:
            _log.warning("S3 does not answer yet, or does not let its bucket be seen")
            await asyncio.sleep(2)
        else:
            return


async def serve(settings: StoreSettings, stop: asyncio.Event) -> None:
    """Serve until `stop`, then finish what is in flight.

    The health port answers from the start, "not ready" while a backend is waited for, and `stop` ends the wait too.
    """
    serving: list[Core] = []

    async def ready() -> bool:
        # Without S3 small mail is still accepted, filed and read, so it is not what the store cannot work without.
        return bool(serving) and await answers(serving[0].cold)

    health = HealthServer({"postgresql": ready}, settings.health_host, settings.health_port)
    await health.start()
    try:
        async with contextlib.AsyncExitStack() as stack:
            opening = asyncio.ensure_future(stack.enter_async_context(opened(settings)))
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not opening.done():
                opening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await opening
                return
            store = opening.result()
            await _run(store, settings, stop, lambda: serving.append(store.core), health)
    finally:
        await health.stop()


def _server(store: Store, settings: StoreSettings) -> grpc.aio.Server:
    core = store.core
    assert settings.identity_dir is not None  # noqa: S101 — opened() refused
    interceptor = IdentityInterceptor(
        SERVICE, Verifier(SERVICE, settings.identity_dir), PrincipalVerifier(settings.identity_dir),
        OperatorToken(settings.operator_token_file), ALLOWED, PERSON_METHODS,
    )  # fmt: skip
    server = make_server(interceptor)
    accept_pb2_grpc.add_AcceptServiceServicer_to_server(
        AcceptServicer(store.acceptance, store.staging, store.mailboxes), server
    )
    filing_pb2_grpc.add_FilingServiceServicer_to_server(
        FilingServicer(core.pool, core.recipients, store.mailboxes), server
    )
    filing_pb2_grpc.add_ParkedServiceServicer_to_server(ParkedServicer(ParkedRecipients(core), Trace(core)), server)
    mailbox_pb2_grpc.add_AdminServiceServicer_to_server(
        AdminServicer(core, store.mailboxes, store.packer, store.compaction, store.key_encryption), server
    )
    store.mailboxes.add_to(server, store.acceptance)
    address = settings.listen_address(SERVICE)
    remove_stale_socket(address)
    server.add_insecure_port(address)
    return server


async def _run(
    store: Store, settings: StoreSettings, stop: asyncio.Event, started: Callable[[], None], health: HealthServer
) -> None:
    core = store.core
    server = _server(store, settings)
    async with background(
        core.outbox.run(),
        core.ring.run(),
        core.recipients.run(),
        store.mailboxes.run(),
        store.housekeeping.run(),
        store.packer.run(),
        store.compaction.run(),
        _bucket(core.objects),
    ):
        await server.start()
        started()
        _log.info("serving")
        await stop.wait()
        health.draining = True
        await server.stop(_DRAIN_SECONDS)
    await core.outbox.drain()
