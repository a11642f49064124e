"""Translation between gRPC and the use cases."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from petitbleu.junior_guard.v1 import junior_guard_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2_grpc
from petitbleu_junior_guard.domain.rules import Item, Verdict
from petitbleu_junior_guard.errors import Fault, GuardError
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


class GuardServicer(junior_guard_pb2_grpc.GuardServiceServicer):
    """Answers delivery and accounts."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def Check(self, request: pb.CheckRequest, context: _Context) -> pb.CheckResponse:
        """Decide on messages for guarded accounts."""
        items = [
            Item(item.account_id, item.accepted_id, item.mail_from, item.header_from, item.authenticated)
            for item in request.items
        ]
        try:
            decisions = await self._guard.check(items)
        except GuardError as error:
            await _refuse(context, error)
        return pb.CheckResponse(
            decisions=[pb.Decision(verdict=_VERDICTS[verdict], token=token) for verdict, token in decisions]
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
            await self._guard.register_child(
                request.account_id, request.tenant_id, request.guardian_account_ids, request.guardian_addresses
            )
        except GuardError as error:
            await _refuse(context, error)
        return pb.RegisterChildResponse()


class AdminServicer(junior_guard_pb2_grpc.AdminServiceServicer):
    """Answers the operator."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def Approve(self, request: pb.ApproveRequest, context: _Context) -> pb.ApproveResponse:
        """Approve a correspondent of a child."""
        try:
            await self._guard.approve(request.account_id, request.address, caller().service)
        except GuardError as error:
            await _refuse(context, error)
        return pb.ApproveResponse()

    async def Decide(self, request: pb.DecideRequest, context: _Context) -> pb.DecideResponse:
        """Release or destroy a held message."""
        try:
            await self._guard.decide(
                request.account_id, request.accepted_id, deliver=request.deliver, actor=caller().service
            )
        except GuardError as error:
            await _refuse(context, error)
        return pb.DecideResponse()
