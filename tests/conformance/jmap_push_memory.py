"""PushService of accounts in memory: subscriptions of credentials, one sender for all, outcomes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu.accounts.v1 import push_pb2_grpc
from petitbleu_accounts.domain.push import bounded_end
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.rpc import caller

SECONDS = 7 * 86_400
MOST = 32
ABOUT_PEOPLE = {
    f"/petitbleu.accounts.v1.PushService/{name}" for name in ("ListPushSubscriptions", "UpdatePushSubscriptions")
}


@dataclass
class Row:
    """A subscription, who made it, and what it was told."""

    target: pb.PushTarget
    credential: int
    device: str
    code: str
    server_key: bytes
    code_due: bool = True

    def seen(self) -> pb.PushSubscription:
        found = pb.PushSubscription(
            subscription_id=self.target.subscription_id, device_client_id=self.device, expires_at=self.target.expires_at,
            verification_code=self.code if self.target.verified else "",
        )  # fmt: skip
        if self.target.HasField("types"):
            found.types.CopyFrom(self.target.types)
        return found


class MemoryPush(push_pb2_grpc.PushServiceServicer):
    """Everything that the contract says, for one process."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.ended: set[int] = set()
        """Credentials that hold no longer."""

    def _live(self) -> list[Row]:
        now = time.time()
        return [row for row in self.rows.values() if row.target.expires_at > now and row.credential not in self.ended]

    def _own(self) -> dict[int, Row]:
        who = caller().principal
        assert who is not None
        return {
            row.target.subscription_id: row
            for row in self._live()
            if (row.target.account_id, row.credential) == (who.account_id, who.credential_id)
        }

    async def ListPushSubscriptions(self, request: Any, context: Any) -> Any:
        found = [row.seen() for row in self._own().values() if row.server_key == request.server_key]
        return pb.ListPushSubscriptionsResponse(subscriptions=found)

    async def UpdatePushSubscriptions(self, request: Any, context: Any) -> Any:
        return pb.UpdatePushSubscriptionsResponse(results=[self._change(one, request) for one in request.updates])

    def _change(self, update: Any, request: Any) -> Any:
        who = caller().principal
        assert who is not None
        own = self._own()
        if not update.subscription_id:
            if sum(1 for row in self._live() if row.target.account_id == who.account_id) >= MOST:
                return pb.PushResult(status=pb.PUSH_STATUS_TOO_MANY)
            target = pb.PushTarget(
                account_id=who.account_id, subscription_id=int.from_bytes(os.urandom(7), "big"), url=update.url,
                keys=update.keys if update.HasField("keys") else None,
                types=update.types if update.HasField("types") else None, told=request.told,
                expires_at=bounded_end(update.expires_at, int(time.time()), SECONDS),
            )  # fmt: skip
            row = Row(target, who.credential_id, update.device_client_id, os.urandom(16).hex(), request.server_key)
            self.rows[target.subscription_id] = row
            return pb.PushResult(status=pb.PUSH_STATUS_OK, subscription=row.seen())
        found = own.get(update.subscription_id)
        if found is None:
            return pb.PushResult(status=pb.PUSH_STATUS_NOT_FOUND)
        if update.destroy:
            del self.rows[update.subscription_id]
            return pb.PushResult(status=pb.PUSH_STATUS_OK)
        if update.HasField("verification_code"):
            if update.verification_code != found.code:
                return pb.PushResult(status=pb.PUSH_STATUS_WRONG_CODE)
            found.target.verified = True
        if update.HasField("expires_at"):
            found.target.expires_at = bounded_end(update.expires_at, int(time.time()), SECONDS)
        if update.set_types:
            found.target.ClearField("types")
            if update.HasField("types"):
                found.target.types.CopyFrom(update.types)
        return pb.PushResult(status=pb.PUSH_STATUS_OK, subscription=found.seen())

    async def HoldPushSlices(self, request: Any, context: Any) -> Any:
        return pb.HoldPushSlicesResponse(slices=[] if request.release else range(32), seconds=4)

    async def ListPushAccounts(self, request: Any, context: Any) -> Any:
        of: dict[int, list[Row]] = {}
        for row in self._live():
            account = row.target.account_id
            if partition_of_account(account) // 32 == request.slice and account > request.after_account_id:
                of.setdefault(account, []).append(row)
        answer = pb.ListPushAccountsResponse()
        for account in sorted(of):
            told = [row.target.told for row in of[account] if row.target.verified]
            least = pb.PushTold(
                modseq=min(one.modseq for one in told), last_id=min(one.last_id for one in told),
                identities=min(one.identities for one in told), submissions=min(one.submissions for one in told),
                scripts=min(one.scripts for one in told), vacation=min(one.vacation for one in told),
            ) if told else None  # fmt: skip
            unverified = any(row.code_due and not row.target.verified for row in of[account])
            answer.accounts.add(account_id=account, told=least, unverified=unverified)
        return answer

    async def GetPushTargets(self, request: Any, context: Any) -> Any:
        answer = pb.GetPushTargetsResponse()
        for row in self._live():
            wanted = row.target.account_id in request.account_ids and row.server_key == request.server_key
            if wanted and (row.target.verified or row.code_due):
                target = answer.targets.add()
                target.CopyFrom(row.target)
                target.verification_code = "" if row.target.verified else row.code
        return answer

    async def RecordPushes(self, request: Any, context: Any) -> Any:
        for outcome in request.outcomes:
            row = self.rows.get(outcome.subscription_id)
            if row is None:
                continue
            if outcome.gone:
                del self.rows[outcome.subscription_id]
            elif outcome.verification or outcome.HasField("told"):
                row.target.failures, row.target.next_try_at = 0, 0.0
                row.code_due = row.code_due and not outcome.verification
                if outcome.HasField("told"):
                    row.target.told.CopyFrom(outcome.told)
            else:
                row.target.failures += 1
                row.target.next_try_at = time.time() + outcome.retry_after
        return pb.RecordPushesResponse()
