"""`ports.Sharing` and `ports.Directory` over gRPC."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import sharing_pb2, sharing_pb2_grpc
from petitbleu_gateway.ports import AwayError, Identity, Profile
from petitbleu_kit.rpc import Peer


class GrpcSharing:
    """Shares, as store's SharingService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = sharing_pb2_grpc.SharingServiceStub(peer.channel)

    async def received(self, who: Identity) -> Sequence[sharing_pb2.ReceivedShare]:
        """Give the accounts that share something."""
        request = sharing_pb2.ListReceivedRequest(account_id=who.person_id)
        answer = await self._peer.call(self._stub.ListReceived, request, timeout=self._seconds, principal=who.principal)
        return answer.shares

    async def notifications(self, who: Identity) -> sharing_pb2.ListNotificationsResponse:
        """Give the notifications that are not dismissed, oldest first."""
        request = sharing_pb2.ListNotificationsRequest(account_id=who.person_id)
        return await self._peer.call(
            self._stub.ListNotifications, request, timeout=self._seconds, principal=who.principal
        )

    async def dismiss(
        self, who: Identity, notification_ids: Sequence[int], if_modseq: int
    ) -> sharing_pb2.DismissNotificationsResponse:
        """Destroy notifications."""
        request = sharing_pb2.DismissNotificationsRequest(
            account_id=who.person_id, notification_ids=notification_ids, if_modseq=if_modseq
        )
        return await self._peer.call(
            self._stub.DismissNotifications, request, timeout=self._seconds, principal=who.principal
        )


class GrpcDirectory:
    """Who others are, as accounts' DirectoryService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = accounts_pb2_grpc.DirectoryServiceStub(peer.channel)

    async def profiles(self, account_ids: Sequence[int]) -> Sequence[Profile]:
        """Give what is known of at most 1,000 accounts; those that do not exist are left out."""
        request = accounts_pb2.GetAccountsRequest(account_ids=account_ids)
        try:
            answer = await self._peer.call(self._stub.GetAccounts, request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            raise AwayError from None
        return [
            Profile(
                found.account_id, found.tenant_id, found.address, found.display_name,
                found.state == accounts_pb2.ACCOUNT_STATE_ACTIVE, found.guarded,
            )
            for found in answer.accounts
        ]  # fmt: skip

    async def reached(self, address: str) -> Sequence[int]:
        """Give the accounts that an address reaches."""
        request = accounts_pb2.ResolveRequest(addresses=[address])
        try:
            answer = await self._peer.call(self._stub.Resolve, request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            raise AwayError from None
        return [target.account_id for target in answer.resolutions[0].targets] if answer.resolutions else []
