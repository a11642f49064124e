"""accounts' AuthenticationService behind the port `Logins`."""

from __future__ import annotations

import grpc
import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import AccountsAwayError, TooManyTriesError, WrongCredentialError
from petitbleu_kit.rpc import Peer

PROTOCOL = "smtp"


class GrpcLogins:
    """Calls accounts; `seconds` is the deadline of a call, in which a password is hashed."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._stub = accounts_pb2_grpc.AuthenticationServiceStub(peer.channel)
        self._seconds = seconds

    async def by_password(self, login: str, password: str, client: str) -> Submitter:
        """Check a password."""
        credential = accounts_pb2.PasswordCredential(login=login, password=password)
        return await self._ask(
            accounts_pb2.AuthenticateRequest(password=credential, protocol=PROTOCOL, client_ip=client)
        )

    async def by_token(self, token: str, client: str) -> Submitter:
        """Check a bearer session."""
        return await self._ask(accounts_pb2.AuthenticateRequest(bearer=token, protocol=PROTOCOL, client_ip=client))

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        """Ask what a SCRAM exchange begins with."""
        request = accounts_pb2.GetScramSaltRequest(login=login, client_ip=client)
        try:
            answer = await self._peer.call(self._stub.GetScramSalt, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            raise _error(error) from None
        return answer.salt, answer.iterations

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Submitter, bytes]:
        """Check the proof of an app password."""
        credential = accounts_pb2.ScramCredential(login=login, auth_message=message, client_proof=proof)
        answer = await self._authenticate(
            accounts_pb2.AuthenticateRequest(scram=credential, protocol=PROTOCOL, client_ip=client)
        )
        return _submitter(answer.account, answer.standing), answer.server_signature

    async def _ask(self, request: accounts_pb2.AuthenticateRequest) -> Submitter:
        answer = await self._authenticate(request)
        return _submitter(answer.account, answer.standing)

    async def _authenticate(self, request: accounts_pb2.AuthenticateRequest) -> accounts_pb2.AuthenticateResponse:
        try:
            return await self._peer.call(self._stub.Authenticate, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            raise _error(error) from None

    async def standing(self, submitter: Submitter) -> Submitter:
        """Ask whether a login still stands."""
        request = accounts_pb2.CheckStandingRequest(standing=submitter.standing)
        try:
            answer = await self._peer.call(self._stub.CheckStanding, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # an accounts of the version before
                return submitter
            raise _error(error) from None
        return _submitter(answer.account, submitter.standing)


def _error(error: grpc.aio.AioRpcError) -> Exception:
    code = error.code()
    if code in {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
    }:
        return WrongCredentialError()
    return TooManyTriesError() if code is grpc.StatusCode.RESOURCE_EXHAUSTED else AccountsAwayError()


def _submitter(account: accounts_pb2.Account, standing: bytes) -> Submitter:
    addresses = frozenset(one.lower() for one in (account.address, *account.other_addresses))
    return Submitter(account.account_id, account.tenant_id, addresses, standing)
