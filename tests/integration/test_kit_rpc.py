"""gRPC between services over a real socket: who is let in, and what the handler learns of the caller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc, mailbox_pb2, mailbox_pb2_grpc
from petitbleu_kit.identity import OperatorToken, Principal, PrincipalVerifier, Signer, Verifier, principal_claims
from petitbleu_kit.rpc import IdentityInterceptor, Peer, caller, make_server, while_allowed

STATE = "/petitbleu.store.v1.MailboxService/GetState"
READ = "/petitbleu.store.v1.MailboxService/ReadBlob"
STATUS = "/petitbleu.store.v1.AdminService/GetStatus"


class _Mailboxes(mailbox_pb2_grpc.MailboxServiceServicer):
    async def GetState(self, request: mailbox_pb2.GetStateRequest, context: object) -> mailbox_pb2.GetStateResponse:
        person = caller().principal
        return mailbox_pb2.GetStateResponse(modseq=person.account_id if person else 0)

    async def ReadBlob(
        self, request: mailbox_pb2.ReadBlobRequest, context: object
    ) -> AsyncIterator[mailbox_pb2.ReadBlobResponse]:
        yield mailbox_pb2.ReadBlobResponse(data=caller().service.encode())


class _Accept(accept_pb2_grpc.AcceptServiceServicer):
    async def AcceptMany(
        self, requests: AsyncIterator[accept_pb2.AcceptRequest], context: object
    ) -> AsyncIterator[accept_pb2.AcceptResponse]:
        async for _ in while_allowed(requests):
            yield accept_pb2.AcceptResponse()


class _Admin(mailbox_pb2_grpc.AdminServiceServicer):
    async def GetStatus(self, request: mailbox_pb2.GetStatusRequest, context: object) -> mailbox_pb2.GetStatusResponse:
        return mailbox_pb2.GetStatusResponse(accounts=1)


MakeSigner = Callable[[str], Signer]


@pytest.fixture
def make_signer(tmp_path: Path) -> MakeSigner:
    def make(service: str) -> Signer:
        key = Ed25519PrivateKey.generate()
        path = tmp_path / f"{service}.key"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (tmp_path / f"{service}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return Signer.from_file(service, path)

    return make


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "operator.token").write_text("operator-secret")
    interceptor = IdentityInterceptor(
        "store",
        Verifier("store", tmp_path),
        PrincipalVerifier(tmp_path),
        OperatorToken(tmp_path / "operator.token"),
        {
            "/petitbleu.store.v1.MailboxService/": frozenset({"gateway"}),
            "/petitbleu.store.v1.AdminService/": frozenset({"operator"}),
            "/petitbleu.store.v1.AcceptService/": frozenset({"ingest"}),
        },
        frozenset({STATE}),
    )
    server = make_server(interceptor)
    mailbox_pb2_grpc.add_MailboxServiceServicer_to_server(_Mailboxes(), server)  # type: ignore[abstract]
    mailbox_pb2_grpc.add_AdminServiceServicer_to_server(_Admin(), server)  # type: ignore[abstract]
    accept_pb2_grpc.add_AcceptServiceServicer_to_server(_Accept(), server)  # type: ignore[abstract]
    address = f"unix:{tmp_path / 'store.sock'}"
    server.add_insecure_port(address)
    await server.start()
    yield address
    await server.stop(None)


async def test_the_handler_knows_service_and_person(target: str, make_signer: MakeSigner) -> None:
    peer = Peer(target, "store", make_signer("gateway"))
    principal = make_signer("accounts").sign("petitbleu", principal_claims(Principal(77, 1, ("person",), 0)), 60)
    stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
    answer = await peer.call(stub.GetState, mailbox_pb2.GetStateRequest(account_id=77), timeout=5, principal=principal)
    assert answer.modseq == 77
    pieces = [piece.data async for piece in stub.ReadBlob(mailbox_pb2.ReadBlobRequest(), metadata=peer.metadata())]
    assert pieces == [b"gateway"]
    await peer.close()


async def test_a_conversation_ends_with_the_token_that_began_it(target: str, make_signer: MakeSigner) -> None:
    peer = Peer(target, "store")
    token = make_signer("ingest").sign("store", {"use": "service"}, 2)
    stub = accept_pb2_grpc.AcceptServiceStub(peer.channel)
    call = stub.AcceptMany(metadata=[("authorization", f"Bearer {token}")], timeout=600)  # type: ignore[call-arg]
    await call.write(accept_pb2.AcceptRequest())
    assert await call.read() == accept_pb2.AcceptResponse()
    await asyncio.sleep(3.1)
    await call.write(accept_pb2.AcceptRequest())
    assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
    assert await call.code() is grpc.StatusCode.OK, "an orderly end: the caller opens a fresh one"
    await peer.close()


async def test_a_person_method_needs_a_principal(target: str, make_signer: MakeSigner) -> None:
    peer = Peer(target, "store", make_signer("gateway"))
    stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await peer.call(stub.GetState, mailbox_pb2.GetStateRequest(account_id=77), timeout=5)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await peer.close()


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_service_not_on_the_list_is_refused(target: str, make_signer: MakeSigner, streaming: bool) -> None:
    peer = Peer(target, "store", make_signer("ingest"))
    stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        if streaming:
            async for _ in stub.ReadBlob(mailbox_pb2.ReadBlobRequest(), metadata=peer.metadata()):
                pass
        else:
            await peer.call(stub.GetState, mailbox_pb2.GetStateRequest(), timeout=5)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await peer.close()


async def test_the_operator_needs_the_token(target: str) -> None:
    for token, expected in (("operator-secret", None), ("wrong", grpc.StatusCode.UNAUTHENTICATED)):
        peer = Peer(target, "store", operator_token=token)
        stub = mailbox_pb2_grpc.AdminServiceStub(peer.channel)
        if expected is None:
            assert (await peer.call(stub.GetStatus, mailbox_pb2.GetStatusRequest(), timeout=5)).accounts == 1
        else:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await peer.call(stub.GetStatus, mailbox_pb2.GetStatusRequest(), timeout=5)
            assert error.value.code() is expected
        await peer.close()


async def test_no_identity_no_answer(target: str) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        stub = mailbox_pb2_grpc.AdminServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.GetStatus(mailbox_pb2.GetStatusRequest(), timeout=5)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
