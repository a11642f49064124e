"""The contract's servers where nobody shares anything: store's SharingService, and accounts' DirectoryService.

Rights on shared mailboxes are store's to decide and are tested on the whole stack; mail in memory would prove nothing of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from tests.conformance.jmap_store import MemoryStore

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import sharing_pb2, sharing_pb2_grpc
from petitbleu_kit.rpc import caller

ABOUT_SHARES = ("/petitbleu.store.v1.SharingService/",)
TENANT = 3


class NoShares(sharing_pb2_grpc.SharingServiceServicer):
    """SharingService of a tenant in which nobody shares."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def ListReceived(self, request: Any, context: Any) -> Any:
        return sharing_pb2.ListReceivedResponse()

    async def ListNotifications(self, request: Any, context: Any) -> Any:
        return sharing_pb2.ListNotificationsResponse(modseq=self._modseq())

    async def DismissNotifications(self, request: Any, context: Any) -> Any:
        return sharing_pb2.DismissNotificationsResponse(old_modseq=self._modseq(), new_modseq=self._modseq())

    def _modseq(self) -> int:
        who = caller().principal
        assert who is not None
        return self._store.person(who.account_id).modseq


class Directory(accounts_pb2_grpc.DirectoryServiceServicer):
    """DirectoryService over logins and their accounts."""

    def __init__(self, people: Mapping[str, int]) -> None:
        self._people = people

    async def GetAccounts(self, request: Any, context: Any) -> Any:
        by_id = {account_id: login for login, account_id in self._people.items()}
        active = accounts_pb2.ACCOUNT_STATE_ACTIVE
        return accounts_pb2.GetAccountsResponse(
            accounts=[
                accounts_pb2.Account(account_id=one, tenant_id=TENANT, address=by_id[one], state=active)
                for one in request.account_ids
                if one in by_id
            ]
        )

    async def GetDomains(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the gateway does not ask for it")

    async def Resolve(self, request: Any, context: Any) -> Any:
        found = accounts_pb2.ResolveResponse()
        for address in request.addresses:
            account_id = self._people.get(address, 0)
            resolution = found.resolutions.add()
            if account_id:
                resolution.targets.add(account_id=account_id, tenant_id=TENANT)
        return found

    async def ResolveMany(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield await self.Resolve(request, context)
