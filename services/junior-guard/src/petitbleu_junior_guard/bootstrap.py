"""Wires junior-guard together, runs it and drains it."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

import asyncpg
import grpc.aio

from petitbleu.junior_guard.v1 import family_pb2_grpc, guardians_pb2_grpc, junior_guard_pb2_grpc
from petitbleu_junior_guard.adapters.alert_mail import AlertMail
from petitbleu_junior_guard.adapters.bell import Bell
from petitbleu_junior_guard.adapters.correspondents import PostgresCorrespondents
from petitbleu_junior_guard.adapters.families import PostgresFamilies
from petitbleu_junior_guard.adapters.groups import PostgresGroups
from petitbleu_junior_guard.adapters.guardians import PostgresGuardians
from petitbleu_junior_guard.adapters.guardianship import PostgresGuardianship
from petitbleu_junior_guard.adapters.key_file import read_key
from petitbleu_junior_guard.adapters.links import PostgresLinks
from petitbleu_junior_guard.adapters.news import PostgresNews
from petitbleu_junior_guard.adapters.pending import PostgresPending
from petitbleu_junior_guard.adapters.records import PostgresRecords
from petitbleu_junior_guard.adapters.store import StoreHeldMail
from petitbleu_junior_guard.adapters.waiting import PostgresWaiting
from petitbleu_junior_guard.bootstrap_schools import add_schools
from petitbleu_junior_guard.config import JuniorGuardSettings
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.grpc_api import ALLOWED, PERSON_METHODS, AdminServicer, GuardServicer
from petitbleu_junior_guard.grpc_family import ChildServicer, FamilyServicer
from petitbleu_junior_guard.grpc_guardians import GuardiansServicer
from petitbleu_junior_guard.service.alerts import Alerts
from petitbleu_junior_guard.service.changes import Changes
from petitbleu_junior_guard.service.families import Families
from petitbleu_junior_guard.service.guard import Guard
from petitbleu_junior_guard.service.guardians import Guardianships
from petitbleu_junior_guard.service.guardianship import Guardianship
from petitbleu_junior_guard.service.links import Links
from petitbleu_junior_guard.service.waiting import WaitingRoom
from petitbleu_kit.health import HealthServer
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.lifecycle import StartupError, background, forever, remove_stale_socket
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import HOT_SETTINGS, answers, migrate, refuse_unsafe, wait_for_pool
from petitbleu_kit.rpc import IdentityInterceptor, Peer, make_server

NAME: Final = "junior-guard"
SCHEMA: Final = "junior_guard"
_DRAIN_SECONDS: Final = 8
_log = get_logger(__name__)


async def open_seal(pool: asyncpg.Pool[asyncpg.Record], settings: JuniorGuardSettings) -> Seal:
    """Read the key and compare it with the one that the records were made under.

    Raises:
        StartupError: it is missing or another one: every approved correspondent would look unknown.
    """
    select = "/* cold:junior-guard.key_check */ SELECT fingerprint FROM key_check WHERE key_id = 1"
    known = await pool.fetchval(select)
    seal = Seal(read_key(settings.key_file(), may_make=known is None))
    if known is None:
        await pool.execute(
            "/* cold:junior-guard.key_record */ INSERT INTO key_check (key_id, fingerprint) VALUES (1, $1) "
            "ON CONFLICT (key_id) DO NOTHING", seal.fingerprint,
        )  # fmt: skip
        known = await pool.fetchval(select)
    if not hmac.compare_digest(known, seal.fingerprint):
        raise StartupError(
            "the key of junior-guard is not the one that its records were made under; restore the right one"
        )
    return seal


async def pool_or_stop(settings: JuniorGuardSettings, stop: asyncio.Event) -> asyncpg.Pool[asyncpg.Record] | None:
    """Wait for a database that is still starting; None when told to stop meanwhile."""
    opening = asyncio.create_task(wait_for_pool(settings.pg_dsn, SCHEMA, settings.pg_pool_size))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if opening.done():
        return opening.result()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return None


async def _open_doors(server: grpc.aio.Server, address: str, health: HealthServer) -> None:
    try:
        server.add_insecure_port(address)
        await health.start()
    except (OSError, RuntimeError) as error:
        raise StartupError(f"cannot bind its doors ({type(error).__name__})") from None


async def run(settings: JuniorGuardSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises:
        StartupError: a setting is wrong, or the database never answers.
    """
    if settings.identity_key is None or settings.identity_dir is None:
        raise StartupError("PETITBLEU_IDENTITY_KEY and PETITBLEU_IDENTITY_DIR must be set")
    try:
        signer = Signer.from_file(NAME, settings.identity_key)
    except (OSError, ValueError) as error:
        raise StartupError(f"the identity key cannot be read ({type(error).__name__})") from None
    pool = await pool_or_stop(settings, stop)
    if pool is None:
        return
    await refuse_unsafe(pool)
    await migrate(pool, SCHEMA, settings.migrations_dir)
    seal = await open_seal(pool, settings)
    # what a check reads and records: few statements, planned once
    hot = await wait_for_pool(settings.pg_dsn, SCHEMA, settings.pg_pool_size, settings=HOT_SETTINGS)
    store = Peer(settings.target("store"), "store", signer)
    bell = Bell(settings, pool)
    guard = Guard(
        PostgresRecords(hot), StoreHeldMail(store, settings.junior_guard_store_seconds), seal, signer,
        settings.junior_guard_token_seconds, bell,
    )  # fmt: skip
    families = Families(PostgresFamilies(pool), seal)
    guardianship = Guardianship(PostgresGuardianship(pool), PostgresCorrespondents(pool), PostgresGroups(pool), seal)
    room = WaitingRoom(PostgresWaiting(pool), guard, seal)
    accounts = Peer(settings.target("accounts"), "accounts", signer)
    post = AlertMail(accounts, store, settings.junior_guard_store_seconds)
    guardians = Guardianships(PostgresGuardians(pool), post, seal)
    changes = Changes(guardianship, room, guardians, PostgresPending(pool), seal)
    links = Links(PostgresLinks(pool), seal, settings.public_url)
    alerts = Alerts(PostgresNews(pool), post, seal, links)
    server = make_server(
        IdentityInterceptor(
            NAME, Verifier(NAME, settings.identity_dir), PrincipalVerifier(settings.identity_dir),
            OperatorToken(settings.operator_token_file), ALLOWED, PERSON_METHODS,
        )
    )  # fmt: skip
    junior_guard_pb2_grpc.add_GuardServiceServicer_to_server(GuardServicer(guard, families), server)
    junior_guard_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(guard, families), server)

    family_pb2_grpc.add_FamilyServiceServicer_to_server(
        FamilyServicer(guardianship, room, changes, links, bell), server
    )
    guardians_pb2_grpc.add_GuardiansServiceServicer_to_server(GuardiansServicer(guardians, changes, bell), server)
    family_pb2_grpc.add_ChildServiceServicer_to_server(ChildServicer(guardianship, bell), server)

    add_schools(server, pool, accounts, settings.junior_guard_store_seconds, seal)
    health = HealthServer({"postgresql": lambda: answers(pool)}, settings.health_host, settings.health_port)
    address = settings.listen_address(NAME)
    remove_stale_socket(address)
    await _open_doors(server, address, health)
    async with background(
        bell.run(),
        forever("junior-guard.carry-out", settings.junior_guard_upkeep_seconds, room.complete),
        forever("junior-guard.changes", settings.junior_guard_upkeep_seconds, changes.run),
        forever("junior-guard.alerts", settings.junior_guard_alert_seconds, alerts.run),
        forever("junior-guard.invitations", 3600, guardians.prune),
        forever("junior-guard.links", 3600, links.prune),
        forever("junior-guard.expire", settings.junior_guard_upkeep_seconds, room.expire),
    ):
        await server.start()
        _log.info("junior-guard runs")
        await stop.wait()
        health.draining = True
        await server.stop(_DRAIN_SECONDS)
    await health.stop()
    await store.close()
    await accounts.close()
    await hot.close()
    await pool.close()
    _log.info("junior-guard stopped")
