"""Posts changes to push subscriptions (RFC 8620 §7.2): one process for each slice of the accounts (ADR 17).

Nothing that is to be posted is kept but in the subscriptions' rows: how much each was told. What an account is beyond that is
posted when it is heard of, or found by comparing: when a slice becomes ours, when the bus was away, and now and then.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

import grpc
import msgspec
from prometheus_client import Counter, Gauge

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu_gateway.domain.push_subscriptions import subscription_id, told_message, told_state
from petitbleu_gateway.domain.state_changes import TYPES, AccountState, state_change, wanted_types
from petitbleu_gateway.service.push import States
from petitbleu_gateway.service.push_due import DueAccounts
from petitbleu_kit.batching import Batcher
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_posted = Counter("petitbleu_web_push_total", "Posts to push services", ["what", "outcome"])
_slices = Gauge("petitbleu_web_push_slices", "Slices of the accounts whose pushes this process posts")
_accounts = Gauge("petitbleu_web_push_accounts", "Accounts of these that have push subscriptions")

_BATCH: Final = 200
_MOST_BUSY: Final = 2000
_AWAY_SECONDS: Final = 5.0
_COMPARE_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 2.0
_POLL_SHARE: Final = 10.0
"""While the bus is away: how much longer than a look at all accounts is the pause after it."""
_SPREAD_SECONDS: Final = 5.0
_VERIFICATION_TRIES: Final = 3
_FIRST_BACK_OFF: Final = 15.0
_LONGEST_BACK_OFF: Final = 6 * 3600.0
_encode: Final = msgspec.json.Encoder().encode


class Verdict(Enum):
    """What a push service made of a post."""

    DELIVERED = "delivered"
    GONE = "gone"
    FAILED = "failed"
    LATER = "later"
    """Nothing was posted: its host has as much of us as it gets now."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A verdict, and the least seconds to wait before the next post."""

    verdict: Verdict
    wait: float = 0.0


class Poster(Protocol):
    """Posts one message."""

    async def post(self, target: pb.PushTarget, body: bytes, types: Sequence[str]) -> Posted:
        """Post to a subscription; `types` are those that changed, none for a verification."""


class Keeper(Protocol):
    """Accounts, as far as posting goes. Raises grpc.aio.AioRpcError as accounts answered."""

    async def hold(self, holder: str, *, release: bool) -> tuple[Sequence[int], float]:
        """Say that we live, or end; give the slices that are ours, and for how many seconds."""

    async def accounts(self, slice_number: int, after: int) -> Sequence[pb.PushAccount]:
        """Give a page of the accounts of a slice, at most 1,000."""

    async def targets(self, account_ids: Sequence[int], server_key: bytes) -> Sequence[pb.PushTarget]:
        """Give what is needed to post to at most 1,000 accounts."""

    async def record(self, outcomes: Sequence[pb.PushOutcome]) -> None:
        """Keep what became of at most 1,000 posts."""


def back_off(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row."""
    return min(_FIRST_BACK_OFF * (1 << min(failures, 20)), _LONGEST_BACK_OFF)


class PushSender:
    """Everything that this process posts.

    Args:
        keeper: Accounts.
        states: Store.
        poster: Posts.
        server_key: Public key by which we post, empty for none.
        connections: How often the bus was connected so far, 0 while it is away.
        fold_seconds: Least time between two posts to one subscription.
    """

    def __init__(
        self, keeper: Keeper, states: States, poster: Poster, server_key: bytes, connections: Callable[[], int],
        fold_seconds: float = 2.0,
    ) -> None:  # fmt: skip
        self._keeper = keeper
        self._states = states
        self._poster = poster
        self._server_key = server_key
        self._connections = connections
        self._holder = secrets.token_hex(16)
        self._accounts = DueAccounts(fold_seconds)
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._recording: Batcher[pb.PushOutcome, None] = Batcher(self._record, max_items=1000, max_queued=20_000)

    @property
    def accounts(self) -> int:
        """Accounts that have subscriptions and are ours to post to."""
        return self._accounts.count

    def heard(self, account_id: int) -> None:
        """Take note that an account changed."""
        self._accounts.heard(account_id)

    def subscribed(self, account_id: int) -> None:
        """Take note that the subscriptions of an account changed."""
        if self._accounts.add(account_id):
            self._accounts.at(account_id, asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Post until cancelled; then let others have our slices."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hold())
                group.create_task(self._compare())
                group.create_task(self._look())
        finally:
            for task in list(self._tasks):
                task.cancel()
            try:
                async with asyncio.timeout(1.0):
                    await self._keeper.hold(self._holder, release=True)
            except (grpc.aio.AioRpcError, TimeoutError, asyncio.CancelledError):
                _log.info("slices are left to the end of their time")

    async def _hold(self) -> None:
        loop = asyncio.get_running_loop()
        seconds, held_at = _AWAY_SECONDS, float("-inf")
        while True:
            asked_at = loop.time()
            try:
                slices, seconds = await self._keeper.hold(self._holder, release=False)
            except grpc.aio.AioRpcError as error:
                _log.info("slices not held", code=error.code().name)
                if loop.time() - held_at > seconds * 0.75:  # somebody else may hold them by now
                    self._accounts.hold(())
            else:
                held_at = asked_at
                for number in self._accounts.hold(slices):
                    self._start(self._load(number))
            _slices.set(len(self._accounts.slices))
            _accounts.set(self._accounts.count)
            await asyncio.sleep(seconds / 4)

    async def _compare(self) -> None:
        """Look at all accounts of our slices when the bus came back, while it is away, and now and then."""
        loop = asyncio.get_running_loop()
        compared_at, connection, pause = loop.time(), self._connections(), _POLL_SECONDS
        while True:
            await asyncio.sleep(1.0)
            current = self._connections()
            due = compared_at + (_COMPARE_SECONDS if current else pause)
            if loop.time() >= due or (current and current != connection):
                began = loop.time()
                for number in sorted(self._accounts.slices):
                    await self._load(number)
                compared_at = loop.time()
                pause = max(_POLL_SECONDS, _POLL_SHARE * (compared_at - began))
            connection = current

    async def _load(self, number: int) -> None:
        """Find the accounts of a slice, and those of them that were not told everything."""
        after = 0
        try:
            while number in self._accounts.slices:
                page = await self._keeper.accounts(number, after)
                if not page:
                    return
                for account in page:
                    self._accounts.add(account.account_id)  # before store is asked, so that no change falls between
                await self._look_behind(page)
                after = page[-1].account_id
        except grpc.aio.AioRpcError as error:
            _log.info("slice not compared", code=error.code().name)
            await asyncio.sleep(_AWAY_SECONDS)
            if number in self._accounts.slices:
                self._start(self._load(number))

    async def _look_behind(self, page: Sequence[pb.PushAccount]) -> None:
        states = await self._states.states([account.account_id for account in page])
        now = asyncio.get_running_loop().time()
        behind = []
        for account in page:
            state = states.get(account.account_id)
            late = account.HasField("told") and state is not None and state.beyond(told_state(account.told))
            if late or account.unverified:
                behind.append(account.account_id)
        for place, account_id in enumerate(behind):
            self._accounts.at(account_id, now + _SPREAD_SECONDS * place / len(behind))

    async def _look(self) -> None:
        accounts = self._accounts
        while True:
            accounts.wake.clear()
            room = _MOST_BUSY - self._busy
            taken = accounts.take(min(_BATCH, room)) if room > 0 else ()
            if taken:
                self._busy += len(taken)
                self._start(self._handle(taken))
                continue
            try:
                async with asyncio.timeout(accounts.next_in() if room > 0 else None):
                    await accounts.wake.wait()
            except TimeoutError:
                continue

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("pushing failed", exc_info=task.exception())

    def _done(self, account_id: int, *, told: bool, next_at: float | None) -> None:
        self._busy -= 1
        self._accounts.done(account_id, told=told, next_at=next_at)
        self._accounts.wake.set()

    async def _handle(self, account_ids: Sequence[int]) -> None:
        left = set(account_ids)
        try:
            targets, states = await asyncio.gather(
                self._keeper.targets(account_ids, self._server_key), self._states.states(account_ids)
            )
            of: dict[int, list[pb.PushTarget]] = {}
            for target in targets:
                of.setdefault(target.account_id, []).append(target)
            for account_id in account_ids:
                left.discard(account_id)
                if account_id in of and account_id in states:
                    self._start(self._tell(account_id, of[account_id], states[account_id]))
                else:
                    self._accounts.drop(account_id)  # before it may be heard of again
                    self._done(account_id, told=False, next_at=None)
        except grpc.aio.AioRpcError as error:
            _log.info("targets not known", code=error.code().name)
        finally:
            for account_id in left:
                self._done(account_id, told=False, next_at=asyncio.get_running_loop().time() + _AWAY_SECONDS)

    async def _tell(self, account_id: int, targets: Sequence[pb.PushTarget], state: AccountState) -> None:
        """Post to all subscriptions of an account what each has not seen."""
        loop = asyncio.get_running_loop()
        next_at: float | None = loop.time() + _AWAY_SECONDS
        told = False
        try:
            posts = await asyncio.gather(*(self._post(target, state) for target in targets))
            outcomes = [outcome for outcome, _ in posts if outcome is not None]
            waits = [wait for _, wait in posts if wait is not None]
            told = bool(outcomes)
            await asyncio.gather(*(self._recording.submit(outcome) for outcome in outcomes))
            next_at = loop.time() + min(waits) if waits else None
        except grpc.aio.AioRpcError as error:
            _log.info("outcomes not kept", code=error.code().name)  # it is posted again: better twice than never
        finally:
            self._done(account_id, told=told, next_at=next_at)

    async def _post(self, target: pb.PushTarget, state: AccountState) -> tuple[pb.PushOutcome | None, float | None]:
        """Post to one subscription what it has not seen; return what is to be kept, and seconds until it is due again."""
        now = time.time()
        outcome = pb.PushOutcome(account_id=target.account_id, subscription_id=target.subscription_id)
        message: dict[str, Any] | None
        types: Sequence[str] = ()
        if target.verified:
            message = _change(target, state)
            if message is None:
                outcome.told.CopyFrom(told_message(state))
                return (outcome if state.beyond(told_state(target.told)) else None), None
            types = sorted(next(iter(message["changed"].values())))
        else:
            message = {
                "@type": "PushVerification",  # RFC 8620 §7.2.2
                "pushSubscriptionId": subscription_id(target.subscription_id),
                "verificationCode": target.verification_code,
            }
        if target.next_try_at > now:
            return None, target.next_try_at - now
        posted = await self._poster.post(target, _encode(message), types)
        what = "change" if target.verified else "verification"
        _posted.labels(what=what, outcome=posted.verdict.value).inc()
        if posted.verdict is Verdict.LATER:
            return None, posted.wait
        if posted.verdict is Verdict.DELIVERED:
            if target.verified:
                outcome.told.CopyFrom(told_message(state))
            else:
                outcome.verification = True
            return outcome, None
        if posted.verdict is Verdict.GONE or (not target.verified and target.failures + 1 >= _VERIFICATION_TRIES):
            outcome.gone = True
            return outcome, None
        outcome.retry_after = max(posted.wait, back_off(target.failures))
        return outcome, outcome.retry_after

    async def _record(self, outcomes: list[pb.PushOutcome]) -> Sequence[None]:
        await self._keeper.record(outcomes)
        return [None] * len(outcomes)


def _change(target: pb.PushTarget, state: AccountState) -> dict[str, Any] | None:
    types = wanted_types(set(target.types.names)) if target.HasField("types") else TYPES
    return state_change(target.account_id, types, told_state(target.told), state)
