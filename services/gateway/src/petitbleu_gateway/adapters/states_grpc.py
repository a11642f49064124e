"""`service.push.States` over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_kit.rpc import Peer


class GrpcStates:
    """How far accounts are, as store's ReadingService and accounts' IdentityService answer."""

    def __init__(self, store: Peer, accounts: Peer, seconds: float) -> None:
        self._store = store
        self._accounts = accounts
        self._seconds = seconds
        self._stub = mailbox_pb2_grpc.ReadingServiceStub(store.channel)
        self._identities_stub = accounts_pb2_grpc.IdentityServiceStub(accounts.channel)

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        """Give how far accounts are, at most 1,000; those that do not exist are left out."""
        mail, people = await asyncio.gather(
            self._store.call(
                self._stub.GetStates, pb.GetStatesRequest(account_ids=account_ids), timeout=self._seconds
            ),
            self._accounts.call(
                self._identities_stub.GetIdentityStates,
                accounts_pb2.GetIdentityStatesRequest(account_ids=account_ids), timeout=self._seconds,
            ),
        )  # fmt: skip
        identities = {found.account_id: found.modseq for found in people.states}
        return {
            found.account_id: AccountState(found.modseq, found.last_id, identities.get(found.account_id, 0))
            for found in mail.states
        }
