"""The port `SchoolDirectory`: who has an address, as accounts says."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_junior_guard.domain.schools import Pupil
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_kit.rpc import Peer


class AccountsDirectory:
    """Calls accounts.

    Args:
        accounts: The channel to accounts.
        seconds: Deadline of a call.
    """

    def __init__(self, accounts: Peer, seconds: float) -> None:
        self._accounts, self._seconds = accounts, seconds
        self._stub = accounts_pb2_grpc.DirectoryServiceStub(accounts.channel)

    async def pupils(self, addresses: Sequence[str]) -> list[Pupil | None]:
        """Find the accounts that have addresses as their own and work, in order; None for an alias, a detail or nobody."""
        try:
            request = accounts_pb2.ResolveRequest(addresses=addresses)
            places = await self._accounts.call(self._stub.Resolve, request, timeout=self._seconds)
            own = [_own(place) for place in places.resolutions]
            ids = sorted({one for one in own if one is not None})
            described = await self._accounts.call(
                self._stub.GetAccounts, accounts_pb2.GetAccountsRequest(account_ids=ids), timeout=self._seconds
            )
        except grpc.aio.AioRpcError:
            raise GuardError(Fault.PEER_AWAY) from None
        known = {
            one.account_id: Pupil(
                one.account_id, one.tenant_id, one.address, one.guarded, accounts_pb2.ROLE_TEACHER in one.roles
            )
            for one in described.accounts
            if one.state == accounts_pb2.ACCOUNT_STATE_ACTIVE
        }
        return [None if one is None else known.get(one) for one in own]


def _own(place: accounts_pb2.Resolution) -> int | None:
    if place.status != accounts_pb2.ADDRESS_STATUS_LOCAL or len(place.targets) != 1:
        return None
    target = place.targets[0]
    return None if target.via_id or target.detail else target.account_id
