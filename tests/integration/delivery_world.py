"""store, accounts, delivery and junior-guard as real processes, handled over gRPC as their peers would."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import nats

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.delivery.v1 import delivery_pb2, delivery_pb2_grpc
from petitbleu.junior_guard.v1 import junior_guard_pb2, junior_guard_pb2_grpc
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc, filing_pb2, filing_pb2_grpc, mailbox_pb2, mailbox_pb2_grpc
from petitbleu_dev import credentials
from petitbleu_dev.stack import Stack
from petitbleu_kit.identity import Principal, Signer, principal_claims
from petitbleu_kit.rpc import Peer

DOMAIN = "route.test"
PASSWORD = "petit-bleu-test"
_names = itertools.count(1)
Stub = TypeVar("Stub")


ONLY = "backends,store,accounts,delivery,junior-guard"


@contextlib.contextmanager
def prepared_stack(
    data: Path, offset: int, environment: Mapping[str, str] | None = None, only: str = ONLY
) -> Iterator[Stack]:
    """A stack that is ready, with the tenant and the domain of these tests; `only` names its programs."""
    # nobody is written to by junior-guard, unless a test wants it
    quiet = {"PETITBLEU_JUNIOR_GUARD_ALERT_SECONDS": "3600"}
    stack = Stack(data, offset, only=only, environment={**quiet, **(environment or {})})
    stack.start()
    try:
        stack.wait_ready()

        async def prepare() -> None:
            async with world_of(stack) as made:
                await made.prepare()

        asyncio.run(prepare())
        yield stack
    finally:
        stack.stop()


@contextlib.asynccontextmanager
async def world_of(stack: Stack) -> AsyncIterator[DeliveryWorld]:
    """One test's hands on a stack."""
    made = DeliveryWorld(stack)
    yield made
    await made.close()


class DeliveryWorld:
    """One test's hands on the stack; `close` at the end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._peers: dict[tuple[str, str], Peer] = {}
        self._signers: dict[str, Signer] = {}
        self._tenants: dict[int, int] = {}

    def signer(self, service: str) -> Signer:
        if service not in self._signers:
            path = credentials.identity(self.stack.layout.identity, service)
            self._signers[service] = Signer.from_file(service, path)
        return self._signers[service]

    def peer(self, service: str, caller: str) -> Peer:
        """A channel to a service as a caller, `operator` included."""
        known = self._peers.get((service, caller))
        if known is None:
            target = f"unix:{self.stack.layout.service_socket(service)}"
            token = self.stack.layout.operator_token.read_text().strip()
            signer = None if caller == "operator" else self.signer(caller)
            known = self._peers[service, caller] = Peer(target, service, signer, token)
        return known

    async def call(self, service: str, caller: str, stub: Any, method: str, request: Any, principal: str = "") -> Any:
        peer = self.peer(service, caller)
        return await peer.call(getattr(stub(peer.channel), method), request, timeout=20, principal=principal)

    async def admin(self, method: str, request: Any) -> Any:
        return await self.call("accounts", "operator", accounts_pb2_grpc.AdminServiceStub, method, request)

    async def prepare(self) -> None:
        """Make the tenant and its domain, once a stack."""
        await self.admin("CreateTenant", accounts_pb2.CreateTenantRequest(name="route"))
        await self.admin("CreateDomain", accounts_pb2.CreateDomainRequest(tenant="route", name=DOMAIN))

    async def new_domain(self) -> str:
        name = f"d{next(_names)}.test"
        await self.admin("CreateDomain", accounts_pb2.CreateDomainRequest(tenant="route", name=name))
        return name

    async def person(
        self, name: str = "", *, guarded: bool = False, guardians: tuple[str, ...] = (), domain: str = DOMAIN,
        language: str = "",
    ) -> tuple[str, int]:  # fmt: skip
        """Make an account; its address and id."""
        address = f"{name or 'person'}{next(_names)}@{domain}"
        wanted = accounts_pb2.NewAccount(
            address=address, password=PASSWORD, guarded=guarded, guardians=guardians, language=language
        )
        made = await self.admin("CreateAccounts", accounts_pb2.CreateAccountsRequest(accounts=[wanted]))
        assert made.results[0].error == "", made.results[0].error
        account = made.results[0].account
        self._tenants[account.account_id] = account.tenant_id
        return address, account.account_id

    async def alias(self, address: str, *members: str) -> None:
        await self.admin("PutAlias", accounts_pb2.PutAliasRequest(address=address, members=members))

    async def accept(
        self,
        *recipients: str,
        mail_from: str = "peer@else.test",
        authenticated: bool = False,
        count: int = 1,
        body: bytes = b"",
        verdicts: accept_pb2.AuthenticationVerdicts | None = None,
    ) -> list[bytes]:
        """Accept messages in one commit; their ids."""
        items = []
        for _ in range(count):
            text = body or b"From: <%s>\r\nSubject: hello\r\nMessage-ID: <%s@else.test>\r\n\r\nHello\r\n" % (
                mail_from.encode() or b"nobody@else.test", os.urandom(9).hex().encode(),
            )  # fmt: skip
            items.append(
                accept_pb2.AcceptItem(
                    idempotency_key=hashlib.sha256(os.urandom(16)).digest(),
                    mail_from=mail_from,
                    recipients=[accept_pb2.AcceptRecipient(address=one, tenant_id=1) for one in recipients],
                    trace=b"Received: from peer by us; Sun, 22 Nov 2026 00:00:00 +0000\r\n",
                    body=text,
                    header_from=mail_from,
                    verdicts=verdicts or accept_pb2.AuthenticationVerdicts(from_authenticated=authenticated),
                )
            )
        request = accept_pb2.AcceptRequest(items=items)
        done = await self.call("store", "ingest", accept_pb2_grpc.AcceptServiceStub, "Accept", request)
        assert all(result.status == accept_pb2.ACCEPT_STATUS_OK for result in done.results)
        return [result.accepted_id for result in done.results]

    async def still_open(self, ids: list[bytes]) -> dict[tuple[bytes, int], int]:
        """Open recipients of messages, with their attempts."""
        request = filing_pb2.ListOpenRequest(accepted_ids=ids)
        found = await self.call("store", "delivery", filing_pb2_grpc.FilingServiceStub, "ListOpen", request)
        return {(m.accepted_id, r.recipient_no): r.attempts for m in found.messages for r in m.recipients}

    async def settled(self, ids: list[bytes], seconds: float = 60) -> None:
        """Wait until every recipient of messages has its outcome."""
        deadline = time.monotonic() + seconds
        while left := await self.still_open(ids):
            assert time.monotonic() < deadline, f"{len(left)} recipients still open"
            await asyncio.sleep(0.05)

    async def file(self, account_id: int, accepted_id: bytes, token: str = "") -> int:
        """Ask store to file as delivery does; the status."""
        item = filing_pb2.FileItem(
            recipient=filing_pb2.RecipientRef(accepted_id=accepted_id), account_id=account_id, decision_token=token
        )
        request = filing_pb2.FileRequest(items=[item])
        done = await self.call("store", "delivery", filing_pb2_grpc.FilingServiceStub, "File", request)
        return int(done.results[0].status)

    def principal(self, account_id: int) -> str:
        return self.signer("accounts").sign(
            "petitbleu", principal_claims(Principal(account_id, self._tenants[account_id], ("person",), 0)), 60
        )

    async def mailbox(self, method: str, account_id: int, **fields: Any) -> Any:
        request = getattr(mailbox_pb2, f"{method}Request")(account_id=account_id, **fields)
        stub = mailbox_pb2_grpc.MailboxServiceStub
        return await self.call("store", "gateway", stub, method, request, self.principal(account_id))

    async def messages(self, account_id: int) -> list[int]:
        """Message ids of an account, newest first."""
        found = await self.mailbox("QueryMessages", account_id, limit=1000)
        return list(found.message_ids)

    async def text(self, account_id: int, message_id: int) -> bytes:
        """A message as served."""
        peer = self.peer("store", "gateway")
        request = mailbox_pb2.ReadBlobRequest(account_id=account_id, message_id=message_id)
        stream = mailbox_pb2_grpc.MailboxServiceStub(peer.channel).ReadBlob(
            request, timeout=20, metadata=peer.metadata(self.principal(account_id))
        )
        return b"".join([piece.data async for piece in stream])

    async def parked(self) -> dict[bytes, str]:
        """Accepted id → reason of what is parked."""
        request = filing_pb2.ListParkedRequest(limit=1000)
        found = await self.call("store", "operator", filing_pb2_grpc.ParkedServiceStub, "ListParked", request)
        return {one.recipient.accepted_id: one.reason for one in found.recipients}

    async def status(self) -> delivery_pb2.GetStatusResponse:
        request = delivery_pb2.GetStatusRequest()
        found: delivery_pb2.GetStatusResponse = await self.call(
            "delivery", "operator", delivery_pb2_grpc.RoutingServiceStub, "GetStatus", request
        )
        return found

    async def check(self, account_id: int, accepted_id: bytes, mail_from: str, *, authenticated: bool) -> Any:
        item = junior_guard_pb2.CheckItem(
            account_id=account_id, accepted_id=accepted_id, mail_from=mail_from, header_from=mail_from,
            authenticated=authenticated,
        )  # fmt: skip
        request = junior_guard_pb2.CheckRequest(items=[item])
        stub = junior_guard_pb2_grpc.GuardServiceStub
        return (await self.call("junior-guard", "delivery", stub, "Check", request)).decisions[0]

    async def guard_admin(self, method: str, request: Any) -> None:
        await self.call("junior-guard", "operator", junior_guard_pb2_grpc.AdminServiceStub, method, request)

    async def replay_events(self, times: int = 3) -> int:
        """Publish every accepted event of the stream again, several times, newest first."""
        user, password = self.stack.nats_administrator
        client = await nats.connect(f"nats://127.0.0.1:{self.stack.port('nats')}", user=user, password=password)
        stream = client.jetstream()
        state = (await stream.stream_info("MAIL")).state
        found = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            message = await stream.get_msg("MAIL", sequence)
            if message.subject and message.subject.startswith("mail.message.accepted."):
                found.append((message.subject, message.data or b""))
        for subject, payload in reversed(found * times):
            await stream.publish(subject, payload)
        await client.close()
        return len(found) * times

    async def quiet(self, seconds: float = 30) -> None:
        """Wait until delivery has no event left."""
        deadline = time.monotonic() + seconds
        while True:
            status = await self.status()
            if status.pending_events == 0 and status.in_flight == 0:
                return
            assert time.monotonic() < deadline, f"{status.pending_events} events still pending"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        for peer in self._peers.values():
            await peer.close()


async def submit(
    world: DeliveryWorld, account_id: int, sender: str, *recipients: str, **more: Any
) -> tuple[str, bytes]:
    """Accept a message as the submission door does; its subject and id."""
    token = os.urandom(6).hex()
    body = (
        f"From: <{sender}>\r\nSubject: {token}\r\nMessage-ID: <{token}@route.test>\r\n\r\n.dots\r\n..too\r\n".encode()
    )
    told: dict[str, Any] = {
        "idempotency_key": hashlib.sha256(os.urandom(16)).digest(), "mail_from": sender, "header_from": sender, "body": body,
        "recipients": [accept_pb2.AcceptRecipient(address=one, tenant_id=1) for one in recipients],
        "origin": accept_pb2.ORIGIN_SUBMITTED, "submitter_account_id": account_id,
        "submitter_tenant_id": world._tenants.get(account_id, 1), "trace": b"Received: by us; Sun, 22 Nov 2026 00:00:00 +0000\r\n",
        "verdicts": accept_pb2.AuthenticationVerdicts(from_authenticated=True), **more,
    }  # fmt: skip
    request = accept_pb2.AcceptRequest(items=[accept_pb2.AcceptItem(**told)])
    done = await world.call("store", "ingest", accept_pb2_grpc.AcceptServiceStub, "Accept", request)
    return token, done.results[0].accepted_id
