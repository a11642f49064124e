"""SignUpService of the contract."""

from __future__ import annotations

from typing import Any

from petitbleu.accounts.v1 import people_pb2 as pb
from petitbleu.accounts.v1 import people_pb2_grpc
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.people import Child
from petitbleu_accounts.grpc_api.answer import answered
from petitbleu_accounts.grpc_api.authentication import person
from petitbleu_accounts.service.sign_up import Asked, Recovering, SignUp, SignUpFault


def _fault(fault: SignUpFault) -> pb.SignUpFault.ValueType:
    return pb.SignUpFault.ValueType(fault.value)


class SignUpApi(people_pb2_grpc.SignUpServiceServicer):
    """Accounts that people open, and the way back into them."""

    def __init__(self, settings: Settings, sign_up: SignUp, recovering: Recovering) -> None:
        self._settings = settings
        self._sign_up = sign_up
        self._recovering = recovering

    @answered
    async def GetSignUp(self, _request: pb.GetSignUpRequest, _context: Any) -> pb.GetSignUpResponse:
        """Say where accounts may be opened."""
        domains = await self._sign_up.domains()
        return pb.GetSignUpResponse(domains=domains, password_min_length=self._settings.password_min_length)

    @answered
    async def CheckName(self, request: pb.CheckNameRequest, _context: Any) -> pb.CheckNameResponse:
        """Say whether an address may be had."""
        fault = await self._sign_up.judge(request.name, request.domain, request.client_ip)
        return pb.CheckNameResponse(fault=_fault(fault))

    @answered
    async def CreateChallenge(
        self, request: pb.CreateChallengeRequest, _context: Any
    ) -> pb.CreateChallengeResponse:  # fmt: skip
        """Give work to do."""
        text, bits, ends = await self._sign_up.challenge(request.client_ip)
        return pb.CreateChallengeResponse(challenge=text, bits=bits, expires_at=ends)

    @answered
    async def SignUp(self, request: pb.SignUpRequest, _context: Any) -> pb.SignUpResponse:
        """Open an account."""
        asked = Asked(request.name, request.domain, request.display_name, request.password, request.language)
        opened = await self._sign_up.open(asked, request.challenge, request.answer, request.client_ip)
        return pb.SignUpResponse(
            fault=_fault(opened.fault), address=opened.address, recovery_code=opened.code, principal=opened.principal
        )

    @answered
    async def Recover(self, request: pb.RecoverRequest, _context: Any) -> pb.RecoverResponse:
        """Set a password by the recovery code."""
        back = await self._recovering.recover(
            request.address, request.recovery_code, request.password, request.client_ip
        )
        return pb.RecoverResponse(fault=_fault(back.fault), recovery_code=back.code, principal=back.principal)

    @answered
    async def OpenChild(self, request: pb.OpenChildRequest, _context: Any) -> pb.OpenChildResponse:
        """Open a child's account."""
        asked = Asked(request.name, request.domain, request.display_name, "", request.language)
        child = Child(request.birth_year, request.birth_month, request.level)
        opened = await self._sign_up.open_child(person(), asked, child)
        return pb.OpenChildResponse(
            fault=_fault(opened.fault), address=opened.address, code=opened.code, pending=opened.pending
        )
