"""Who guards a child, over JMAP: an extension of ours (ADR 34), by what junior-guard answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

from msgspec import Meta

from petitbleu.junior_guard.v1 import guardians_pb2 as pb
from petitbleu_gateway.domain.email_view import date_or_none
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.family import ChildArguments, child_of, row_number, told
from petitbleu_gateway.ports import Identity

_NONE: Final = "no such invitation"


class GuardianInvite(ChildArguments, kw_only=True):
    """Arguments of Guardian/invite."""

    address: Annotated[str, Meta(max_length=320)]


class GuardianOf(ChildArguments, kw_only=True):
    """Arguments of Guardian/agreeToLeaving and /forgetLeaving."""

    guardian_id: str


class InvitationOf(ChildArguments, kw_only=True):
    """Arguments of Guardian/withdraw."""

    id: str


class InvitationAnswer(InvitationOf, kw_only=True):
    """Arguments of GuardianInvitation/answer."""

    accept: bool


class Guardians(Protocol):
    """junior-guard, for who guards. Raises grpc.aio.AioRpcError as it answered."""

    async def invite(self, who: Identity, request: pb.InviteGuardianRequest) -> pb.InviteGuardianResponse:
        """Invite somebody."""

    async def of_child(self, who: Identity, request: pb.ListGuardiansRequest) -> pb.ListGuardiansResponse:
        """Give open invitations and agreements."""

    async def withdraw(self, who: Identity, request: pb.WithdrawInvitationRequest) -> pb.WithdrawInvitationResponse:
        """Take an invitation back."""

    async def mine(self, who: Identity) -> pb.ListMyInvitationsResponse:
        """Give a person's invitations."""

    async def answer(self, who: Identity, request: pb.AnswerInvitationRequest) -> pb.AnswerInvitationResponse:
        """Answer one."""

    async def agree(self, who: Identity, request: pb.AgreeToLeavingRequest) -> pb.AgreeToLeavingResponse:
        """Agree that a guardian is one no more."""

    async def forget(self, who: Identity, request: pb.ForgetLeavingRequest) -> pb.ForgetLeavingResponse:
        """Let a guardian stay."""


class GuardianMethods:
    """The methods.

    Args:
        guardians: junior-guard.
    """

    def __init__(self, guardians: Guardians) -> None:
        self._guardians = guardians

    @told
    async def get(self, context: Context, arguments: ChildArguments) -> dict[str, Any]:
        """Guardian/get: a child's open invitations, and who agrees to whose leaving."""
        found = await self._guardians.of_child(
            context.person, pb.ListGuardiansRequest(account_id=child_of(arguments))
        )  # fmt: skip
        return {
            **_of(arguments),
            "invitations": [{**_invitation(one), "address": one.address} for one in found.invitations],
            "leavings": [
                {
                    "guardianId": ids.account_id_text(one.guardian_account_id),
                    "agreedBy": ids.account_id_text(one.agreed_by),
                }
                for one in found.leavings
            ],
        }

    @told
    async def invite(self, context: Context, arguments: GuardianInvite) -> dict[str, Any]:
        """Guardian/invite: whoever has an address; the answer is the same whether anybody has."""
        request = pb.InviteGuardianRequest(account_id=child_of(arguments), address=arguments.address)
        done = await self._guardians.invite(context.person, request)
        return {**_of(arguments), "waitsUntil": date_or_none(done.waits_until_ms)}

    @told
    async def withdraw(self, context: Context, arguments: InvitationOf) -> dict[str, Any]:
        """Guardian/withdraw: an invitation, whoever made it."""
        request = pb.WithdrawInvitationRequest(
            account_id=child_of(arguments), invitation_id=row_number(arguments.id, _NONE)
        )
        await self._guardians.withdraw(context.person, request)
        return {**_of(arguments), "id": arguments.id}

    @told
    async def agree(self, context: Context, arguments: GuardianOf) -> dict[str, Any]:
        """Guardian/agreeToLeaving: done once the guardian and one other agree."""
        request = pb.AgreeToLeavingRequest(account_id=child_of(arguments), guardian_account_id=_guardian(arguments))
        done = await self._guardians.agree(context.person, request)
        return {**_of(arguments), "isDone": done.done, "waitsUntil": date_or_none(done.waits_until_ms)}

    @told
    async def forget(self, context: Context, arguments: GuardianOf) -> dict[str, Any]:
        """Guardian/forgetLeaving: the guardian stays."""
        request = pb.ForgetLeavingRequest(account_id=child_of(arguments), guardian_account_id=_guardian(arguments))
        await self._guardians.forget(context.person, request)
        return _of(arguments)

    @told
    async def mine(self, context: Context, arguments: AccountArguments) -> dict[str, Any]:
        """GuardianInvitation/get: one's own."""
        found = await self._guardians.mine(context.person)
        return {"accountId": arguments.account_id, "list": [_invitation(one) for one in found.invitations]}

    @told
    async def answer(self, context: Context, arguments: InvitationAnswer) -> dict[str, Any]:
        """GuardianInvitation/answer: become a guardian, or do not."""
        request = pb.AnswerInvitationRequest(
            account_id=child_of(arguments), invitation_id=row_number(arguments.id, _NONE), accept=arguments.accept
        )
        await self._guardians.answer(context.person, request)
        return {**_of(arguments), "id": arguments.id}


def _of(arguments: ChildArguments) -> dict[str, Any]:
    return {"accountId": arguments.account_id, "childId": arguments.child_id}


def _guardian(arguments: GuardianOf) -> int:
    number = ids.account_number(arguments.guardian_id)
    if number is None:
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such child of this person's")
    return number


def _invitation(one: pb.GuardianInvitation) -> dict[str, Any]:
    return {
        "id": str(one.invitation_id),
        "childId": ids.account_id_text(one.account_id),
        "invitedBy": ids.account_id_text(one.invited_by),
        "endsAt": date_or_none(one.ends_at_ms),
    }
