"""`methods.guardians.Guardians` over gRPC."""

from __future__ import annotations

from petitbleu.junior_guard.v1 import guardians_pb2 as pb
from petitbleu.junior_guard.v1 import guardians_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcGuardians:
    """Who guards, as junior-guard answers.

    Args:
        peer: Channel to junior-guard.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = guardians_pb2_grpc.GuardiansServiceStub(peer.channel)

    async def invite(self, who: Identity, request: pb.InviteGuardianRequest) -> pb.InviteGuardianResponse:
        """Invite somebody."""
        return await self._peer.call(self._stub.InviteGuardian, request, timeout=self._seconds, principal=who.principal)

    async def of_child(self, who: Identity, request: pb.ListGuardiansRequest) -> pb.ListGuardiansResponse:
        """Give open invitations and agreements."""
        return await self._peer.call(self._stub.ListGuardians, request, timeout=self._seconds, principal=who.principal)

    async def withdraw(self, who: Identity, request: pb.WithdrawInvitationRequest) -> pb.WithdrawInvitationResponse:
        """Take an invitation back."""
        return await self._peer.call(
            self._stub.WithdrawInvitation, request, timeout=self._seconds, principal=who.principal
        )

    async def mine(self, who: Identity) -> pb.ListMyInvitationsResponse:
        """Give a person's invitations."""
        request = pb.ListMyInvitationsRequest()
        return await self._peer.call(
            self._stub.ListMyInvitations, request, timeout=self._seconds, principal=who.principal
        )

    async def answer(self, who: Identity, request: pb.AnswerInvitationRequest) -> pb.AnswerInvitationResponse:
        """Answer one."""
        return await self._peer.call(
            self._stub.AnswerInvitation, request, timeout=self._seconds, principal=who.principal
        )

    async def agree(self, who: Identity, request: pb.AgreeToLeavingRequest) -> pb.AgreeToLeavingResponse:
        """Agree that a guardian is one no more."""
        return await self._peer.call(self._stub.AgreeToLeaving, request, timeout=self._seconds, principal=who.principal)

    async def forget(self, who: Identity, request: pb.ForgetLeavingRequest) -> pb.ForgetLeavingResponse:
        """Let a guardian stay."""
        return await self._peer.call(self._stub.ForgetLeaving, request, timeout=self._seconds, principal=who.principal)
