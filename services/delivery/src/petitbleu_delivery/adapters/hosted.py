"""accounts' word on which domains are hosted here."""

from __future__ import annotations

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu_delivery.adapters.calls import ask
from petitbleu_delivery.errors import Peer
from petitbleu_delivery.ports import Hosting
from petitbleu_kit.rpc import Peer as Channel


class AccountsDomains:
    """Calls accounts.

    Args:
        channel: The channel to accounts.
        call_seconds: Deadline of a call.
    """

    def __init__(self, channel: Channel, call_seconds: float) -> None:
        self._channel = channel
        self._stub = accounts_pb2_grpc.DirectoryServiceStub(channel.channel)
        self._call_seconds = call_seconds

    async def hosting(self, domain: str) -> Hosting | None:
        """Say for whom a domain is hosted here, None when it is not."""
        request = pb.GetDomainsRequest(names=[domain])
        response = await ask(self._channel, Peer.ACCOUNTS, self._stub.GetDomains, request, self._call_seconds)
        for found in response.domains:
            return Hosting(found.name, found.tenant_id)
        return None
