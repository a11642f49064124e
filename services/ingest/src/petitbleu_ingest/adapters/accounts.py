"""The directory, by gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_ingest.ports import Place
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer


class GrpcDirectory:
    """`DirectoryService` of accounts; `seconds` is the deadline of a call."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        stub = accounts_pb2_grpc.DirectoryServiceStub(peer.channel)
        self._resolve: Lane[accounts_pb2.ResolveRequest, accounts_pb2.ResolveResponse] = Lane(
            peer, stub.ResolveMany, stub.Resolve
        )
        self._seconds = seconds

    async def resolve(self, addresses: Sequence[str]) -> list[Place]:
        """Say for each address what it is here."""
        request = accounts_pb2.ResolveRequest(addresses=addresses)
        answer = await self._resolve.call(request, timeout=self._seconds)
        return [_place(one) for one in answer.resolutions]


def _place(one: accounts_pb2.Resolution) -> Place:
    targets = one.targets
    if len(targets) == 1:  # as nearly always, and a loop costs as much as all the rest
        return Place(one.status, (targets[0].account_id,), one.domain_id, one.tenant_id)
    return Place(one.status, tuple([target.account_id for target in targets]), one.domain_id, one.tenant_id)
