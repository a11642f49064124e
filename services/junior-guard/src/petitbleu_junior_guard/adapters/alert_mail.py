"""accounts and store, as alerts need them: who a guardian is, and a mail of ours made durable."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

import grpc
import grpc.aio

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Letter, Person
from petitbleu_kit.rpc import Peer

_TAKEN = {accept_pb2.ACCEPT_STATUS_OK, accept_pb2.ACCEPT_STATUS_REPEAT}


class AlertMail:
    """Calls accounts and store.

    Args:
        accounts: The channel to accounts.
        store: The channel to store.
        seconds: Deadline of a call.
    """

    def __init__(self, accounts: Peer, store: Peer, seconds: float) -> None:
        self._accounts, self._store, self._seconds = accounts, store, seconds
        self._directory = accounts_pb2_grpc.DirectoryServiceStub(accounts.channel)
        self._accepts = accept_pb2_grpc.AcceptServiceStub(store.channel)

    async def people(self, account_ids: Collection[int]) -> dict[int, Person]:
        """Describe accounts that work; others are left out. PEER_AWAY."""
        request = accounts_pb2.GetAccountsRequest(account_ids=sorted(account_ids))
        try:
            found = await self._accounts.call(self._directory.GetAccounts, request, timeout=self._seconds)
        except grpc.aio.AioRpcError:
            raise GuardError(Fault.PEER_AWAY) from None
        return {
            one.account_id: Person(one.address, one.tenant_id, one.language)
            for one in found.accounts
            if one.state == accounts_pb2.ACCOUNT_STATE_ACTIVE
        }

    async def send(self, letter: Letter, to: Person, body: bytes) -> None:
        """Make a mail to a guardian durable; a repeat is a no-op. PEER_AWAY."""
        item = accept_pb2.AcceptItem(
            idempotency_key=sha256(b"junior-guard alert" + letter.number.to_bytes(8, "big")).digest(), mail_from="", body=body,
            origin=accept_pb2.ORIGIN_NOTICE, submitter_account_id=letter.guardian_id, submitter_tenant_id=to.tenant_id,
        )  # fmt: skip
        item.recipients.add(address=to.address, tenant_id=to.tenant_id, notify="NEVER")
        item.parameters.smtputf8 = item.parameters.eight_bit = not body.isascii()
        try:
            done = await self._store.call(
                self._accepts.Accept, accept_pb2.AcceptRequest(items=[item]), timeout=self._seconds
            )
        except grpc.aio.AioRpcError:
            raise GuardError(Fault.PEER_AWAY) from None
        if done.results[0].status not in _TAKEN:
            raise GuardError(Fault.PEER_AWAY)
