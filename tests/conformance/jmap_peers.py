"""Accounts and store as the gateway knows them: gRPC servers over the mail in memory of `jmap_store`, and the gateway process.

Run as a program, the module serves until it is ended: `python -m tests.conformance.jmap_peers DIRECTORY [MESSAGES]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from tests.conformance.jmap_people import MemoryIdentities
from tests.conformance.jmap_push_memory import ABOUT_PEOPLE, MemoryPush
from tests.conformance.jmap_scripts import MemoryScripts
from tests.conformance.jmap_shares import ABOUT_SHARES, Directory, NoShares
from tests.conformance.jmap_store import MemoryStore
from tests.conformance.jmap_submissions import MemorySubmissions, memory_servicer
from tests.ports import free_port

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc, push_pb2_grpc
from petitbleu.delivery.v1 import scripts_pb2_grpc, submission_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc, removed_pb2_grpc, sharing_pb2_grpc, uploads_pb2, uploads_pb2_grpc
from petitbleu_accounts.grpc_api.identities import IdentityApi
from petitbleu_accounts.service.identities import Identities
from petitbleu_delivery.grpc_scripts import PERSON_SCRIPTS, ScriptServicer
from petitbleu_delivery.grpc_submissions import PERSON_SUBMISSIONS
from petitbleu_dev import credentials
from petitbleu_gateway.ports import Identity
from petitbleu_kit.identity import OperatorToken, Principal, PrincipalVerifier, Signer, Verifier, principal_claims
from petitbleu_kit.rpc import IdentityInterceptor, caller, make_server, speak_for

Result = TypeVar("Result")
PASSWORD = "petit-bleu-test"
PEOPLE = {"alice@demo.test": 101, "bob@demo.test": 102}
SECONDS = 300
_ABOUT_DELETED = ("/petitbleu.store.v1.RemovedService/",)
_ABOUT_PEOPLE = {
    f"/petitbleu.accounts.v1.IdentityService/{name}"
    for name in ("ListIdentities", "GetIdentityChanges", "UpdateIdentities")
}


class Accounts(accounts_pb2_grpc.AuthenticationServiceServicer):
    """Authenticate, CreateSession and RevokeSession, in memory."""

    def __init__(self, identity: Path) -> None:
        self._signer = Signer.from_file("accounts", identity / "accounts.key")
        self.sessions: dict[str, tuple[int, int]] = {}
        self.asked = 0

    async def Authenticate(self, request: Any, context: Any) -> Any:
        self.asked += 1
        session = 0
        if request.WhichOneof("credential") == "bearer":
            account, session = self.sessions.get(request.bearer, (0, 0))
        else:
            if request.password.login == "limited@demo.test":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "limited")
            account = PEOPLE.get(request.password.login, 0) if request.password.password == PASSWORD else 0
        if not account:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong")
        principal = Principal(account, 3, ("person",), session, credential_id=session)
        address = next(name for name, number in PEOPLE.items() if number == account)
        return accounts_pb2.AuthenticateResponse(
            principal=self._signer.sign("petitbleu", principal_claims(principal), SECONDS),
            account=accounts_pb2.Account(
                account_id=account, tenant_id=3, address=address,
                roles=[accounts_pb2.ROLE_CHILD if address.startswith("child") else accounts_pb2.ROLE_PERSON],
            ),
            session_id=session, expires_at=int(time.time()) + SECONDS,
        )  # fmt: skip

    async def CreateSession(self, request: Any, context: Any) -> Any:
        who = caller().principal
        assert who is not None
        token, number = os.urandom(32).hex(), len(self.sessions) + 1
        self.sessions[token] = (who.account_id, number)
        return accounts_pb2.CreateSessionResponse(token=token, session_id=number, expires_at=int(time.time()) + 3600)

    async def GetScramSalt(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the gateway does not ask for it")

    async def CheckStanding(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the gateway does not ask for it")

    async def RevokeSession(self, request: Any, context: Any) -> Any:
        self.sessions = {token: found for token, found in self.sessions.items() if found[1] != request.session_id}
        return accounts_pb2.RevokeSessionResponse()


class Mail(mailbox_pb2_grpc.MailboxServiceServicer):
    """MailboxService over a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def _who(self, request: Any, context: Any) -> Identity:
        principal = caller().principal
        if principal is None or principal.account_id != request.account_id:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "another account")
            raise AssertionError
        return Identity(principal.account_id, 3, "", "", (), 0, "", 0)

    async def _do(self, request: Any, context: Any, work: Any) -> Any:
        who = await self._who(request, context)
        try:
            return await work(who)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), "as told")

    async def GetState(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, self._store.state)

    async def ListMailboxes(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, self._store.mailboxes)

    async def QueryMessages(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.query(who, request))

    async def QueryMessageChanges(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.query_changes(who, request))

    async def GetSnippets(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.snippets(who, request))

    async def GetMessages(self, request: Any, context: Any) -> Any:
        wanted = list(request.message_ids)
        return await self._do(
            request, context, lambda who: self._store.messages(who, wanted, without_meta=request.without_meta)
        )

    async def GetThreads(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.threads(who, list(request.thread_ids)))

    async def GetChanges(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.changes(who, request))

    async def UpdateMessages(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.update(who, request))

    async def ImportMessage(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.import_message(who, request))

    async def UpdateMailboxes(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._store.update_mailboxes(who, request))

    async def ReadBlob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        who = await self._who(request, context)
        try:
            async for piece in self._store.read(who, request.message_id, request.offset, request.length):
                yield pb.ReadBlobResponse(data=piece)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), "as told")


class Deleted(removed_pb2_grpc.RemovedServiceServicer):
    """RemovedService over a `MemoryStore`."""

    def __init__(self, store: MemoryStore, mail: Mail) -> None:
        self._removed = store.removed
        self._do = mail._do

    async def QueryRemoved(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._removed.query(who, request))

    async def GetRemoved(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._removed.messages(who, list(request.message_ids)))

    async def ListRemovedMailboxes(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, self._removed.mailboxes)

    async def RestoreMessages(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._removed.restore(who, request))

    async def RestoreMailboxes(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._removed.restore_mailboxes(who, request))

    async def PurgeRemoved(self, request: Any, context: Any) -> Any:
        return await self._do(request, context, lambda who: self._removed.purge(who, request))


class Uploads(uploads_pb2_grpc.UploadServiceServicer):
    """UploadService over a `MemoryStore`."""

    def __init__(self, store: MemoryStore, mail: Mail) -> None:
        self._store = store
        self._who = mail._who
        self._do = mail._do

    async def Upload(self, requests: AsyncIterator[Any], context: Any) -> Any:
        first = await anext(aiter(requests))
        who = await self._who(first.header, context)
        ended = []

        async def pieces() -> AsyncIterator[bytes]:
            octets = 0
            async for request in requests:
                if request.WhichOneof("part") == "end":
                    assert request.end.octets == octets
                    ended.append(octets)
                else:
                    octets += len(request.data)
                    yield request.data
            if not ended:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the upload does not end")

        return uploads_pb2.UploadResponse(upload=await self._store.upload(who, pieces()))

    async def GetUploads(self, request: Any, context: Any) -> Any:
        found = await self._do(request, context, lambda who: self._store.uploads(who, list(request.upload_ids)))
        return uploads_pb2.GetUploadsResponse(uploads=found)

    async def ReadUpload(self, request: Any, context: Any) -> AsyncIterator[Any]:
        who = await self._who(request, context)
        try:
            async for piece in self._store.read_upload(who, request.upload_id, request.offset, request.length):
                yield uploads_pb2.ReadUploadResponse(data=piece)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), "as told")


class Reads(mailbox_pb2_grpc.ReadingServiceServicer):
    """ReadingService: what `Mail` answers, as a conversation."""

    def __init__(self, mail: Mail, store: MemoryStore) -> None:
        self._person = store.person
        self._asks = {
            "state": mail.GetState, "mailboxes": mail.ListMailboxes, "query": mail.QueryMessages,
            "messages": mail.GetMessages, "threads": mail.GetThreads, "changes": mail.GetChanges,
            "query_changes": mail.QueryMessageChanges,
        }  # fmt: skip

    async def GetStates(self, request: Any, context: Any) -> Any:
        people = {account_id: self._person(account_id) for account_id in request.account_ids}
        states = [
            pb.AccountState(account_id=account_id, modseq=person.modseq, last_id=person.last_id)
            for account_id, person in people.items()
        ]
        return pb.GetStatesResponse(states=states)

    async def ReadMany(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            await speak_for(request.principal, context)
            name = request.WhichOneof("ask")
            yield pb.ReadManyResponse(**{name: await self._asks[name](getattr(request, name), context)})


class JmapPeers:
    """Both servers on unix sockets below one directory, in a thread of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = directory / "identity"
        self.identity.mkdir()
        for service in ("gateway", "store", "accounts", "delivery"):
            credentials.identity(self.identity, service)
        self.store = MemoryStore()
        self.pictures_port = free_port()
        self.identities = MemoryIdentities()
        self.submissions = MemorySubmissions()
        self.scripts = MemoryScripts()
        self.push = MemoryPush()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def address(self, service: str) -> str:
        return f"unix:{self.directory / service}.sock"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def do(self, work: Callable[[], Result]) -> Result:
        """Do something with the mail in memory where the servers do theirs, so that neither meets the other half way."""

        async def run() -> Result:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _serve(self) -> None:
        self._servers: list[grpc.aio.Server] = []
        self.accounts = Accounts(self.identity)
        about_people = ("AuthenticationService", "IdentityService", "PushService", "DirectoryService")
        server = self._server("accounts", *(f"petitbleu.accounts.v1.{name}" for name in about_people))
        accounts_pb2_grpc.add_IdentityServiceServicer_to_server(IdentityApi(Identities(self.identities)), server)
        push_pb2_grpc.add_PushServiceServicer_to_server(self.push, server)
        accounts_pb2_grpc.add_AuthenticationServiceServicer_to_server(self.accounts, server)
        accounts_pb2_grpc.add_DirectoryServiceServicer_to_server(Directory(PEOPLE), server)
        await server.start()
        services = ("MailboxService", "ReadingService", "UploadService", "RemovedService", "SharingService")
        server = self._server("store", *(f"petitbleu.store.v1.{name}" for name in services))
        mail = Mail(self.store)
        mailbox_pb2_grpc.add_MailboxServiceServicer_to_server(mail, server)
        mailbox_pb2_grpc.add_ReadingServiceServicer_to_server(Reads(mail, self.store), server)
        uploads_pb2_grpc.add_UploadServiceServicer_to_server(Uploads(self.store, mail), server)
        removed_pb2_grpc.add_RemovedServiceServicer_to_server(Deleted(self.store, mail), server)
        sharing_pb2_grpc.add_SharingServiceServicer_to_server(NoShares(self.store), server)
        await server.start()
        server = self._server(
            "delivery", "petitbleu.delivery.v1.ScriptService", "petitbleu.delivery.v1.SubmissionService"
        )
        submission_pb2_grpc.add_SubmissionServiceServicer_to_server(
            memory_servicer(self.submissions, self.store), server
        )
        scripts_pb2_grpc.add_ScriptServiceServicer_to_server(ScriptServicer(self.scripts), server)
        await server.start()
        self._ready.set()

    def _server(self, service: str, *names: str) -> grpc.aio.Server:
        interceptor = IdentityInterceptor(
            service, Verifier(service, self.identity), PrincipalVerifier(self.identity), OperatorToken(None),
            {f"/{name}/": frozenset({"gateway"}) for name in names},
            frozenset(
                {"/petitbleu.store.v1.MailboxService/", "/petitbleu.store.v1.UploadService/", *_ABOUT_PEOPLE, *_ABOUT_DELETED, *ABOUT_PEOPLE, *ABOUT_SHARES, *PERSON_SCRIPTS, *PERSON_SUBMISSIONS}
            ),
        )  # fmt: skip
        server = make_server(interceptor)
        server.add_insecure_port(self.address(service))
        self._servers.append(server)
        return server

    async def _end(self) -> None:
        for server in self._servers:
            await server.stop(0)

    def environment(self, http: int, health: int, https: int = 0) -> dict[str, str]:
        """Return what a gateway in front of these must be told."""
        return {
            **os.environ,
            "PETITBLEU_DATA": str(self.directory),
            "PETITBLEU_PORT_OFFSET": "0",
            "PETITBLEU_HTTP_PORT": str(http),
            "PETITBLEU_HTTPS_PORT": str(https),
            "PETITBLEU_HEALTH_PORT": str(health),
            "PETITBLEU_NATS_URL": "nats://127.0.0.1:1",
            "PETITBLEU_IDENTITY_KEY": str(self.identity / "gateway.key"),
            "PETITBLEU_IDENTITY_DIR": str(self.identity),
            "PETITBLEU_STORE_TARGET": self.address("store"),
            "PETITBLEU_ACCOUNTS_TARGET": self.address("accounts"),
            "PETITBLEU_MANAGESIEVE_PORT": "0",
            "PETITBLEU_DELIVERY_TARGET": self.address("delivery"),
            "PETITBLEU_EGRESS_ALLOW": "127.0.0.0/8",
            "PETITBLEU_IMAGE_BURST": "40",
            "PETITBLEU_IMAGE_RATE": "0.1",
            "PETITBLEU_EGRESS_PORTS": f"80,443,{self.pictures_port}",
        }


@contextlib.contextmanager
def running_gateway(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a gateway process until the block ends; its log goes to a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "petitbleu_gateway"], env=environment, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 30
            url = f"http://127.0.0.1:{environment['PETITBLEU_HEALTH_PORT']}/health/ready"
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the gateway is not ready"
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        break
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(15)


if __name__ == "__main__":
    peers = JmapPeers(Path(sys.argv[1]))
    peers.start()
    for index in range(int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        text = f"From: Anna <anna@x.test>\r\nTo: alice@demo.test\r\nSubject: Number {index}\r\nMessage-ID: <{index}@x.test>\r\n\r\nHello\r\n"
        peers.store.person(101).file(text.encode())
    with running_gateway(peers.environment(free_port(), free_port()), peers.directory / "gateway.log") as gateway:
        print("ready", gateway.args, flush=True)
        threading.Event().wait()
