"""delivery's DmarcReportService."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.delivery.v1 import reports_pb2 as pb
from petitbleu.delivery.v1 import reports_pb2_grpc
from petitbleu_kit.rpc import Peer


class GrpcReports:
    """Calls delivery.

    Args:
        peer: The channel.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._stub = reports_pb2_grpc.DmarcReportServiceStub(peer.channel)
        self._seconds = seconds

    async def record(self, counts: Sequence[pb.DmarcCount]) -> None:
        """Hand counts over."""
        request = pb.RecordEvaluationsRequest(counts=counts)
        await self._peer.call(self._stub.RecordEvaluations, request, timeout=self._seconds)
