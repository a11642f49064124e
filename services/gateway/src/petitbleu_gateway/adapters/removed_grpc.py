"""`ports.RemovedMail` over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu.store.v1 import removed_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer

_LONG: Final = 8
"""All the messages of a mailbox may come back with it: such a call may take this many times as long."""


class GrpcRemovedMail:
    """Store as its RemovedService answers.

    Args:
        peer: Channel to store.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = removed_pb2_grpc.RemovedServiceStub(peer.channel)

    async def query(self, who: Identity, request: pb.QueryRemovedRequest) -> pb.QueryRemovedResponse:
        """Find deleted messages."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.QueryRemoved, request, timeout=self._seconds, principal=who.principal)

    async def messages(self, who: Identity, message_ids: Sequence[int]) -> pb.GetRemovedResponse:
        """Give at most 1,000 deleted messages."""
        request = pb.GetRemovedRequest(account_id=who.account_id, message_ids=message_ids)
        return await self._peer.call(self._stub.GetRemoved, request, timeout=self._seconds, principal=who.principal)

    async def mailboxes(self, who: Identity) -> pb.ListRemovedMailboxesResponse:
        """Give all deleted mailboxes."""
        request = pb.ListRemovedMailboxesRequest(account_id=who.account_id)
        return await self._peer.call(
            self._stub.ListRemovedMailboxes, request, timeout=self._seconds, principal=who.principal
        )

    async def restore(self, who: Identity, request: pb.RestoreMessagesRequest) -> pb.RestoreMessagesResponse:
        """Bring messages back in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.RestoreMessages, request, timeout=self._seconds, principal=who.principal
        )

    async def restore_mailboxes(
        self, who: Identity, request: pb.RestoreMailboxesRequest
    ) -> pb.RestoreMailboxesResponse:
        """Bring mailboxes and what was in them back in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.RestoreMailboxes, request, timeout=self._seconds * _LONG, principal=who.principal
        )

    async def purge(self, who: Identity, request: pb.PurgeRemovedRequest) -> pb.PurgeRemovedResponse:
        """Delete for ever."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.PurgeRemoved, request, timeout=self._seconds, principal=who.principal)
