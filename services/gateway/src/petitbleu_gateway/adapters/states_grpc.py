"""`service.push.States` over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_kit.rpc import Peer


class GrpcStates:
    """How far accounts are, as store's ReadingService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = mailbox_pb2_grpc.ReadingServiceStub(peer.channel)

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        """Give how far accounts are, at most 1,000; those that do not exist are left out."""
        request = pb.GetStatesRequest(account_ids=account_ids)
        answer = await self._peer.call(self._stub.GetStates, request, timeout=self._seconds)
        return {found.account_id: AccountState(found.modseq, found.last_id) for found in answer.states}
