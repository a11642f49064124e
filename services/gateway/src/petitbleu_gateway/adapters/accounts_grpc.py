"""`ports.Accounts` over gRPC."""

from __future__ import annotations

from typing import Final, NoReturn

import grpc

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu_gateway.ports import AwayError, Credential, Identity, LimitedError, NewSession, Proven, RefusedError
from petitbleu_kit.rpc import Peer

_PROTOCOL: Final = "jmap"


class GrpcAccounts:
    """Accounts as its AuthenticationService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = accounts_pb2_grpc.AuthenticationServiceStub(peer.channel)

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        """Check a credential."""
        request = pb.AuthenticateRequest(protocol=_PROTOCOL, client_ip=client_ip)
        if credential.bearer:
            request.bearer = credential.secret
        else:
            request.password.login = credential.login
            request.password.password = credential.secret
        try:
            found = await self._peer.call(self._stub.Authenticate, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        return _identity(found)

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        """Ask what a SCRAM exchange begins with."""
        request = pb.GetScramSaltRequest(login=login, client_ip=client)
        try:
            found = await self._peer.call(self._stub.GetScramSalt, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        return found.salt, found.iterations

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Proven, bytes]:
        """Check the proof of an app password."""
        credential = pb.ScramCredential(login=login, auth_message=message, client_proof=proof)
        request = pb.AuthenticateRequest(scram=credential, protocol=_PROTOCOL, client_ip=client)
        try:
            found = await self._peer.call(self._stub.Authenticate, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        return Proven(_identity(found), found.standing, found.renewal), found.server_signature

    async def renewed(self, proven: Proven) -> Identity:
        """Ask for a new principal."""
        request = pb.CheckStandingRequest(standing=proven.standing, renewal=proven.renewal)
        try:
            found = await self._peer.call(self._stub.CheckStanding, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        if not found.principal:  # an accounts of the version before
            raise AwayError
        return _identity(found)

    async def create_session(self, principal: str, label: str, client_ip: str, device: bytes = b"") -> NewSession:
        """Make a bearer session for a person."""
        request = pb.CreateSessionRequest(label=label, client_ip=client_ip, device=device)
        try:
            made = await self._peer.call(self._stub.CreateSession, request, timeout=self._seconds, principal=principal)
        except grpc.aio.AioRpcError as error:
            _raise(error)
        return NewSession(made.token, made.session_id, made.expires_at)

    async def revoke_session(self, principal: str, session_id: int) -> None:
        """End a bearer session of a person."""
        request = pb.RevokeSessionRequest(session_id=session_id)
        try:
            await self._peer.call(self._stub.RevokeSession, request, timeout=self._seconds, principal=principal)
        except grpc.aio.AioRpcError as error:
            _raise(error)


def _identity(found: pb.AuthenticateResponse | pb.CheckStandingResponse) -> Identity:
    account = found.account
    session_id = found.session_id if isinstance(found, pb.AuthenticateResponse) else 0
    return Identity(
        account.account_id, account.tenant_id, account.address, account.display_name, tuple(account.roles),
        session_id, found.principal, found.expires_at,
    )  # fmt: skip


def _raise(error: grpc.aio.AioRpcError) -> NoReturn:
    if error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}:
        raise RefusedError from None
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise LimitedError from None
    raise AwayError from None
