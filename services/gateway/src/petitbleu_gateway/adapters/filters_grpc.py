"""`methods.filter_rules.Filters` over gRPC."""

from __future__ import annotations

from petitbleu.delivery.v1 import filters_pb2 as pb
from petitbleu.delivery.v1 import filters_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcFilters:
    """Forms of filter rules as delivery keeps them.

    Args:
        peer: Channel to delivery.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = filters_pb2_grpc.FilterFormServiceStub(peer.channel)

    async def form(self, who: Identity) -> pb.FilterForm:
        """Give a person's form."""
        request = pb.GetFilterFormRequest(account_id=who.account_id)
        call = self._stub.GetFilterForm
        return (await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)).form

    async def set_form(self, who: Identity, request: pb.SetFilterFormRequest) -> pb.SetFilterFormResponse:
        """Replace it."""
        request.account_id = who.account_id
        call = self._stub.SetFilterForm
        return await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)
