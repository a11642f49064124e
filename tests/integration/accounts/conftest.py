"""accounts alone against a real PostgreSQL and a real bus; store and junior-guard are gRPC servers that keep notes."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.ports import free_port

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.junior_guard.v1 import junior_guard_pb2, junior_guard_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_accounts import bootstrap
from petitbleu_accounts.config import Settings
from petitbleu_dev import binaries
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Signer, Verifier
from petitbleu_kit.rpc import IdentityInterceptor, Peer, make_server

OPERATOR_SECRET = "operator-secret-of-the-test"


def _unprivileged() -> list[str]:
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A PostgreSQL of its own on a unix socket; gives the directory."""
    root = Path(tempfile.mkdtemp(prefix="pb-acc-"))
    data = root / "pg"
    initdb = [
        *_unprivileged(),
        str(binaries.postgres("initdb")),
        "-D",
        str(data),
        "-U",
        "postgres",
        "-A",
        "trust",
        "-N",
    ]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen(
        [*_unprivileged(), str(binaries.postgres("postgres")), "-D", str(data), "-c", "listen_addresses=",
         "-c", f"unix_socket_directories={root}", "-c", "max_connections=60"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ready = [str(binaries.postgres("pg_isready")), "-q", "-h", str(root)]
    while subprocess.run(ready, check=False).returncode != 0:
        assert server.poll() is None
        time.sleep(0.05)
    yield root
    server.terminate()
    server.wait(20)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A NATS server with JetStream."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pb-nats-") as folder:
        server = subprocess.Popen(
            [str(binaries.nats_server()), "-js", "-sd", folder, "-a", "127.0.0.1", "-p", str(port)],
            stderr=subprocess.DEVNULL,
        )
        yield f"nats://127.0.0.1:{port}"
        server.terminate()
        server.wait(20)


@dataclass
class Notes:
    """What the peers were asked, in order, and what they are to answer."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    store_away: bool = False
    guard_away: bool = False
    # awaited by store inside CreateAccounts: what the world looks like at that moment
    during_create: Callable[[], Awaitable[None]] | None = None


class _Store(mailbox_pb2_grpc.AccountServiceServicer):
    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def _present(self, context: Any) -> None:
        if self.notes.store_away:
            await context.abort(grpc.StatusCode.INTERNAL, "away")

    async def CreateAccounts(self, request: mailbox_pb2.CreateAccountsRequest, context: Any) -> Any:
        await self._present(context)
        self.notes.calls.extend(("create", account) for account in request.accounts)
        if self.notes.during_create is not None:
            await self.notes.during_create()
        return mailbox_pb2.CreateAccountsResponse()

    async def UpdateAccount(self, request: mailbox_pb2.UpdateAccountRequest, context: Any) -> Any:
        await self._present(context)
        self.notes.calls.append(("update", request))
        return mailbox_pb2.UpdateAccountResponse()

    async def EraseAccount(self, request: mailbox_pb2.EraseAccountRequest, context: Any) -> Any:
        await self._present(context)
        self.notes.calls.append(("erase", request.account_id))
        return mailbox_pb2.EraseAccountResponse()


class _Guard(junior_guard_pb2_grpc.GuardServiceServicer):
    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def Check(self, request: junior_guard_pb2.CheckRequest, context: Any) -> Any:
        return junior_guard_pb2.CheckResponse()

    async def CheckOutgoing(self, request: junior_guard_pb2.CheckOutgoingRequest, context: Any) -> Any:
        return junior_guard_pb2.CheckOutgoingResponse()

    async def RegisterChild(self, request: junior_guard_pb2.RegisterChildRequest, context: Any) -> Any:
        if self.notes.guard_away:
            await context.abort(grpc.StatusCode.INTERNAL, "away")
        self.notes.calls.append(("child", request))
        return junior_guard_pb2.RegisterChildResponse()


@dataclass
class World:
    """accounts running, with what a test needs around it."""

    settings: Settings
    notes: Notes
    signers: dict[str, Signer]
    dsn: str
    principals: PrincipalVerifier
    peers: list[Peer] = field(default_factory=list)

    def peer(self, service: str = "", target: str = "") -> Peer:
        """A channel to accounts as a service, or as the operator."""
        signer = self.signers[service] if service else None
        peer = Peer(target or self.settings.target("accounts"), "accounts", signer, OPERATOR_SECRET)
        self.peers.append(peer)
        return peer

    async def admin(self, method: str, **fields: Any) -> Any:
        """Call AdminService as the operator."""
        peer = self.peer()
        stub = accounts_pb2_grpc.AdminServiceStub(peer.channel)
        request = getattr(accounts_pb2, f"{method}Request")(**fields)
        return await peer.call(getattr(stub, method), request, timeout=30)

    async def create(self, **fields: Any) -> Any:
        """Make one account and return its result."""
        made = await self.admin("CreateAccounts", accounts=[accounts_pb2.NewAccount(**fields)])
        return made.results[0]

    async def resolve(self, *addresses: str) -> list[accounts_pb2.Resolution]:
        """Resolve as ingest."""
        peer = self.peer("ingest")
        stub = accounts_pb2_grpc.DirectoryServiceStub(peer.channel)
        found = await peer.call(stub.Resolve, accounts_pb2.ResolveRequest(addresses=addresses), timeout=10)
        return list(found.resolutions)

    async def authenticate(self, *, target: str = "", principal: str = "", **fields: Any) -> Any:
        """Authenticate as gateway, by login and password or by bearer."""
        peer = self.peer("gateway", target)
        stub = accounts_pb2_grpc.AuthenticationServiceStub(peer.channel)
        if "login" in fields:
            fields["password"] = accounts_pb2.PasswordCredential(
                login=fields.pop("login"), password=fields.pop("password")
            )
        return await peer.call(stub.Authenticate, accounts_pb2.AuthenticateRequest(**fields), timeout=10)

    @contextlib.asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Settings]:
        """Run a replica of the service with changed settings."""
        settings = self.settings.model_copy(update=changes)
        stop = asyncio.Event()
        task = asyncio.create_task(bootstrap.run(settings, stop))
        async with grpc.aio.insecure_channel(settings.listen or self.settings.target("accounts")) as channel:
            ready = asyncio.create_task(channel.channel_ready())
            await asyncio.wait([ready, task], timeout=30, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                ready.cancel()
                await task
            await ready
        try:
            yield settings
        finally:
            stop.set()
            await task

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the database directly."""
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "accounts"})
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


def _signer(folder: Path, service: str) -> Signer:
    key = Ed25519PrivateKey.generate()
    (folder / f"{service}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{service}.pub").write_bytes(public)
    return Signer(service, key)


@pytest.fixture
async def idle_world(cluster: Path, nats_url: str) -> AsyncIterator[World]:
    """Everything but accounts itself: an empty database, the bus, the peers."""
    name = f"t{os.urandom(6).hex()}"
    owner = await asyncpg.connect(f"postgresql://postgres@/postgres?host={cluster}")
    await owner.execute(f"CREATE DATABASE {name}")
    dsn = f"postgresql://postgres@/{name}?host={cluster}"
    inside = await asyncpg.connect(dsn)
    await inside.execute("CREATE SCHEMA accounts")
    await inside.close()
    folder = Path(tempfile.mkdtemp(prefix="pb-w-"))
    signers = {s: _signer(folder, s) for s in ("accounts", "ingest", "gateway", "delivery", "store", "junior-guard")}
    (folder / "operator.token").write_text(OPERATOR_SECRET)
    notes = Notes()
    servers = []
    for service in ("store", "junior-guard"):
        allowed = {
            "/petitbleu.store.v1.AccountService/": frozenset({"accounts"}),
            "/petitbleu.junior_guard.v1.GuardService/": frozenset({"accounts"}),
        }
        server = make_server(
            IdentityInterceptor(
                service, Verifier(service, folder), PrincipalVerifier(folder), OperatorToken(None), allowed
            )
        )
        mailbox_pb2_grpc.add_AccountServiceServicer_to_server(_Store(notes), server)
        junior_guard_pb2_grpc.add_GuardServiceServicer_to_server(_Guard(notes), server)
        server.add_insecure_port(f"unix:{folder}/{service}.sock")
        await server.start()
        servers.append(server)
    settings = Settings(
        data=folder, run_dir=folder, pg_dsn=dsn, nats_url=nats_url, identity_key=folder / "accounts.key",
        identity_dir=folder, operator_token_file=folder / "operator.token", argon2_memory_kib=256, argon2_passes=1,
        argon2_lanes=1, sweep_seconds=0.2, sweep_after_seconds=0.5,
    )  # fmt: skip
    world = World(settings, notes, signers, dsn, PrincipalVerifier(folder))
    yield world
    for peer in world.peers:
        await peer.close()
    for server in servers:
        await server.stop(0)
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def world(idle_world: World) -> AsyncIterator[World]:
    """Accounts running with a tenant `one` (domain one.test) and a tenant `two` (domain two.test)."""
    async with idle_world.running():
        for name in ("one", "two"):
            await idle_world.admin("CreateTenant", name=name)
            await idle_world.admin("CreateDomain", tenant=name, name=f"{name}.test")
        yield idle_world
