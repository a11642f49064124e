"""store and junior-guard over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
import grpc.aio

from petitbleu.junior_guard.v1 import junior_guard_pb2, junior_guard_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_accounts.domain.people import Draft
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_kit.rpc import Peer, retryable

_BATCH_SECONDS: Final = 30.0
_ONE_SECONDS: Final = 5.0


def _translated(error: grpc.aio.AioRpcError, peer: str) -> Exception:
    if retryable(error):
        return AccountsError(Fault.UNAVAILABLE, f"{peer} does not answer, try again")
    return AccountsError(Fault.REFUSED, f"{peer} refused ({error.code().name})")


class StorePeer:
    """store's own row of each account."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = mailbox_pb2_grpc.AccountServiceStub(peer.channel)

    async def create(self, drafts: Sequence[Draft]) -> None:
        """Make the accounts' rows, mailboxes and keys; idempotent."""
        request = mailbox_pb2.CreateAccountsRequest(
            accounts=[
                mailbox_pb2.NewStoreAccount(
                    account_id=draft.account_id, tenant_id=draft.tenant_id, quota_octets=draft.quota_octets,
                    guarded=draft.guarded, language=draft.language,
                )
                for draft in drafts
            ]
        )  # fmt: skip
        try:
            await self._peer.call(self._stub.CreateAccounts, request, timeout=_BATCH_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "store") from None

    async def set_quota(self, account_id: int, quota_octets: int) -> None:
        """Set the octets an account may use, 0 without limit."""
        request = mailbox_pb2.UpdateAccountRequest(account_id=account_id, quota_octets=quota_octets)
        try:
            await self._peer.call(self._stub.UpdateAccount, request, timeout=_ONE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "store") from None

    async def erase(self, account_id: int) -> None:
        """Destroy an account's key and mail; idempotent."""
        request = mailbox_pb2.EraseAccountRequest(account_id=account_id)
        try:
            await self._peer.call(self._stub.EraseAccount, request, timeout=_BATCH_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "store") from None


class GuardPeer:
    """junior-guard's knowledge of children."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = junior_guard_pb2_grpc.GuardServiceStub(peer.channel)

    async def register_child(self, draft: Draft, guardian_addresses: Sequence[str]) -> None:
        """Say whose child it is; idempotent."""
        request = junior_guard_pb2.RegisterChildRequest(
            account_id=draft.account_id, tenant_id=draft.tenant_id, guardian_account_ids=draft.guardian_ids,
            guardian_addresses=guardian_addresses, language=draft.language,
            level=draft.child.level if draft.child else 0, birth_year=draft.child.birth_year if draft.child else 0,
            birth_month=draft.child.birth_month if draft.child else 0,
        )  # fmt: skip
        try:
            await self._peer.call(self._stub.RegisterChild, request, timeout=_ONE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "junior-guard") from None
