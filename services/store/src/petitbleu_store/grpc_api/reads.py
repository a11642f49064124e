"""The short reads of one account, as calls of MailboxService or in a conversation: every one is a person's, of their own account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_kit.rpc import caller, speak_for, while_allowed
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.mailbox_cases import MailboxCases

MAX_WITH_QUERY: Final = 100
"""Messages whose rows come with a query's ids."""


class Reads:
    """From a request to its answer, for whoever `caller()` is."""

    def __init__(self, cases: MailboxCases) -> None:
        self._cases = cases
        # Each by its name in a conversation.
        self._answers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "mailboxes": self.mailboxes, "query": self.query, "messages": self.messages, "threads": self.threads,
            "changes": self.changes, "state": self.state, "query_changes": self.query_changes,
        }  # fmt: skip

    async def account(self, account_id: int) -> KnownAccount:
        """Return the account, when it is the principal's.

        Raises:
            StoreError: FORBIDDEN for another's account, or a principal of another tenant; NOT_FOUND.
        """
        principal = caller().principal
        if principal is None or principal.account_id != account_id:
            raise StoreError(Problem.FORBIDDEN)
        account = await self._cases.account(account_id)
        if account.tenant_id != principal.tenant_id:
            raise StoreError(Problem.FORBIDDEN)
        return account

    async def reach(self, account_id: int) -> KnownAccount:
        """Return the account, as its owner has it or as another sees it. It is for calls that keep to `KnownAccount.view`.

        Raises:
            StoreError: FORBIDDEN for an account that is neither the principal's nor shared with it; NOT_FOUND.
        """
        principal = caller().principal
        if principal is None or principal.account_id == account_id:
            return await self.account(account_id)
        return await self._cases.views.of(account_id, principal.account_id, principal.tenant_id)

    async def state(self, request: pb.GetStateRequest) -> pb.GetStateResponse:
        """Give modseq and quota."""
        return await self._cases.reading.state(await self.reach(request.account_id))

    async def mailboxes(self, request: pb.ListMailboxesRequest) -> pb.ListMailboxesResponse:
        """Give all mailboxes."""
        return await self._cases.reading.mailboxes(await self.reach(request.account_id))

    async def query(self, request: pb.QueryMessagesRequest) -> pb.QueryMessagesResponse:
        """Find messages, and read them when that is asked for too."""
        account = await self.reach(request.account_id)
        answer = await self._cases.queries.query(account, request)
        if request.with_messages and 0 < len(answer.message_ids) <= MAX_WITH_QUERY:
            rows = await self._cases.reading.messages(account, answer.message_ids, without_meta=False)
            answer.rows.CopyFrom(rows)
        return answer

    async def query_changes(self, request: pb.QueryMessageChangesRequest) -> pb.QueryMessageChangesResponse:
        """Tell what became of a query's list."""
        return await self._cases.queries.changes(await self.reach(request.account_id), request)

    async def messages(self, request: pb.GetMessagesRequest) -> pb.GetMessagesResponse:
        """Give rows of messages."""
        account = await self.reach(request.account_id)
        return await self._cases.reading.messages(account, request.message_ids, without_meta=request.without_meta)

    async def threads(self, request: pb.GetThreadsRequest) -> pb.GetThreadsResponse:
        """Give threads."""
        return await self._cases.reading.threads(await self.reach(request.account_id), request.thread_ids)

    async def changes(self, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
        """Give what changed."""
        return await self._cases.changes.get(await self.reach(request.account_id), request)

    async def states(self, request: pb.GetStatesRequest) -> pb.GetStatesResponse:
        """Give how far accounts are, to whoever pushes changes: nobody's mail, so for nobody's principal."""
        return await self._cases.reading.states(request.account_ids)

    async def answer(self, request: pb.ReadManyRequest) -> pb.ReadManyResponse:
        """Answer one request of a conversation.

        Raises:
            StoreError: INVALID when nothing is asked; otherwise as the read that is asked for.
        """
        ask = request.WhichOneof("ask")
        answer = self._answers.get(ask) if ask is not None else None
        if ask is None or answer is None:
            raise StoreError(Problem.INVALID, "nothing is asked")
        return pb.ReadManyResponse(**{ask: await answer(getattr(request, ask))})


class ReadingServicer(mailbox_pb2_grpc.ReadingServiceServicer):
    """Short reads of many people's accounts, one request after the other."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    @streamed
    async def ReadMany(
        self, request: AsyncIterator[pb.ReadManyRequest], context: Context
    ) -> AsyncIterator[pb.ReadManyResponse]:
        """Answer each request in the name of the person that it carries."""
        async for one in while_allowed(request):
            await speak_for(one.principal, context)
            yield await self._reads.answer(one)

    @answered
    async def GetStates(self, request: pb.GetStatesRequest, _context: Context) -> pb.GetStatesResponse:
        """Give how far accounts are."""
        return await self._reads.states(request)
