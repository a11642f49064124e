"""`methods.listed_sender.Senders` over gRPC."""

from __future__ import annotations

from petitbleu.delivery.v1 import senders_pb2 as pb
from petitbleu.delivery.v1 import senders_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcSenders:
    """Lists of senders as delivery keeps them.

    Args:
        peer: Channel to delivery.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = senders_pb2_grpc.SenderListServiceStub(peer.channel)

    async def listed(self, who: Identity) -> pb.ListSendersResponse:
        """Give a person's list."""
        request = pb.ListSendersRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.ListSenders, request, timeout=self._seconds, principal=who.principal)

    async def say(self, who: Identity, sender: str, listing: pb.SenderListing.ValueType) -> pb.SetSenderResponse:
        """List a sender, or forget it."""
        request = pb.SetSenderRequest(account_id=who.account_id, sender=sender, listing=listing)
        return await self._peer.call(self._stub.SetSender, request, timeout=self._seconds, principal=who.principal)
