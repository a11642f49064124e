"""RemovedService: translation only. Every call is a person's, and a person reaches only what they deleted in their own account."""

from __future__ import annotations

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu.store.v1 import removed_pb2_grpc
from petitbleu_kit.rpc import caller
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.answers import Context, answered
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.mailbox_cases import MailboxCases


class RemovedServicer(removed_pb2_grpc.RemovedServiceServicer):
    """What one account deleted."""

    def __init__(self, cases: MailboxCases) -> None:
        self._cases = cases

    async def _account(self, account_id: int) -> KnownAccount:
        """Return the account when it is the principal's own: whoever has a share of its mailboxes has none of its deleted mail."""
        principal = caller().principal
        if principal is None or principal.account_id != account_id:
            raise StoreError(Problem.FORBIDDEN)
        account = await self._cases.account(account_id)
        if account.tenant_id != principal.tenant_id:
            raise StoreError(Problem.FORBIDDEN)
        return account

    @answered
    async def QueryRemoved(self, request: pb.QueryRemovedRequest, _context: Context) -> pb.QueryRemovedResponse:
        """Find deleted messages."""
        return await self._cases.removed.query(await self._account(request.account_id), request)

    @answered
    async def GetRemoved(self, request: pb.GetRemovedRequest, _context: Context) -> pb.GetRemovedResponse:
        """Give deleted messages."""
        return await self._cases.removed.messages(await self._account(request.account_id), request.message_ids)

    @answered
    async def ListRemovedMailboxes(
        self, request: pb.ListRemovedMailboxesRequest, _context: Context
    ) -> pb.ListRemovedMailboxesResponse:
        """Give deleted mailboxes."""
        return await self._cases.removed.mailboxes(await self._account(request.account_id))

    @answered
    async def RestoreMessages(
        self, request: pb.RestoreMessagesRequest, _context: Context
    ) -> pb.RestoreMessagesResponse:
        """Bring messages back."""
        return await self._cases.restoring.messages(await self._account(request.account_id), request)

    @answered
    async def RestoreMailboxes(
        self, request: pb.RestoreMailboxesRequest, _context: Context
    ) -> pb.RestoreMailboxesResponse:
        """Bring mailboxes back."""
        return await self._cases.restoring_mailboxes.restore(await self._account(request.account_id), request)

    @answered
    async def PurgeRemoved(self, request: pb.PurgeRemovedRequest, _context: Context) -> pb.PurgeRemovedResponse:
        """Delete for ever."""
        return await self._cases.purging.purge(await self._account(request.account_id), request)
