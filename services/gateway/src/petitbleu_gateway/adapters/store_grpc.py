"""`ports.MailStore` over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc, uploads_pb2, uploads_pb2_grpc
from petitbleu_gateway.adapters.removed_grpc import GrpcRemovedMail
from petitbleu_gateway.ports import Identity, RemovedMail, Scripts
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer
from petitbleu_kit.telemetry import tracing_on

_MOST_CONVERSATIONS: Final = 32
"""Streams of this process that wait for an answer at once; reads beyond them are calls of their own."""
_SHORT_READ: Final = 256 << 10
"""One piece of the answer; whoever reads it is never slow."""


class GrpcMailStore:
    """Store as its MailboxService answers.

    Short reads go over streams that stay open (ADR 9), each request with the person's principal; all else is a call of its own.
    Uploads are the person's own, whichever account they are for: nobody's else can be named (ADR 19).

    Args:
        peer: Channel to store.
        streams: Another one, on which long reads hold up nobody's calls.
        seconds: Deadline of a call.
        scripts: The person's rules, which delivery keeps.
        read_seconds: Deadline of a whole download.
    """

    def __init__(self, peer: Peer, streams: Peer, seconds: float, scripts: Scripts, read_seconds: float = 3600) -> None:
        self.scripts = scripts
        self.removed: RemovedMail = GrpcRemovedMail(peer, seconds)
        self._peer = peer
        self._streams = streams
        self._seconds = seconds
        self._read_seconds = read_seconds
        self._stub = mailbox_pb2_grpc.MailboxServiceStub(peer.channel)
        self._stream_stub = mailbox_pb2_grpc.MailboxServiceStub(streams.channel)
        self._uploads_stub = uploads_pb2_grpc.UploadServiceStub(peer.channel)
        self._uploads_stream_stub = uploads_pb2_grpc.UploadServiceStub(streams.channel)
        # A trace's parent goes with a call, and a stream outlives many.
        self._conversing = not tracing_on()
        self._lane: Lane[pb.ReadManyRequest, pb.ReadManyResponse] = Lane(
            peer, mailbox_pb2_grpc.ReadingServiceStub(peer.channel).ReadMany, None
        )

    def close(self) -> None:
        """End the streams that are open and idle."""
        self._lane.close()

    async def _read_short(self, who: Identity, name: str, unary: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """Ask `unary`, as a conversation's request `name` when that can be."""
        if not self._conversing or self._lane.busy >= _MOST_CONVERSATIONS:
            return await self._peer.call(unary, request, timeout=self._seconds, principal=who.principal)
        asked = pb.ReadManyRequest(principal=who.principal, **{name: request})
        return getattr(await self._lane.call(asked, timeout=self._seconds), name)

    async def state(self, who: Identity) -> pb.GetStateResponse:
        """Give the account's modseq and quota."""
        request = pb.GetStateRequest(account_id=who.account_id)
        answer: pb.GetStateResponse = await self._read_short(who, "state", self._stub.GetState, request)
        return answer

    async def mailboxes(self, who: Identity) -> pb.ListMailboxesResponse:
        """Give all mailboxes."""
        request = pb.ListMailboxesRequest(account_id=who.account_id)
        answer: pb.ListMailboxesResponse = await self._read_short(who, "mailboxes", self._stub.ListMailboxes, request)
        return answer

    async def query(self, who: Identity, request: pb.QueryMessagesRequest) -> pb.QueryMessagesResponse:
        """Find messages."""
        request.account_id = who.account_id
        answer: pb.QueryMessagesResponse = await self._read_short(who, "query", self._stub.QueryMessages, request)
        return answer

    async def query_changes(
        self, who: Identity, request: pb.QueryMessageChangesRequest
    ) -> pb.QueryMessageChangesResponse:
        """Tell what became of a query's list."""
        request.account_id = who.account_id
        answer: pb.QueryMessageChangesResponse = await self._read_short(
            who, "query_changes", self._stub.QueryMessageChanges, request
        )
        return answer

    async def snippets(self, who: Identity, request: pb.GetSnippetsRequest) -> pb.GetSnippetsResponse:
        """Show what a filter finds in messages; each is opened and read."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.GetSnippets, request, timeout=self._seconds * 2, principal=who.principal
        )

    async def messages(
        self, who: Identity, message_ids: Sequence[int], *, without_meta: bool = False
    ) -> pb.GetMessagesResponse:
        """Give rows of at most 1,000 messages."""
        request = pb.GetMessagesRequest(account_id=who.account_id, message_ids=message_ids, without_meta=without_meta)
        answer: pb.GetMessagesResponse = await self._read_short(who, "messages", self._stub.GetMessages, request)
        return answer

    async def threads(self, who: Identity, thread_ids: Sequence[int]) -> pb.GetThreadsResponse:
        """Give threads."""
        request = pb.GetThreadsRequest(account_id=who.account_id, thread_ids=thread_ids)
        answer: pb.GetThreadsResponse = await self._read_short(who, "threads", self._stub.GetThreads, request)
        return answer

    async def changes(self, who: Identity, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
        """Give what changed."""
        request.account_id = who.account_id
        answer: pb.GetChangesResponse = await self._read_short(who, "changes", self._stub.GetChanges, request)
        return answer

    async def update(self, who: Identity, request: pb.UpdateMessagesRequest) -> pb.UpdateMessagesResponse:
        """Change messages in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.UpdateMessages, request, timeout=self._seconds, principal=who.principal)

    async def update_mailboxes(self, who: Identity, request: pb.UpdateMailboxesRequest) -> pb.UpdateMailboxesResponse:
        """Change mailboxes in one commit; all the messages of one may go with it, so it may take its time."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.UpdateMailboxes, request, timeout=self._seconds * 8, principal=who.principal
        )

    async def import_message(self, who: Identity, request: pb.ImportMessageRequest) -> pb.ImportMessageResponse:
        """Store a message that the person made."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.ImportMessage, request, timeout=self._seconds * 4, principal=who.principal
        )

    async def upload(self, who: Identity, pieces: AsyncIterator[bytes]) -> uploads_pb2.StoredUpload:
        """Keep an upload; nothing is kept when the pieces end with an error, which is raised."""
        failure: list[BaseException] = []

        async def parts() -> AsyncIterator[uploads_pb2.UploadRequest]:
            octets = 0
            yield uploads_pb2.UploadRequest(header=uploads_pb2.UploadHeader(account_id=who.person_id))
            try:
                async for piece in pieces:
                    octets += len(piece)
                    for at in range(0, len(piece), _SHORT_READ):
                        yield uploads_pb2.UploadRequest(data=piece[at : at + _SHORT_READ])
            except BaseException as error:
                failure.append(error)  # the stream ends without an end, and store keeps nothing
                raise
            yield uploads_pb2.UploadRequest(end=uploads_pb2.UploadEnd(octets=octets))

        call = self._uploads_stream_stub.Upload(
            parts(), timeout=self._read_seconds, metadata=self._peer.metadata(who.principal)
        )
        try:
            answer: uploads_pb2.UploadResponse = await call
        except BaseException:
            call.cancel()
            if failure:
                raise failure[0] from None
            raise
        return answer.upload

    async def uploads(self, who: Identity, upload_ids: Sequence[int]) -> Sequence[uploads_pb2.StoredUpload]:
        """Give those of at most 1,000 uploads that are there."""
        request = uploads_pb2.GetUploadsRequest(account_id=who.person_id, upload_ids=upload_ids)
        answer = await self._peer.call(
            self._uploads_stub.GetUploads, request, timeout=self._seconds, principal=who.principal
        )
        return answer.uploads

    async def read_upload(self, who: Identity, upload_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Stream octets of an upload; `length` 0 means to its end."""
        request = uploads_pb2.ReadUploadRequest(
            account_id=who.person_id, upload_id=upload_id, offset=offset, length=length
        )
        short = 0 < length <= _SHORT_READ
        call = (self._uploads_stub if short else self._uploads_stream_stub).ReadUpload(
            request, timeout=self._read_seconds, metadata=self._peer.metadata(who.principal)
        )
        try:
            async for piece in call:
                yield piece.data
        finally:
            call.cancel()

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
