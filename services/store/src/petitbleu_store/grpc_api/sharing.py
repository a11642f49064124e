"""SharingService: translation only. Every call is a person's, and tells of what is shared with their own account."""

from __future__ import annotations

from petitbleu.store.v1 import sharing_pb2 as pb
from petitbleu.store.v1 import sharing_pb2_grpc
from petitbleu_store.grpc_api.answers import Context, answered
from petitbleu_store.grpc_api.reads import Reads
from petitbleu_store.service.mailbox_cases import MailboxCases


class SharingServicer(sharing_pb2_grpc.SharingServiceServicer):
    """What others share with an account."""

    def __init__(self, cases: MailboxCases) -> None:
        self._cases = cases
        self._account = Reads(cases).account

    @answered
    async def ListReceived(self, request: pb.ListReceivedRequest, _context: Context) -> pb.ListReceivedResponse:
        """Give the accounts that share with the account."""
        return await self._cases.views.received(await self._account(request.account_id))

    @answered
    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, _context: Context
    ) -> pb.ListNotificationsResponse:
        """Give its notifications of shares."""
        return await self._cases.notices.listed(await self._account(request.account_id))

    @answered
    async def DismissNotifications(
        self, request: pb.DismissNotificationsRequest, _context: Context
    ) -> pb.DismissNotificationsResponse:
        """Destroy notifications."""
        return await self._cases.notices.dismiss(await self._account(request.account_id), request)
