"""`ports.MailStore` over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer

_SHORT_READ: Final = 256 << 10
"""One piece of the answer; whoever reads it is never slow."""


class GrpcMailStore:
    """Store as its MailboxService answers.

    Args:
        peer: Channel to store.
        streams: Another one, on which long reads hold up nobody's calls.
        seconds: Deadline of a call.
        read_seconds: Deadline of a whole download.
    """

    def __init__(self, peer: Peer, streams: Peer, seconds: float, read_seconds: float = 3600) -> None:
        self._peer = peer
        self._streams = streams
        self._seconds = seconds
        self._read_seconds = read_seconds
        self._stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
        self._stream_stub = mailbox_pb2_grpc.MailboxServiceStub(streams.channel)

    async def state(self, who: Identity) -> pb.GetStateResponse:
        """Give the account's modseq and quota."""
        request = pb.GetStateRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.GetState, request, timeout=self._seconds, principal=who.principal)

    async def mailboxes(self, who: Identity) -> pb.ListMailboxesResponse:
        """Give all mailboxes."""
        request = pb.ListMailboxesRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.ListMailboxes, request, timeout=self._seconds, principal=who.principal)

    async def query(self, who: Identity, request: pb.QueryMessagesRequest) -> pb.QueryMessagesResponse:
        """Find messages."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.QueryMessages, request, timeout=self._seconds, principal=who.principal)

    async def messages(
        self, who: Identity, message_ids: Sequence[int], *, without_meta: bool = False
    ) -> pb.GetMessagesResponse:
        """Give rows of at most 1,000 messages."""
        request = pb.GetMessagesRequest(account_id=who.account_id, message_ids=message_ids, without_meta=without_meta)
        return await self._peer.call(self._stub.GetMessages, request, timeout=self._seconds, principal=who.principal)

    async def threads(self, who: Identity, thread_ids: Sequence[int]) -> pb.GetThreadsResponse:
        """Give threads."""
        request = pb.GetThreadsRequest(account_id=who.account_id, thread_ids=thread_ids)
        return await self._peer.call(self._stub.GetThreads, request, timeout=self._seconds, principal=who.principal)

    async def changes(self, who: Identity, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
        """Give what changed."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.GetChanges, request, timeout=self._seconds, principal=who.principal)

    async def update(self, who: Identity, request: pb.UpdateMessagesRequest) -> pb.UpdateMessagesResponse:
        """Change messages in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.UpdateMessages, request, timeout=self._seconds, principal=who.principal)

    async def import_message(self, who: Identity, request: pb.ImportMessageRequest) -> pb.ImportMessageResponse:
        """Store a message that the person made."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.ImportMessage, request, timeout=self._seconds * 4, principal=who.principal
        )

    async def read(self, who: Identity, message_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Stream octets of a message as served; `length` 0 means to its end."""
        request = pb.ReadBlobRequest(account_id=who.account_id, message_id=message_id, offset=offset, length=length)
        short = 0 < length <= _SHORT_READ
        call = (self._stub if short else self._stream_stub).ReadBlob(
            request, timeout=self._read_seconds, metadata=self._peer.metadata(who.principal)
        )
        try:
            async for piece in call:
                yield piece.data
        finally:
            call.cancel()  # a reader that left must not keep store sending
