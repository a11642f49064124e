"""store's FilingService behind the port `HeldMail`."""

from __future__ import annotations

import grpc
import grpc.aio

from petitbleu.store.v1 import filing_pb2 as pb
from petitbleu.store.v1 import filing_pb2_grpc
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_kit.rpc import Peer, retryable


class StoreHeldMail:
    """Calls store.

    Args:
        channel: The channel to store.
        seconds: Deadline of a call.
    """

    def __init__(self, channel: Peer, seconds: float) -> None:
        self._channel = channel
        self._stub = filing_pb2_grpc.FilingServiceStub(channel.channel)
        self._seconds = seconds

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        """Have store file or destroy a held message."""
        request = pb.DecideHeldRequest(account_id=account_id, accepted_id=accepted_id, decision_token=token)
        try:
            await self._channel.call(self._stub.DecideHeld, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise GuardError(Fault.NOT_HELD) from None
            raise GuardError(Fault.STORE_AWAY if retryable(error) else Fault.STORE_REFUSES) from None
