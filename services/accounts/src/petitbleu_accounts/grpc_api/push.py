"""PushService of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu.accounts.v1 import push_pb2_grpc
from petitbleu_accounts.adapters.postgres_push_sending import Outcome, PostgresPushSending
from petitbleu_accounts.domain.push import SLICES, Change, Keys, Subscription, Told
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.grpc_api.answer import answered
from petitbleu_accounts.grpc_api.authentication import person
from petitbleu_accounts.service.push import PushSubscriptions

_MAX: Final = 1_000
_MAX_HOLDER: Final = 64


def _types(types: Sequence[str] | None) -> pb.PushTypes | None:
    return None if types is None else pb.PushTypes(names=types)


def _message(one: Subscription) -> pb.PushSubscription:
    return pb.PushSubscription(
        subscription_id=one.subscription_id, device_client_id=one.device_client_id, verification_code=one.code,
        expires_at=one.expires_at, types=_types(one.types),
    )  # fmt: skip


def _change(update: pb.PushSubscriptionUpdate) -> Change:
    return Change(
        update.subscription_id, update.destroy, update.device_client_id, update.url,
        Keys(update.keys.p256dh, update.keys.auth) if update.HasField("keys") else None,
        update.expires_at if update.HasField("expires_at") else None, update.set_types,
        tuple(update.types.names) if update.HasField("types") else None,
        update.verification_code if update.HasField("verification_code") else None,
    )  # fmt: skip


def _told(told: pb.PushTold) -> Told:
    return Told(told.modseq, told.last_id, told.identities, told.submissions, told.scripts, told.vacation)


def _target(row: asyncpg.Record) -> pb.PushTarget:
    keys = None if row["p256dh"] is None else pb.PushKeys(p256dh=row["p256dh"], auth=row["auth"])
    return pb.PushTarget(
        account_id=row["account_id"], subscription_id=row["subscription_id"], url=row["url"], keys=keys,
        types=_types(row["types"]), expires_at=row["ends"], verified=row["verified"],
        verification_code="" if row["verified"] else row["verification_code"],
        failures=row["failures"],
        next_try_at=row["next_try"],
        told=pb.PushTold(
            modseq=row["told_modseq"], last_id=row["told_last_id"], identities=row["told_identities"],
            submissions=row["told_submissions"], scripts=row["told_scripts"], vacation=row["told_vacation"],
        ),
    )  # fmt: skip


def _few(found: Sequence[Any]) -> None:
    if len(found) > _MAX:
        raise AccountsError(Fault.INVALID, f"at most {_MAX:,} a call")


class PushApi(push_pb2_grpc.PushServiceServicer):
    """Push subscriptions, for people and for the sender."""

    def __init__(self, subscriptions: PushSubscriptions, sending: PostgresPushSending) -> None:
        self._subscriptions = subscriptions
        self._sending = sending

    @answered
    async def ListPushSubscriptions(
        self, request: pb.ListPushSubscriptionsRequest, _context: Any
    ) -> pb.ListPushSubscriptionsResponse:
        """Give those of the principal's credential."""
        found = await self._subscriptions.all(person(), request.server_key)
        return pb.ListPushSubscriptionsResponse(subscriptions=[_message(one) for one in found])

    @answered
    async def UpdatePushSubscriptions(
        self, request: pb.UpdatePushSubscriptionsRequest, _context: Any
    ) -> pb.UpdatePushSubscriptionsResponse:
        """Change those of the principal's credential."""
        told = _told(request.told)
        changes = [_change(update) for update in request.updates]
        answer = pb.UpdatePushSubscriptionsResponse()
        for outcome, one in await self._subscriptions.change(person(), changes, told, request.server_key):
            answer.results.add(
                status=pb.PushStatus.ValueType(outcome.value), subscription=None if one is None else _message(one)
            )
        return answer

    @answered
    async def HoldPushSlices(self, request: pb.HoldPushSlicesRequest, _context: Any) -> pb.HoldPushSlicesResponse:
        """Say which slices are a sender's own."""
        if not 1 <= len(request.holder) <= _MAX_HOLDER:
            raise AccountsError(Fault.INVALID, "a sender has a name")
        mine = await self._sending.hold(request.holder, release=request.release)
        return pb.HoldPushSlicesResponse(slices=mine, seconds=self._sending.lease_seconds)

    @answered
    async def ListPushAccounts(self, request: pb.ListPushAccountsRequest, _context: Any) -> pb.ListPushAccountsResponse:
        """Page through the accounts of a slice."""
        if not 0 <= request.slice < SLICES:
            raise AccountsError(Fault.INVALID, "no such slice")
        answer = pb.ListPushAccountsResponse()
        for row in await self._sending.accounts(request.slice, request.after_account_id):
            told = (
                None
                if row["modseq"] is None
                else pb.PushTold(**dict(zip(Told._fields, list(row.values())[1:7], strict=True)))
            )
            answer.accounts.add(account_id=row["account_id"], told=told, unverified=row["unverified"])
        return answer

    @answered
    async def GetPushTargets(self, request: pb.GetPushTargetsRequest, _context: Any) -> pb.GetPushTargetsResponse:
        """Give what is needed to post."""
        _few(request.account_ids)
        rows = await self._sending.targets(request.account_ids, request.server_key)
        return pb.GetPushTargetsResponse(targets=[_target(row) for row in rows])

    @answered
    async def RecordPushes(self, request: pb.RecordPushesRequest, _context: Any) -> pb.RecordPushesResponse:
        """Keep what became of posts."""
        _few(request.outcomes)
        told: list[Outcome] = []
        verifying: list[Outcome] = []
        retry: list[Outcome] = []
        gone: list[Outcome] = []
        for one in request.outcomes:
            kind = gone if one.gone else verifying if one.verification else told if one.HasField("told") else retry
            kind.append((one.account_id, one.subscription_id, *_told(one.told), one.retry_after))
        await self._sending.record(told, verifying, retry, gone)
        return pb.RecordPushesResponse()
