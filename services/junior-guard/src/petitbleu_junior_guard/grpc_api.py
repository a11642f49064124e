"""Translation between gRPC and the use cases."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from petitbleu.junior_guard.v1 import junior_guard_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2_grpc
from petitbleu_junior_guard.domain.rules import Item, Verdict
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.service.families import Families
from petitbleu_junior_guard.service.guard import Guard
from petitbleu_kit.rpc import OPERATOR, caller

_GUARD: Final = "/petitbleu.junior_guard.v1.GuardService/"
ALLOWED: Final = {
    _GUARD + "Check": frozenset({"delivery", "ingest", "gateway"}),
    _GUARD + "CheckOutgoing": frozenset({"delivery"}),
    _GUARD + "RegisterChild": frozenset({"accounts"}),
    "/petitbleu.junior_guard.v1.AdminService/": frozenset({OPERATOR}),
}

_CODES: Final = {
    Fault.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.BAD_ADDRESS: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.BAD_LEVEL: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.NOT_A_CHILD: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.NOT_HELD: grpc.StatusCode.NOT_FOUND,
    Fault.DECIDED_OTHERWISE: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.STORE_REFUSES: grpc.StatusCode.FAILED_PRECONDITION,
    Fault.DATABASE_AWAY: grpc.StatusCode.UNAVAILABLE,
    Fault.STORE_AWAY: grpc.StatusCode.UNAVAILABLE,
}
_VERDICTS: Final = {Verdict.DELIVER: pb.VERDICT_DELIVER, Verdict.HOLD: pb.VERDICT_HOLD}

_Context = grpc.aio.ServicerContext[Any, Any]


async def _refuse(context: _Context, error: GuardError) -> NoReturn:
    await context.abort(_CODES[error.fault], error.fault.value)
    raise AssertionError("unreachable")


def _guardians(request: pb.RegisterChildRequest) -> dict[int, str]:
    if len(request.guardian_account_ids) != len(request.guardian_addresses):
        raise GuardError(Fault.BAD_REQUEST)
    return dict(zip(request.guardian_account_ids, request.guardian_addresses, strict=True))


class GuardServicer(junior_guard_pb2_grpc.GuardServiceServicer):
    """Answers delivery and accounts."""

    def __init__(self, guard: Guard, families: Families) -> None:
        self._guard = guard
        self._families = families

    async def Check(self, request: pb.CheckRequest, context: _Context) -> pb.CheckResponse:
        """Decide on messages for guarded accounts."""
        items = [
            Item(
                item.account_id,
                item.accepted_id,
                item.mail_from,
                item.header_from,
                item.authenticated,
                item.junk,
                item.dmarc_failed,
                item.size,
            )
            for item in request.items
        ]
        try:
            decisions = await self._guard.check(items)
        except GuardError as error:
            await _refuse(context, error)
        return pb.CheckResponse(
            decisions=[
                pb.Decision(verdict=_VERDICTS[one.verdict], token=one.token, newcomer=one.newcomer) for one in decisions
            ]
        )

    async def CheckOutgoing(self, request: pb.CheckOutgoingRequest, context: _Context) -> pb.CheckOutgoingResponse:
        """Decide on what guarded accounts send."""
        items = [Item(item.account_id, item.accepted_id, "", item.address, True) for item in request.items]
        try:
            verdicts = await self._guard.check_outgoing(items)
        except GuardError as error:
            await _refuse(context, error)
        return pb.CheckOutgoingResponse(verdicts=[_VERDICTS[verdict] for verdict in verdicts])

    async def RegisterChild(self, request: pb.RegisterChildRequest, context: _Context) -> pb.RegisterChildResponse:
        """Register a child and its guardians."""
        try:
            await self._families.register_child(
                request.account_id, request.tenant_id, _guardians(request),
                level=request.level, language=request.language, birth=(request.birth_year, request.birth_month),
            )  # fmt: skip
        except GuardError as error:
            await _refuse(context, error)
        return pb.RegisterChildResponse()


class AdminServicer(junior_guard_pb2_grpc.AdminServiceServicer):
    """Answers the operator."""

    def __init__(self, guard: Guard, families: Families) -> None:
        self._guard = guard
        self._families = families

    async def Approve(self, request: pb.ApproveRequest, context: _Context) -> pb.ApproveResponse:
        """Approve a correspondent of a child."""
        try:
            await self._families.approve(request.account_id, request.address)
        except GuardError as error:
            await _refuse(context, error)
        return pb.ApproveResponse()

    async def SetLevel(self, request: pb.SetLevelRequest, context: _Context) -> pb.SetLevelResponse:
        """Move a child's level."""
        try:
            await self._families.set_level(request.account_id, request.level)
        except GuardError as error:
            await _refuse(context, error)
        return pb.SetLevelResponse()

    async def Decide(self, request: pb.DecideRequest, context: _Context) -> pb.DecideResponse:
        """Release or destroy a held message."""
        try:
            await self._guard.decide(
                request.account_id, request.accepted_id, deliver=request.deliver, actor=caller().service
            )
        except GuardError as error:
            await _refuse(context, error)
        return pb.DecideResponse()
