"""`ports.Policies` over gRPC."""

from __future__ import annotations

import grpc

from petitbleu.delivery.v1 import domains_pb2 as pb
from petitbleu.delivery.v1 import domains_pb2_grpc
from petitbleu_gateway.ports import AwayError
from petitbleu_kit.rpc import Peer


class GrpcPolicies:
    """Policies as delivery's StsPolicyService answers.

    Args:
        peer: Channel to delivery.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = domains_pb2_grpc.StsPolicyServiceStub(peer.channel)

    async def sts_policy(self, domain: str) -> str | None:
        """Give the text of a domain's policy, None when it has none or is not hosted here."""
        request = pb.GetStsPolicyRequest(domain=domain)
        try:
            answer = await self._peer.call(self._stub.GetStsPolicy, request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                return None
            raise AwayError from None
        return answer.policy.text
