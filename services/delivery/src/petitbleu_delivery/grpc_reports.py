"""ingest's door to the reports of the day: DmarcReportService."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu.delivery.v1 import reports_pb2_grpc
from petitbleu_delivery.service.domains.dmarc_reports import DmarcReports

REPORTS_ALLOWED: Final = {"/petitbleu.delivery.v1.DmarcReportService/": frozenset({"ingest"})}
_MAX_COUNTS: Final = 2_000


class DmarcReportServicer(reports_pb2_grpc.DmarcReportServiceServicer):
    """Takes what ingest counted."""

    def __init__(self, reports: DmarcReports) -> None:
        self._reports = reports

    async def RecordEvaluations(
        self, request: pb.RecordEvaluationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordEvaluationsResponse:
        """Add counts."""
        if len(request.counts) > _MAX_COUNTS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"at most {_MAX_COUNTS:,} counts a call")
        await self._reports.record(request.counts)
        return pb.RecordEvaluationsResponse()
