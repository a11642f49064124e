"""delivery's PermitService behind the port `Permits`."""

from __future__ import annotations

import grpc
import grpc.aio

from petitbleu.delivery.v1 import permits_pb2, permits_pb2_grpc
from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import PermitsAwayError, SuspendedError
from petitbleu_kit.rpc import Peer


class GrpcPermits:
    """Calls delivery; `seconds` is the deadline of a call."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._stub = permits_pb2_grpc.PermitServiceStub(peer.channel)
        self._seconds = seconds

    async def permit(self, submitter: Submitter, recipients: int) -> int:
        """Ask whether somebody may send to so many; return 0, or the seconds to wait. Raises `PermitsAwayError`, `SuspendedError`."""
        request = permits_pb2.PermitRequest(
            account_id=submitter.account_id, tenant_id=submitter.tenant_id, recipients=recipients
        )
        try:
            answer = await self._peer.call(self._stub.Permit, request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            raise PermitsAwayError from None
        if answer.suspended:
            raise SuspendedError
        return answer.retry_after_seconds
