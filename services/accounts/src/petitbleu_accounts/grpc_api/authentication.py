"""AuthenticationService of the contract."""

from __future__ import annotations

from typing import Any

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_accounts.errors import wrong_credential
from petitbleu_accounts.grpc_api.answer import answered
from petitbleu_accounts.grpc_api.directory import account_message
from petitbleu_accounts.service.authentication import Authentication
from petitbleu_accounts.service.scram import Scram
from petitbleu_kit.identity import Principal
from petitbleu_kit.rpc import caller


def person() -> Principal:
    """Return whom the call is made for."""
    principal = caller().principal
    if principal is None:  # the interceptor asks for one; this is the second lock
        raise wrong_credential()
    return principal


class AuthenticationApi(accounts_pb2_grpc.AuthenticationServiceServicer):
    """Who is it."""

    def __init__(self, authentication: Authentication, scram: Scram) -> None:
        self._authentication = authentication
        self._scram = scram

    @answered
    async def Authenticate(
        self, request: accounts_pb2.AuthenticateRequest, _context: Any
    ) -> accounts_pb2.AuthenticateResponse:
        """Check a credential and return a signed principal."""
        kind = request.WhichOneof("credential")
        if kind == "password":
            given = request.password
            who = await self._authentication.by_password(
                given.login, given.password, request.protocol, request.client_ip
            )
        elif kind == "bearer":
            who = await self._authentication.by_token(request.bearer, request.client_ip)
        elif kind == "scram":
            proof = request.scram
            who = await self._authentication.by_proof(
                proof.login, proof.auth_message, proof.client_proof, request.protocol, request.client_ip
            )
        else:
            raise wrong_credential()
        return accounts_pb2.AuthenticateResponse(
            principal=who.principal, account=account_message(who.account), session_id=who.session_id,
            expires_at=who.expires_at, standing=who.standing, server_signature=who.server_signature,
            renewal=who.renewal,
        )  # fmt: skip

    @answered
    async def GetScramSalt(
        self, request: accounts_pb2.GetScramSaltRequest, _context: Any
    ) -> accounts_pb2.GetScramSaltResponse:
        """Say what an exchange begins with."""
        salt, iterations = await self._scram.salt(request.login, request.client_ip)
        return accounts_pb2.GetScramSaltResponse(salt=salt, iterations=iterations)

    @answered
    async def CheckStanding(
        self, request: accounts_pb2.CheckStandingRequest, _context: Any
    ) -> accounts_pb2.CheckStandingResponse:
        """Say whether a login still stands."""
        if request.renewal:
            who = await self._authentication.renewed(request.standing, request.renewal)
            return accounts_pb2.CheckStandingResponse(
                account=account_message(who.account), principal=who.principal, expires_at=who.expires_at
            )
        account = await self._authentication.standing(request.standing)
        return accounts_pb2.CheckStandingResponse(account=account_message(account))

    @answered
    async def CreateSession(
        self, request: accounts_pb2.CreateSessionRequest, _context: Any
    ) -> accounts_pb2.CreateSessionResponse:
        """Turn a principal into a bearer session."""
        token, session_id, ends = await self._authentication.open_session(
            person(), request.label, request.client_ip, request.device
        )
        return accounts_pb2.CreateSessionResponse(token=token, session_id=session_id, expires_at=ends)

    @answered
    async def RevokeSession(
        self, request: accounts_pb2.RevokeSessionRequest, _context: Any
    ) -> accounts_pb2.RevokeSessionResponse:
        """End a session of the principal."""
        await self._authentication.end_session(person(), request.session_id)
        return accounts_pb2.RevokeSessionResponse()
