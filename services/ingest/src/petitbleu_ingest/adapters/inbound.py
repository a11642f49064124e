"""delivery's InboundService: what tenants want done with mail, and what is known of those who send it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.delivery.v1 import inbound_pb2 as pb
from petitbleu.delivery.v1 import inbound_pb2_grpc
from petitbleu_ingest.judging.findings import Measure
from petitbleu_ingest.judging.treatment import TenantWishes
from petitbleu_kit.rpc import Peer

_MEASURES: Final = {
    pb.INBOUND_MEASURE_NONE: Measure.NONE,
    pb.INBOUND_MEASURE_JUNK: Measure.JUNK,
    pb.INBOUND_MEASURE_REFUSE: Measure.REFUSE,
}


class GrpcInbound:
    """Calls delivery; `seconds` is the deadline of a call."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._stub = inbound_pb2_grpc.InboundServiceStub(peer.channel)
        self._seconds = seconds

    async def wishes(self, tenant_ids: Sequence[int]) -> dict[int, TenantWishes]:
        """Return what is said of tenants; those of which nothing is are left out. Raises whatever the call does."""
        request = pb.ReadInboundPoliciesRequest(tenant_ids=tenant_ids)
        answer = await self._peer.call(self._stub.ReadInboundPolicies, request, timeout=self._seconds)
        return {one.tenant_id: wishes_of(one) for one in answer.policies}

    async def reputations(self, domains: Sequence[str]) -> dict[str, int]:
        """Return what speaks against sending domains, in hundredths of points; those of which nothing is known are left out."""
        request = pb.ReadReputationsRequest(domains=domains)
        answer = await self._peer.call(self._stub.ReadReputations, request, timeout=self._seconds)
        return {one.domain: one.points for one in answer.reputations}

    async def return_paths(self, addresses: Sequence[str]) -> frozenset[str]:
        """Return those of rewritten senders that lead back to somebody. Raises whatever the call does."""
        request = pb.CheckReturnPathsRequest(addresses=addresses)
        answer = await self._peer.call(self._stub.CheckReturnPaths, request, timeout=self._seconds)
        return frozenset(answer.addresses)


def wishes_of(said: pb.InboundPolicy) -> TenantWishes:
    """Return a policy as it is used; a measure of a later version is as if it was not said."""
    return TenantWishes(
        _MEASURES.get(said.reject), _MEASURES.get(said.quarantine), _MEASURES.get(said.listed), _MEASURES.get(said.spam),
        said.junk_points if said.HasField("junk_points") else None,
        said.refuse_points if said.HasField("refuse_points") else None,
    )  # fmt: skip
