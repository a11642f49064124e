"""`ports.SignUp` over gRPC."""

from __future__ import annotations

from typing import NoReturn

import grpc
import grpc.aio

from petitbleu.accounts.v1 import people_pb2 as pb
from petitbleu.accounts.v1 import people_pb2_grpc
from petitbleu_gateway.ports import AwayError, LimitedError, RefusedError
from petitbleu_kit.rpc import Peer

# A password is hashed, behind those of others.
_HASHING_SECONDS = 15.0


class GrpcSignUp:
    """Sign-up as accounts' SignUpService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = people_pb2_grpc.SignUpServiceStub(peer.channel)

    async def how(self) -> pb.GetSignUpResponse:
        """Ask where accounts may be opened."""
        try:
            return await self._peer.call(self._stub.GetSignUp, pb.GetSignUpRequest(), timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def check_name(self, request: pb.CheckNameRequest) -> pb.CheckNameResponse:
        """Ask whether an address may be had."""
        try:
            return await self._peer.call(self._stub.CheckName, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def challenge(self, client_ip: str) -> pb.CreateChallengeResponse:
        """Ask for work."""
        request = pb.CreateChallengeRequest(client_ip=client_ip)
        try:
            return await self._peer.call(self._stub.CreateChallenge, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def sign_up(self, request: pb.SignUpRequest) -> pb.SignUpResponse:
        """Open an account."""
        try:
            return await self._peer.call(self._stub.SignUp, request, timeout=_HASHING_SECONDS)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def recover(self, request: pb.RecoverRequest) -> pb.RecoverResponse:
        """Come back in by a recovery code."""
        try:
            return await self._peer.call(self._stub.Recover, request, timeout=_HASHING_SECONDS)
        except grpc.aio.AioRpcError as error:
            _raise(error)

    async def open_child(self, principal: str, request: pb.OpenChildRequest) -> pb.OpenChildResponse:
        """Open the account of a person's child."""
        try:
            return await self._peer.call(self._stub.OpenChild, request, timeout=_HASHING_SECONDS, principal=principal)
        except grpc.aio.AioRpcError as error:
            _raise(error)


def _raise(error: grpc.aio.AioRpcError) -> NoReturn:
    if error.code() in {
        grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED,
    }:  # fmt: skip
        raise RefusedError from None
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise LimitedError from None
    raise AwayError from None
