"""Translation between gRPC and the use cases: who guards."""

from __future__ import annotations

from petitbleu.junior_guard.v1 import guardians_pb2 as pb
from petitbleu.junior_guard.v1 import guardians_pb2_grpc
from petitbleu_junior_guard.domain.changes import Invite, Leave
from petitbleu_junior_guard.grpc_answers import Context, answered
from petitbleu_junior_guard.grpc_family import guardian, milliseconds
from petitbleu_junior_guard.ports import Bell, Invitation
from petitbleu_junior_guard.service.changes import Changes
from petitbleu_junior_guard.service.guardians import Guardianships


def _invitation(one: Invitation, address: str = "") -> pb.GuardianInvitation:
    return pb.GuardianInvitation(
        account_id=one.account_id, invitation_id=one.invitation_id, invited_by=one.invited_by, address=address,
        ends_at_ms=milliseconds(one.ends_at),
    )  # fmt: skip


class GuardiansServicer(guardians_pb2_grpc.GuardiansServiceServicer):
    """Answers guardians, and those who are invited."""

    def __init__(self, guardians: Guardianships, changes: Changes, bell: Bell) -> None:
        self._guardians = guardians
        self._changes = changes
        self._bell = bell

    @answered
    async def InviteGuardian(
        self, request: pb.InviteGuardianRequest, _context: Context
    ) -> pb.InviteGuardianResponse:  # fmt: skip
        """Invite somebody."""
        made = await self._changes.make(request.account_id, guardian(), Invite(request.address))
        self._bell.ring([request.account_id], child=False)
        return pb.InviteGuardianResponse(waits_until_ms=milliseconds(made.waits_until))

    @answered
    async def ListGuardians(
        self, request: pb.ListGuardiansRequest, _context: Context
    ) -> pb.ListGuardiansResponse:  # fmt: skip
        """Give open invitations and agreements."""
        invited, agreed = await self._guardians.of_child(request.account_id, guardian())
        return pb.ListGuardiansResponse(
            invitations=[_invitation(one.invitation, one.address) for one in invited],
            leavings=[pb.GuardianLeaving(guardian_account_id=who, agreed_by=by) for who, by in agreed],
        )

    @answered
    async def WithdrawInvitation(
        self, request: pb.WithdrawInvitationRequest, _context: Context
    ) -> pb.WithdrawInvitationResponse:
        """Take an invitation back."""
        await self._guardians.withdraw(request.account_id, request.invitation_id, guardian())
        self._bell.ring([request.account_id], child=False)
        return pb.WithdrawInvitationResponse()

    @answered
    async def ListMyInvitations(
        self, _request: pb.ListMyInvitationsRequest, _context: Context
    ) -> pb.ListMyInvitationsResponse:
        """Give a person's invitations."""
        return pb.ListMyInvitationsResponse(
            invitations=[_invitation(one) for one in await self._guardians.mine(guardian())]
        )

    @answered
    async def AnswerInvitation(
        self, request: pb.AnswerInvitationRequest, _context: Context
    ) -> pb.AnswerInvitationResponse:
        """Become a guardian, or do not."""
        await self._guardians.answer(request.account_id, request.invitation_id, guardian(), accept=request.accept)
        self._bell.ring([request.account_id], child=True)
        return pb.AnswerInvitationResponse()

    @answered
    async def AgreeToLeaving(
        self, request: pb.AgreeToLeavingRequest, _context: Context
    ) -> pb.AgreeToLeavingResponse:  # fmt: skip
        """Agree that a guardian is one no more."""
        made = await self._changes.make(request.account_id, guardian(), Leave(request.guardian_account_id))
        self._bell.ring([request.account_id], child=True)
        return pb.AgreeToLeavingResponse(done=bool(made.result), waits_until_ms=milliseconds(made.waits_until))

    @answered
    async def ForgetLeaving(
        self, request: pb.ForgetLeavingRequest, _context: Context
    ) -> pb.ForgetLeavingResponse:  # fmt: skip
        """Let a guardian stay."""
        await self._guardians.stay(request.account_id, request.guardian_account_id, guardian())
        self._bell.ring([request.account_id], child=False)
        return pb.ForgetLeavingResponse()
