"""`service.push.States` over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.delivery.v1 import scripts_pb2, scripts_pb2_grpc, submission_pb2, submission_pb2_grpc
from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import mailbox_pb2_grpc
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_kit.logs import get_logger
from petitbleu_kit.rpc import Peer

_log = get_logger(__name__)
_BESIDE_SECONDS: Final = 2.0
"""Nobody waits longer for the news of identities, submissions and rules."""


class GrpcStates:
    """How far accounts are, as store's ReadingService, accounts' IdentityService and delivery's services answer."""

    def __init__(self, store: Peer, accounts: Peer, delivery: Peer, seconds: float) -> None:
        self._store = store
        self._accounts = accounts
        self._delivery = delivery
        self._seconds = seconds
        self._stub = mailbox_pb2_grpc.ReadingServiceStub(store.channel)
        self._identities_stub = accounts_pb2_grpc.IdentityServiceStub(accounts.channel)
        self._submissions_stub = submission_pb2_grpc.SubmissionServiceStub(delivery.channel)
        self._scripts_stub = scripts_pb2_grpc.ScriptServiceStub(delivery.channel)

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        """Give how far accounts are, at most 1,000; those that do not exist are left out.

        Mail is pushed although accounts or delivery is away: then nothing is known of identities, or of submissions and rules, and
        what is found later counts as a change.
        """
        request = pb.GetStatesRequest(account_ids=account_ids)
        mail, identities, submissions, rules = await asyncio.gather(
            self._store.call(self._stub.GetStates, request, timeout=self._seconds),
            self._identities(account_ids),
            self._submissions(account_ids),
            self._rules(account_ids),
        )
        return {
            found.account_id: AccountState(
                found.modseq,
                found.last_id,
                identities.get(found.account_id, 0),
                submissions.get(found.account_id, 0),
                *rules.get(found.account_id, ()),
            )
            for found in mail.states
        }

    async def _identities(self, account_ids: Sequence[int]) -> Mapping[int, int]:
        request = accounts_pb2.GetIdentityStatesRequest(account_ids=account_ids)
        seconds = min(self._seconds, _BESIDE_SECONDS)
        try:
            answer = await self._accounts.call(self._identities_stub.GetIdentityStates, request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            _log.info("accounts does not say how far identities are", code=error.code().name)
            return {}
        return {found.account_id: found.modseq for found in answer.states}

    async def _submissions(self, account_ids: Sequence[int]) -> Mapping[int, int]:
        request = submission_pb2.GetSubmissionStatesRequest(account_ids=account_ids)
        seconds = min(self._seconds, _BESIDE_SECONDS)
        try:
            answer = await self._delivery.call(self._submissions_stub.GetSubmissionStates, request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            _log.info("delivery does not say how far submissions are", code=error.code().name)
            return {}
        return {found.account_id: found.modseq for found in answer.states}

    async def _rules(self, account_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        request = scripts_pb2.GetScriptStatesRequest(account_ids=account_ids)
        seconds = min(self._seconds, _BESIDE_SECONDS)
        try:
            answer = await self._delivery.call(self._scripts_stub.GetScriptStates, request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            _log.info("delivery does not say how far rules are", code=error.code().name)
            return {}
        return {found.account_id: (found.modseq, found.vacation_modseq) for found in answer.states}
