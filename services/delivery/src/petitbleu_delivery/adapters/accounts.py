"""accounts' DirectoryService behind the port `Directory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu_delivery.adapters.calls import ask, converse, same_length
from petitbleu_delivery.domain.model import Route, Status, Target
from petitbleu_delivery.errors import Peer
from petitbleu_delivery.ports import Submitter
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer as Channel

_STATUS: Final = {
    pb.ADDRESS_STATUS_LOCAL: Status.LOCAL,
    pb.ADDRESS_STATUS_UNKNOWN: Status.UNKNOWN,
    pb.ADDRESS_STATUS_DISABLED: Status.DISABLED,
    pb.ADDRESS_STATUS_REMOTE: Status.REMOTE,
}


class AccountsDirectory:
    """Calls accounts.

    Args:
        channel: The channel to accounts.
        call_seconds: Deadline of a call.
    """

    def __init__(self, channel: Channel, call_seconds: float) -> None:
        stub = accounts_pb2_grpc.DirectoryServiceStub(channel.channel)
        self._resolve: Lane[pb.ResolveRequest, pb.ResolveResponse] = Lane(channel, stub.ResolveMany, stub.Resolve)
        self._call_seconds = call_seconds
        self._channel = channel
        self._stub = stub

    async def submitters(self, account_ids: Sequence[int]) -> list[Submitter]:
        """Describe accounts; those that are not known are left out."""
        request = pb.GetAccountsRequest(account_ids=account_ids)
        response = await ask(self._channel, Peer.ACCOUNTS, self._stub.GetAccounts, request, self._call_seconds)
        return [
            Submitter(
                one.account_id,
                one.guarded,
                one.language,
                one.state != pb.ACCOUNT_STATE_ACTIVE,
                one.address,
                one.tenant_id,
            )
            for one in response.accounts
        ]

    async def resolve(self, addresses: Sequence[str]) -> list[Route]:
        """Say where addresses lead."""
        request = pb.ResolveRequest(addresses=addresses)
        response = await converse(self._resolve, Peer.ACCOUNTS, request, self._call_seconds)
        same_length(Peer.ACCOUNTS, len(addresses), len(response.resolutions))
        return [_route(found) for found in response.resolutions]


def _route(found: pb.Resolution) -> Route:
    targets = []
    indirect = False
    for target in found.targets:
        targets.append(Target(target.account_id, target.guarded))
        if target.via_id:
            indirect = True
    return Route(_STATUS.get(found.status, Status.UNCLEAR), tuple(targets), found.domain_id, indirect)
