"""Translation between gRPC and the use cases: the doors of services and of the operator."""

from __future__ import annotations

from typing import Final

from petitbleu.junior_guard.v1 import junior_guard_pb2 as pb
from petitbleu.junior_guard.v1 import junior_guard_pb2_grpc
from petitbleu_junior_guard.domain.rules import Item, Verdict
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.grpc_answers import Context, answered
from petitbleu_junior_guard.service.families import Families
from petitbleu_junior_guard.service.guard import Guard
from petitbleu_kit.rpc import OPERATOR, caller

_GUARD: Final = "/petitbleu.junior_guard.v1.GuardService/"
_PERSONS: Final = (
    "/petitbleu.junior_guard.v1.FamilyService/",
    "/petitbleu.junior_guard.v1.ChildService/",
    "/petitbleu.junior_guard.v1.GuardiansService/",
)
_SCHOOLS: Final = "/petitbleu.junior_guard.v1.SchoolService/"
ALLOWED: Final = {
    _GUARD + "Check": frozenset({"delivery", "ingest", "gateway"}),
    _GUARD + "CheckOutgoing": frozenset({"delivery"}),
    _GUARD + "RegisterChild": frozenset({"accounts"}),
    "/petitbleu.junior_guard.v1.AdminService/": frozenset({OPERATOR}),
    **dict.fromkeys(_PERSONS, frozenset({"gateway"})),
    _SCHOOLS: frozenset({OPERATOR, "gateway"}),
    _SCHOOLS + "ListClassesOfChild": frozenset({"gateway"}),
}
PERSON_METHODS: Final = frozenset({*_PERSONS, _SCHOOLS + "ListClassesOfChild"})
_VERDICTS: Final = {
    Verdict.DELIVER: pb.VERDICT_DELIVER,
    Verdict.HOLD: pb.VERDICT_HOLD,
    Verdict.DESTROY: pb.VERDICT_DROP,
}


class GuardServicer(junior_guard_pb2_grpc.GuardServiceServicer):
    """Answers delivery and accounts."""

    def __init__(self, guard: Guard, families: Families) -> None:
        self._guard = guard
        self._families = families

    @answered
    async def Check(self, request: pb.CheckRequest, _context: Context) -> pb.CheckResponse:
        """Decide on messages for guarded accounts."""
        items = [
            Item(
                item.account_id, item.accepted_id, item.mail_from, item.header_from, item.authenticated,
                item.junk, item.dmarc_failed, item.size, item.local,
            )
            for item in request.items
        ]  # fmt: skip
        return pb.CheckResponse(
            decisions=[
                pb.Decision(verdict=_VERDICTS[one.verdict], token=one.token, newcomer=one.newcomer)
                for one in await self._guard.check(items)
            ]
        )

    @answered
    async def CheckOutgoing(self, request: pb.CheckOutgoingRequest, _context: Context) -> pb.CheckOutgoingResponse:
        """Decide on what guarded accounts send."""
        items = [Item(item.account_id, item.accepted_id, "", item.address, True) for item in request.items]
        verdicts = await self._guard.check_outgoing(items)
        return pb.CheckOutgoingResponse(verdicts=[_VERDICTS[verdict] for verdict in verdicts])

    @answered
    async def RegisterChild(self, request: pb.RegisterChildRequest, _context: Context) -> pb.RegisterChildResponse:
        """Register a child and its guardians."""
        if len(request.guardian_account_ids) != len(request.guardian_addresses):
            raise GuardError(Fault.BAD_REQUEST)
        guardians = dict(zip(request.guardian_account_ids, request.guardian_addresses, strict=True))
        await self._families.register_child(
            request.account_id, request.tenant_id, guardians, level=request.level, language=request.language,
            birth=(request.birth_year, request.birth_month),
        )  # fmt: skip
        return pb.RegisterChildResponse()


class AdminServicer(junior_guard_pb2_grpc.AdminServiceServicer):
    """Answers the operator."""

    def __init__(self, guard: Guard, families: Families) -> None:
        self._guard = guard
        self._families = families

    @answered
    async def Approve(self, request: pb.ApproveRequest, _context: Context) -> pb.ApproveResponse:
        """Approve a correspondent of a child."""
        await self._families.approve(request.account_id, request.address)
        return pb.ApproveResponse()

    @answered
    async def SetLevel(self, request: pb.SetLevelRequest, _context: Context) -> pb.SetLevelResponse:
        """Move a child's level."""
        await self._families.set_level(request.account_id, request.level)
        return pb.SetLevelResponse()

    @answered
    async def Decide(self, request: pb.DecideRequest, _context: Context) -> pb.DecideResponse:
        """Release or destroy a held message."""
        await self._guard.decide(
            request.account_id, request.accepted_id, deliver=request.deliver, actor=caller().service
        )
        return pb.DecideResponse()
