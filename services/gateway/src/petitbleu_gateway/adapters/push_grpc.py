"""Accounts' PushService over gRPC: for people's own subscriptions, and for who posts to them."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu.accounts.v1 import push_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcPush:
    """`methods.push_subscription.PushSubscriptions` and `service.push_sender.Keeper`."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = push_pb2_grpc.PushServiceStub(peer.channel)

    async def all(self, who: Identity, server_key: bytes) -> Sequence[pb.PushSubscription]:
        """Give those that the person's credential made."""
        request = pb.ListPushSubscriptionsRequest(server_key=server_key)
        call = self._stub.ListPushSubscriptions
        return (
            await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)
        ).subscriptions  # fmt: skip

    async def update(self, who: Identity, request: pb.UpdatePushSubscriptionsRequest) -> Sequence[pb.PushResult]:
        """Change those that the person's credential made."""
        call = self._stub.UpdatePushSubscriptions
        return (await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)).results

    async def hold(self, holder: str, *, release: bool) -> tuple[Sequence[int], float]:
        """Say that we live, or end; give the slices that are ours, and for how many seconds."""
        request = pb.HoldPushSlicesRequest(holder=holder, release=release)
        answer = await self._peer.call(self._stub.HoldPushSlices, request, timeout=self._seconds)
        return answer.slices, answer.seconds

    async def accounts(self, slice_number: int, after: int) -> Sequence[pb.PushAccount]:
        """Give a page of the accounts of a slice, at most 1,000."""
        request = pb.ListPushAccountsRequest(slice=slice_number, after_account_id=after)
        return (await self._peer.call(self._stub.ListPushAccounts, request, timeout=self._seconds)).accounts

    async def targets(self, account_ids: Sequence[int], server_key: bytes) -> Sequence[pb.PushTarget]:
        """Give what is needed to post to at most 1,000 accounts."""
        request = pb.GetPushTargetsRequest(account_ids=account_ids, server_key=server_key)
        return (await self._peer.call(self._stub.GetPushTargets, request, timeout=self._seconds)).targets

    async def record(self, outcomes: Sequence[pb.PushOutcome]) -> None:
        """Keep what became of at most 1,000 posts."""
        request = pb.RecordPushesRequest(outcomes=outcomes)
        await self._peer.call(self._stub.RecordPushes, request, timeout=self._seconds)
