"""Accounts and store as ingest knows them: gRPC servers that keep the contract's promises in memory.

They stand for ports in tests of the SMTP door alone; tests/integration has the real services. Run as a program, the module
serves until it is ended: `python -m tests.conformance.contract_peers DIRECTORY [SECONDS OF A COMMIT]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_kit.identity import OperatorToken, PrincipalVerifier, Verifier
from petitbleu_kit.rpc import IdentityInterceptor, make_server

HOSTED = {"demo.test": 7, "example.test": 8}
TENANT = 3
PEOPLE = {
    "alice@demo.test": 101, "bob@demo.test": 102, "full@demo.test": 103, "disabled@demo.test": 104,
    "accent-é@demo.test": 105, "carol@example.test": 106, "smtp-sink@demo.test": 107,
}  # fmt: skip
OVER_QUOTA = {103}
DISABLED = {104}


def make_identity(directory: Path, services: tuple[str, ...] = ("ingest", "store", "accounts")) -> None:
    """Make a key pair for each service."""
    directory.mkdir(parents=True, exist_ok=True)
    for service in services:
        key = Ed25519PrivateKey.generate()
        (directory / f"{service}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (directory / f"{service}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )


@dataclass
class Directory(accounts_pb2_grpc.DirectoryServiceServicer):
    """Resolve, over the people above; `extra` are people made later."""

    calls: list[int] = field(default_factory=list)
    extra: dict[str, int] = field(default_factory=dict)
    away: bool = False
    anyone: bool = False

    async def Resolve(self, request: Any, context: Any) -> Any:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.calls.append(len(request.addresses))
        return accounts_pb2.ResolveResponse(resolutions=[self._one(address) for address in request.addresses])

    async def ResolveMany(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield await self.Resolve(request, context)

    async def GetAccounts(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "ingest does not ask for it")

    async def GetDomains(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "ingest does not ask for it")

    def _one(self, given: str) -> Any:
        local, _, domain = given.lower().rpartition("@")
        if not local:
            local, domain = domain, "demo.test"
        if domain not in HOSTED:
            return accounts_pb2.Resolution(status=accounts_pb2.ADDRESS_STATUS_REMOTE)
        where: Any = {"domain_id": HOSTED[domain], "tenant_id": TENANT}
        base = local.partition("+")[0]
        account = {**PEOPLE, **self.extra}.get(f"{base}@{domain}")
        if account is None and self.anyone:
            account = int.from_bytes(hashlib.sha256(local.encode()).digest()[:6], "big")
        if account is None:
            return accounts_pb2.Resolution(status=accounts_pb2.ADDRESS_STATUS_UNKNOWN, **where)
        if account in DISABLED:
            return accounts_pb2.Resolution(status=accounts_pb2.ADDRESS_STATUS_DISABLED, **where)
        targets = [accounts_pb2.Target(account_id=account, tenant_id=TENANT)]
        return accounts_pb2.Resolution(status=accounts_pb2.ADDRESS_STATUS_LOCAL, targets=targets, **where)


@dataclass
class Store(accept_pb2_grpc.AcceptServiceServicer):
    """Accept, Stage and quota, in memory; `listed` is what the list of full accounts names, None in a store that has none."""

    messages: list[Any] = field(default_factory=list)
    bodies: dict[bytes, bytes] = field(default_factory=dict)  # staged id -> body
    keys: dict[bytes, bytes] = field(default_factory=dict)  # idempotency key -> accepted id
    marked: set[bytes] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    fail: grpc.StatusCode | None = None
    delay: float = 0
    stage_gate: asyncio.Event | None = None
    keep: bool = True
    listed: set[int] | None = field(default_factory=lambda: set(OVER_QUOTA))
    complete: bool = True
    quota_asked: list[int] = field(default_factory=list)

    async def Accept(self, request: Any, context: Any) -> Any:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.fail is not None:
            await context.abort(self.fail, "as told")
        for key in request.seen_keys:
            self.marked.add(key)
            self.keys.pop(key, None)
        self.batches.append(len(request.items))
        return accept_pb2.AcceptResponse(results=[self._one(item) for item in request.items])

    async def AcceptMany(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield await self.Accept(request, context)

    def _one(self, item: Any) -> Any:
        if len(item.idempotency_key) != 32 or not item.recipients:
            return accept_pb2.AcceptResult(status=accept_pb2.ACCEPT_STATUS_INVALID)
        known = self.keys.get(item.idempotency_key)
        if known is not None:
            return accept_pb2.AcceptResult(status=accept_pb2.ACCEPT_STATUS_REPEAT, accepted_id=known)
        if item.staged_id and item.staged_id not in self.bodies:
            return accept_pb2.AcceptResult(status=accept_pb2.ACCEPT_STATUS_STAGED_UNKNOWN)
        accepted = os.urandom(16)
        if self.keep:
            self.keys[item.idempotency_key] = accepted
            self.messages.append(item)
        return accept_pb2.AcceptResult(status=accept_pb2.ACCEPT_STATUS_OK, accepted_id=accepted)

    async def Stage(self, request_iterator: AsyncIterator[Any], context: Any) -> Any:
        pieces: list[bytes] = []
        size = 0
        ended = False
        async for request in request_iterator:
            if self.stage_gate is not None:
                await self.stage_gate.wait()
            if self.fail is not None:
                await context.abort(self.fail, "as told")
            part = request.WhichOneof("part")
            if part == "data":
                assert len(request.data) <= 256 << 10
                size += len(request.data)
                if self.keep:
                    pieces.append(request.data)
            elif part == "end":
                ended = request.end.octets == size
        if not ended:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "octets missing")
        staged = os.urandom(16)
        self.bodies[staged] = b"".join(pieces)
        return accept_pb2.StageResponse(staged_id=staged)

    async def CheckQuota(self, request: Any, context: Any) -> Any:
        self.quota_asked += request.account_ids
        over = [one for one in request.account_ids if one in OVER_QUOTA]
        return accept_pb2.CheckQuotaResponse(over_quota_account_ids=over)

    async def CheckQuotaMany(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield await self.CheckQuota(request, context)

    async def ListOverQuota(self, request: Any, context: Any) -> Any:
        if self.listed is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "as told")
        account_ids = self.listed if self.complete else ()
        return accept_pb2.ListOverQuotaResponse(account_ids=account_ids, age_milliseconds=1, complete=self.complete)

    def body_of(self, item: Any) -> bytes:
        return self.bodies[item.staged_id] if item.staged_id else item.body


class Peers:
    """Both servers on unix sockets below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = directory / "identity"
        if not self.identity.exists():
            make_identity(self.identity)
        self.accounts = Directory()
        self.store = Store()
        self._servers: list[Any] = []

    def address(self, service: str) -> str:
        return f"unix:{self.directory / service}.sock"

    async def start(self) -> None:
        doors: Any = (
            ("accounts", accounts_pb2_grpc.add_DirectoryServiceServicer_to_server, self.accounts, "petitbleu.accounts.v1.DirectoryService"),
            ("store", accept_pb2_grpc.add_AcceptServiceServicer_to_server, self.store, "petitbleu.store.v1.AcceptService"),
        )  # fmt: skip
        for service, add, servicer, name in doors:
            interceptor = IdentityInterceptor(
                service, Verifier(service, self.identity), PrincipalVerifier(self.identity), OperatorToken(None),
                {f"/{name}/": frozenset({"ingest"})},
            )  # fmt: skip
            server = make_server(interceptor)
            add(servicer, server)
            server.add_insecure_port(self.address(service))
            await server.start()
            self._servers.append(server)

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(0)


async def _main(directory: Path, delay: float) -> None:
    peers = Peers(directory)
    peers.accounts.anyone = True
    peers.store.keep = False
    peers.store.delay = delay
    await peers.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0))
