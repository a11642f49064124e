"""The one place where the service is put together."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2_grpc, push_pb2_grpc
from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.peers import GuardPeer, StorePeer
from petitbleu_accounts.adapters.postgres_accounts import PostgresAccounts
from petitbleu_accounts.adapters.postgres_aliases import PostgresAliases
from petitbleu_accounts.adapters.postgres_changes import PostgresChanges
from petitbleu_accounts.adapters.postgres_creation import PostgresCreation
from petitbleu_accounts.adapters.postgres_credentials import PostgresCredentials
from petitbleu_accounts.adapters.postgres_directory import PostgresDirectory
from petitbleu_accounts.adapters.postgres_identities import PostgresIdentities
from petitbleu_accounts.adapters.postgres_push import PostgresPush
from petitbleu_accounts.adapters.postgres_push_sending import PostgresPushSending
from petitbleu_accounts.adapters.postgres_scram import PostgresScram
from petitbleu_accounts.adapters.windows import MemoryWindows, RedisWindows
from petitbleu_accounts.bootstrap_people import Parts, add_sign_up
from petitbleu_accounts.config import Settings
from petitbleu_accounts.consumers import DirectoryNews
from petitbleu_accounts.grpc_api.admin import AdminApi
from petitbleu_accounts.grpc_api.authentication import AuthenticationApi
from petitbleu_accounts.grpc_api.directory import DirectoryApi
from petitbleu_accounts.grpc_api.identities import IdentityApi
from petitbleu_accounts.grpc_api.push import PushApi
from petitbleu_accounts.service.administration import Administration
from petitbleu_accounts.service.authentication import Authentication
from petitbleu_accounts.service.creation import Creation
from petitbleu_accounts.service.identities import Identities
from petitbleu_accounts.service.limits import LoginLimits
from petitbleu_accounts.service.memory import CredentialMemory
from petitbleu_accounts.service.push import PushSubscriptions
from petitbleu_accounts.service.resolve import Resolver
from petitbleu_accounts.service.scram import Scram
from petitbleu_kit import bus
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.kept_connections import KeptConnections
from petitbleu_kit.lifecycle import StartupError, background, forever, remove_stale_socket
from petitbleu_kit.logs import get_logger
from petitbleu_kit.outbox import Outbox
from petitbleu_kit.postgres import HOT_SETTINGS, answers, migrate, refuse_unsafe, wait_for_pool
from petitbleu_kit.rpc import OPERATOR, IdentityInterceptor, Peer, make_server

SERVICE: Final = "accounts"
_DRAIN_SECONDS: Final = 6.0
_HOUR: Final = 3600
_SECRET_OCTETS = 32
_log = get_logger(__name__)

ALLOWED: Final = {
    "/petitbleu.accounts.v1.DirectoryService/": frozenset({"ingest", "delivery", "gateway", "junior-guard", OPERATOR}),
    "/petitbleu.accounts.v1.AuthenticationService/": frozenset({"gateway", "ingest"}),
    "/petitbleu.accounts.v1.IdentityService/": frozenset({"gateway"}),
    "/petitbleu.accounts.v1.PushService/": frozenset({"gateway"}),
    "/petitbleu.accounts.v1.SignUpService/": frozenset({"gateway"}),
    "/petitbleu.accounts.v1.AdminService/": frozenset({OPERATOR}),
}
PERSON_METHODS: Final = frozenset(
    {
        "/petitbleu.accounts.v1.AuthenticationService/CreateSession",
        "/petitbleu.accounts.v1.AuthenticationService/RevokeSession",
        "/petitbleu.accounts.v1.IdentityService/ListIdentities",
        "/petitbleu.accounts.v1.IdentityService/GetIdentityChanges",
        "/petitbleu.accounts.v1.IdentityService/UpdateIdentities",
        "/petitbleu.accounts.v1.PushService/ListPushSubscriptions",
        "/petitbleu.accounts.v1.PushService/UpdatePushSubscriptions",
        "/petitbleu.accounts.v1.SignUpService/OpenChild",
    }
)


def _add_services(
    server: grpc.aio.Server,
    directory: DirectoryApi,
    authentication: AuthenticationApi,
    identities: IdentityApi,
    push: PushApi,
    admin: AdminApi,
) -> None:
    accounts_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
    accounts_pb2_grpc.add_AuthenticationServiceServicer_to_server(authentication, server)
    accounts_pb2_grpc.add_IdentityServiceServicer_to_server(identities, server)
    push_pb2_grpc.add_PushServiceServicer_to_server(push, server)
    accounts_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)


def _windows(settings: Settings, seconds: int) -> RedisWindows | MemoryWindows:
    return RedisWindows(settings.redis_url, seconds) if settings.redis_url else MemoryWindows(seconds)


def _bind(server: grpc.aio.Server, settings: Settings) -> None:
    address = settings.listen_address(SERVICE)
    remove_stale_socket(address)
    server.add_insecure_port(address)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`, then drain.

    Raises:
        StartupError: when a setting is missing or the database is not fit.
    """
    if settings.identity_key is None or settings.identity_dir is None:
        raise StartupError("PETITBLEU_IDENTITY_KEY and PETITBLEU_IDENTITY_DIR must be set")
    if not settings.pg_dsn:
        raise StartupError("PETITBLEU_PG_DSN must be set")
    signer = Signer.from_file(SERVICE, settings.identity_key)
    pool = await wait_for_pool(settings.pg_dsn, SERVICE, settings.pg_pool_size)
    await refuse_unsafe(pool)
    await migrate(pool, SERVICE, settings.migrations_dir)
    hot = await wait_for_pool(settings.pg_dsn, SERVICE, settings.pg_pool_size, settings=HOT_SETTINGS)
    reads = KeptConnections(hot)
    client = await bus.connect(settings, SERVICE)
    outbox = Outbox(pool, client, SERVICE, "ACCOUNTS")
    store_peer, guard_peer = (Peer(settings.target(name), name, signer) for name in ("store", "junior-guard"))
    store, guard = StorePeer(store_peer), GuardPeer(guard_peer)

    directory, accounts, credentials = PostgresDirectory(pool), PostgresAccounts(pool), PostgresCredentials(pool)
    changes, aliases = PostgresChanges(pool, outbox), PostgresAliases(pool, outbox)
    windows, hourly = (_windows(settings, seconds) for seconds in (settings.login_window_seconds, _HOUR))
    limits, salts = LoginLimits(settings, windows), PostgresScram(pool)
    passwords, memory, scram = (
        PasswordPool(settings),
        CredentialMemory(settings.remembered),
        Scram(credentials, salts, limits, await salts.secret(secrets.token_bytes(_SECRET_OCTETS))),
    )
    await passwords.start()
    creation = Creation(settings, directory, accounts, PostgresCreation(pool, outbox), passwords, store, guard)
    identities, push, sending = (
        Identities(PostgresIdentities(pool, outbox)),
        PostgresPush(pool, outbox, settings.push_subscriptions_account),
        PostgresPushSending(pool, settings.push_lease_seconds),
    )
    administration = Administration(
        settings, directory, accounts, changes, aliases, credentials, passwords, store, memory, identities, scram
    )
    authentication = Authentication(
        settings, credentials, accounts, changes, passwords, limits, memory, signer,
        scram,
    )  # fmt: skip

    interceptor = IdentityInterceptor(
        SERVICE, Verifier(SERVICE, settings.identity_dir), PrincipalVerifier(settings.identity_dir),
        OperatorToken(settings.operator_token_file), ALLOWED, PERSON_METHODS,
    )  # fmt: skip
    server = make_server(interceptor)
    _add_services(
        server, DirectoryApi(Resolver(PostgresDirectory(reads)), accounts), AuthenticationApi(authentication, scram),
        IdentityApi(identities), PushApi(PushSubscriptions(settings, push, hourly), sending),
        AdminApi(administration, creation),
    )  # fmt: skip
    sign_up_upkeep = await add_sign_up(
        server,
        Parts(settings, pool, creation, authentication, accounts, changes, passwords, limits, memory, hourly),
    )
    health = HealthServer({"postgresql": lambda: answers(pool)}, settings.health_host, settings.health_port)
    _bind(server, settings)

    async with background(
        outbox.run(),
        DirectoryNews(client, memory).run(),
        forever("accounts.pending", settings.sweep_seconds, creation.sweep),
        forever("accounts.closing", settings.sweep_seconds, administration.sweep_closing),
        forever("accounts.sessions", 3600, credentials.prune_sessions),
        forever("accounts.push", 3600, push.prune),
        *sign_up_upkeep,
    ):
        await server.start()
        await health.start()
        _log.info("ready")
        await stop.wait()
        health.draining = True
        await server.stop(_DRAIN_SECONDS)
    await outbox.drain()
    await health.stop()
    await store_peer.close()
    await guard_peer.close()
    passwords.close()
    for counters in (windows, hourly):
        if isinstance(counters, RedisWindows):
            await counters.close()
    await client.close()
    await reads.close()
    await hot.close()
    await pool.close()
