"""MailboxService: translation only. Every call is a person's, who reaches their own account and what others share with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.grpc_api.reads import Reads
from petitbleu_store.service.mailbox_cases import MailboxCases


class MailboxServicer(mailbox_pb2_grpc.MailboxServiceServicer):
    """One account's mail."""

    def __init__(self, cases: MailboxCases) -> None:
        self._cases = cases
        self._reads = Reads(cases)
        self._reach = self._reads.reach

    @answered
    async def GetState(self, request: mailbox_pb2.GetStateRequest, _context: Context) -> mailbox_pb2.GetStateResponse:
        """Give modseq and quota."""
        return await self._reads.state(request)

    @answered
    async def ListMailboxes(
        self, request: mailbox_pb2.ListMailboxesRequest, _context: Context
    ) -> mailbox_pb2.ListMailboxesResponse:
        """Give all mailboxes."""
        return await self._reads.mailboxes(request)

    @answered
    async def QueryMessages(
        self, request: mailbox_pb2.QueryMessagesRequest, _context: Context
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Find messages."""
        return await self._reads.query(request)

    @answered
    async def QueryMessageChanges(
        self, request: mailbox_pb2.QueryMessageChangesRequest, _context: Context
    ) -> mailbox_pb2.QueryMessageChangesResponse:
        """Tell what became of a list."""
        return await self._reads.query_changes(request)

    @answered
    async def GetSnippets(
        self, request: mailbox_pb2.GetSnippetsRequest, _context: Context
    ) -> mailbox_pb2.GetSnippetsResponse:
        """Show what is found in messages."""
        return await self._cases.snippets.get(await self._reach(request.account_id), request)

    @answered
    async def GetMessages(
        self, request: mailbox_pb2.GetMessagesRequest, _context: Context
    ) -> mailbox_pb2.GetMessagesResponse:
        """Give rows of messages."""
        return await self._reads.messages(request)

    @answered
    async def GetThreads(
        self, request: mailbox_pb2.GetThreadsRequest, _context: Context
    ) -> mailbox_pb2.GetThreadsResponse:
        """Give threads."""
        return await self._reads.threads(request)

    @answered
    async def GetChanges(
        self, request: mailbox_pb2.GetChangesRequest, _context: Context
    ) -> mailbox_pb2.GetChangesResponse:
        """Give what changed."""
        return await self._reads.changes(request)

    @answered
    async def UpdateMessages(
        self, request: mailbox_pb2.UpdateMessagesRequest, _context: Context
    ) -> mailbox_pb2.UpdateMessagesResponse:
        """Change messages."""
        return await self._cases.updates.update(await self._reach(request.account_id), request)

    @answered
    async def ImportMessage(
        self, request: mailbox_pb2.ImportMessageRequest, _context: Context
    ) -> mailbox_pb2.ImportMessageResponse:
        """Store what the account made itself."""
        return await self._cases.imports.add(await self._reach(request.account_id), request)

    @answered
    async def UpdateMailboxes(
        self, request: mailbox_pb2.UpdateMailboxesRequest, _context: Context
    ) -> mailbox_pb2.UpdateMailboxesResponse:
        """Change mailboxes."""
        return await self._cases.mailboxes.update(await self._reach(request.account_id), request)

    @streamed
    async def ReadBlob(
        self, request: mailbox_pb2.ReadBlobRequest, _context: Context
    ) -> AsyncIterator[mailbox_pb2.ReadBlobResponse]:
        """Stream a message as served."""
        account = await self._reach(request.account_id)
        async for piece in self._cases.blobs.read(account, request.message_id, request.offset, request.length):
            yield mailbox_pb2.ReadBlobResponse(data=piece)
