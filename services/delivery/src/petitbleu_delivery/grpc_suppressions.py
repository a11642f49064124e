"""The operator's door to suppressed addresses: SuppressionService, translation only."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import suppressions_pb2 as pb
from petitbleu.delivery.v1 import suppressions_pb2_grpc
from petitbleu_delivery.adapters.suppression_rows import SuppressionRows
from petitbleu_delivery.service.bounces.suppressions import Suppressions
from petitbleu_kit.rpc import OPERATOR

ALLOWED_SUPPRESSIONS: Final = {"/petitbleu.delivery.v1.SuppressionService/": frozenset({OPERATOR})}
_MOST: Final = 10_000
_Context = grpc.aio.ServicerContext[Any, Any]


class SuppressionServicer(suppressions_pb2_grpc.SuppressionServiceServicer):
    """Answers the operator."""

    def __init__(self, suppressions: Suppressions, rows: SuppressionRows) -> None:
        self._suppressions = suppressions
        self._rows = rows

    async def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: _Context
    ) -> pb.ListSuppressionsResponse:
        """Give an account's."""
        await _somebody(request.account_id, context)
        found = await self._rows.list(request.account_id, min(max(request.limit, 0) or 100, _MOST))
        return pb.ListSuppressionsResponse(
            suppressions=[
                pb.Suppression(
                    address_key=one.key, refusals=one.refusals, status=one.status, until_ms=int(one.until * 1000)
                )
                for one in found
            ]
        )

    async def LiftSuppression(
        self, request: pb.LiftSuppressionRequest, context: _Context
    ) -> pb.LiftSuppressionResponse:
        """Let an account write to an address again."""
        await _somebody(request.account_id, context)
        if not request.address:
            return pb.LiftSuppressionResponse(lifted=await self._rows.lift_all(request.account_id))
        if not await self._suppressions.lift(request.account_id, request.address):
            await context.abort(grpc.StatusCode.NOT_FOUND, "this address is not suppressed for this account")
        return pb.LiftSuppressionResponse(lifted=1)


async def _somebody(account_id: int, context: _Context) -> None:
    if account_id <= 0:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an account is to be named")
