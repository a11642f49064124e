"""The operator's door to what is said of permits: PermitTermsService, translation only."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import permits_pb2 as pb
from petitbleu.delivery.v1 import permits_pb2_grpc
from petitbleu_delivery.adapters.conduct_rows import ConductRows
from petitbleu_delivery.adapters.permit_terms_rows import PermitTermsRows
from petitbleu_delivery.domain.conduct import Stage
from petitbleu_delivery.domain.permit_terms import Scope, Terms
from petitbleu_kit.rpc import OPERATOR

ALLOWED_PERMIT_TERMS: Final = {"/petitbleu.delivery.v1.PermitTermsService/": frozenset({OPERATOR})}
_STAGES: Final = {
    Stage.FREE: pb.MEASURE_STAGE_LIFTED, Stage.SLOWED: pb.MEASURE_STAGE_SLOWED, Stage.SUSPENDED: pb.MEASURE_STAGE_SUSPENDED,
}  # fmt: skip
_MOST: Final = 10_000
_Context = grpc.aio.ServicerContext[Any, Any]
_Named = pb.GetTermsRequest | pb.SetTermsRequest | pb.SuspendRequest


def _told(scope: Scope, subject_id: int, terms: Terms, changed_at: float = 0.0) -> pb.PermitTerms:
    return pb.PermitTerms(
        scope=pb.TermsScope.ValueType(scope.value), subject_id=subject_id, hour=terms.hour, day=terms.day,
        suspended=terms.suspended, slowed=terms.slowed, changed_ms=int(changed_at * 1000),
    )  # fmt: skip


async def _subject(request: _Named, context: _Context) -> tuple[Scope, int]:
    if request.scope == pb.TERMS_SCOPE_UNSPECIFIED or request.subject_id <= 0:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an account or a tenant is to be named")
    try:
        return Scope(request.scope), request.subject_id
    except ValueError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "neither an account nor a tenant")
    raise AssertionError("abort raises")


class PermitTermsServicer(permits_pb2_grpc.PermitTermsServiceServicer):
    """Answers the operator."""

    def __init__(self, rows: PermitTermsRows, conduct: ConductRows) -> None:
        self._rows = rows
        self._conduct = conduct

    async def GetTerms(self, request: pb.GetTermsRequest, context: _Context) -> pb.GetTermsResponse:
        """Give what is said of somebody."""
        scope, subject_id = await _subject(request, context)
        return pb.GetTermsResponse(terms=_told(scope, subject_id, await self._rows.read(scope, subject_id)))

    async def SetTerms(self, request: pb.SetTermsRequest, context: _Context) -> pb.SetTermsResponse:
        """Set limits."""
        scope, subject_id = await _subject(request, context)
        hour = request.hour if request.HasField("hour") else None
        day = request.day if request.HasField("day") else None
        if (hour or 0) < 0 or (day or 0) < 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a limit is not below 0")
        return pb.SetTermsResponse(
            terms=_told(scope, subject_id, await self._rows.limit(scope, subject_id, hour, day))
        )  # fmt: skip

    async def Suspend(self, request: pb.SuspendRequest, context: _Context) -> pb.SuspendResponse:
        """Let somebody send nothing, or again."""
        scope, subject_id = await _subject(request, context)
        if scope is Scope.ACCOUNT and not request.suspended:
            await self._conduct.forgive(subject_id)
        terms = await self._rows.suspend(scope, subject_id, suspended=request.suspended)
        return pb.SuspendResponse(terms=_told(scope, subject_id, terms))

    async def ListTerms(self, request: pb.ListTermsRequest, _context: _Context) -> pb.ListTermsResponse:
        """Give those of whom something is said."""
        found = await self._rows.list(min(max(request.limit, 0) or 100, _MOST))
        return pb.ListTermsResponse(
            terms=[_told(one.scope, one.subject_id, one.terms, one.changed_at) for one in found]
        )  # fmt: skip

    async def ListMeasures(self, request: pb.ListMeasuresRequest, context: _Context) -> pb.ListMeasuresResponse:
        """Give what was done about an account."""
        if request.account_id <= 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an account is to be named")
        found = await self._conduct.history(request.account_id, min(max(request.limit, 0) or 100, 1000))
        return pb.ListMeasuresResponse(
            measures=[
                pb.Measure(
                    stage=_STAGES[one.stage], signs=one.signs, figures=one.figures, at_ms=int(one.logged_at * 1000)
                )
                for one in found
            ]
        )
