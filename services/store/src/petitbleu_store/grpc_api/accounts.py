"""AccountService: translation only."""

from __future__ import annotations

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_store.grpc_api.answers import Context, answered
from petitbleu_store.service.accounts import AccountService
from petitbleu_store.service.erasure import Erasure


class AccountServicer(mailbox_pb2_grpc.AccountServiceServicer):
    """Store's own row of each account."""

    def __init__(self, accounts: AccountService, erasure: Erasure) -> None:
        self._accounts = accounts
        self._erasure = erasure

    @answered
    async def CreateAccounts(
        self, request: mailbox_pb2.CreateAccountsRequest, _context: Context
    ) -> mailbox_pb2.CreateAccountsResponse:
        """Make accounts."""
        await self._accounts.create(request.accounts)
        return mailbox_pb2.CreateAccountsResponse()

    @answered
    async def UpdateAccount(
        self, request: mailbox_pb2.UpdateAccountRequest, _context: Context
    ) -> mailbox_pb2.UpdateAccountResponse:
        """Change quota or guard."""
        await self._accounts.update(
            request.account_id,
            quota_octets=request.quota_octets if request.HasField("quota_octets") else None,
            guarded=request.guarded if request.HasField("guarded") else None,
        )
        return mailbox_pb2.UpdateAccountResponse()

    @answered
    async def EraseAccount(
        self, request: mailbox_pb2.EraseAccountRequest, _context: Context
    ) -> mailbox_pb2.EraseAccountResponse:
        """Erase an account."""
        await self._erasure.erase(request.account_id)
        return mailbox_pb2.EraseAccountResponse()
