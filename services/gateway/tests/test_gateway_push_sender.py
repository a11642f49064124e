"""Who posts what and when: slices, accounts that are due, outcomes, and what happens when others are away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
from hypothesis import given
from hypothesis import strategies as st

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_gateway.service.push_due import DueAccounts
from petitbleu_gateway.service.push_sender import Posted, PushSender, Verdict, back_off

ALL = range(32)


class Away(grpc.aio.AioRpcError):
    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "away", "")


class World:
    """Accounts, store and a push service, as far as the sender knows them."""

    def __init__(self) -> None:
        self.slices: Sequence[int] = ALL
        self.rows: dict[int, pb.PushTarget] = {}
        self.state: dict[int, AccountState] = {}
        self.posts: list[tuple[int, dict[str, Any]]] = []
        self.verdicts: dict[int, list[Posted]] = {}
        self.away = False
        self.recorded: list[pb.PushOutcome] = []
        self.released = 0
        self.connections = 1
        self.pause = 0.0

    def subscribe(self, account: int, *, verified: bool = True, told: int = 1, **fields: Any) -> None:
        self.rows[account] = pb.PushTarget(
            account_id=account, subscription_id=account, url="https://x.example/", verified=verified,
            told=pb.PushTold(modseq=told, last_id=1), expires_at=int(time.time()) + 600,
            verification_code="" if verified else "code", **fields,
        )  # fmt: skip
        self.state.setdefault(account, AccountState(1, 1))

    async def states(self, account_ids: Sequence[int]) -> Mapping[int, AccountState]:
        self._answer()
        return {one: self.state[one] for one in account_ids if one in self.state}

    def _answer(self) -> None:
        if self.away:
            raise Away

    async def hold(self, holder: str, *, release: bool) -> tuple[Sequence[int], float]:
        self.released += release
        self._answer()
        return self.slices, 0.4

    async def accounts(self, slice_number: int, after: int) -> Sequence[pb.PushAccount]:
        self._answer()
        if slice_number:
            return []
        rows = sorted((one, row) for one, row in self.rows.items() if one > after)
        return [
            pb.PushAccount(account_id=one, told=row.told if row.verified else None, unverified=not row.verified)
            for one, row in rows
        ]

    async def targets(self, account_ids: Sequence[int], server_key: bytes) -> Sequence[pb.PushTarget]:
        self._answer()
        return [self.rows[one] for one in account_ids if one in self.rows]

    async def record(self, outcomes: Sequence[pb.PushOutcome]) -> None:
        self._answer()
        self.recorded += outcomes
        for one in outcomes:
            row = self.rows[one.account_id]
            if one.gone:
                del self.rows[one.account_id]
            elif one.HasField("told"):
                row.told.CopyFrom(one.told)
                row.failures = 0
            elif one.verification:
                del self.rows[one.account_id]  # nothing is to be posted until it is verified
            else:
                row.failures += 1
                row.next_try_at = time.time() + one.retry_after

    async def post(self, target: pb.PushTarget, body: bytes, types: Sequence[str]) -> Posted:
        self.posts.append((target.account_id, json.loads(body)))
        await asyncio.sleep(self.pause)
        verdicts = self.verdicts.get(target.account_id)
        return verdicts.pop(0) if verdicts else Posted(Verdict.DELIVERED)

    def change(self, sender: PushSender, account: int) -> None:
        state = self.state[account]
        self.state[account] = AccountState(state.modseq + 1, state.last_id)
        sender.heard(account)


@contextlib.asynccontextmanager
async def sending(world: World, fold: float = 0.05) -> AsyncIterator[PushSender]:
    sender = PushSender(world, world, world, b"key", lambda: world.connections, fold)
    task = asyncio.create_task(sender.run())
    await asyncio.sleep(0.05)
    try:
        yield sender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Any, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_was_missed_is_posted_when_a_slice_becomes_ours() -> None:
    world = World()
    world.subscribe(1, told=1)
    world.subscribe(2, told=1)
    world.state[2] = AccountState(9, 1)
    world.subscribe(3, verified=False)
    async with sending(world):
        await until(lambda: len(world.recorded) == 2)
    assert sorted(account for account, _ in world.posts) == [2, 3]
    assert {said["@type"] for _, said in world.posts} == {"StateChange", "PushVerification"}
    assert world.rows[2].told.modseq == 9
    assert world.released == 1


async def test_a_burst_is_few_posts_and_the_last_state_is_told() -> None:
    world = World()
    world.subscribe(1)
    async with sending(world, 0.1) as sender:
        for _ in range(60):
            world.change(sender, 1)
            await asyncio.sleep(0.005)
        await until(lambda: world.rows[1].told.modseq == 61)
    assert 2 <= len(world.posts) <= 7


async def test_what_changes_while_it_is_posted_is_posted_after_it() -> None:
    world = World()
    world.subscribe(1)
    world.pause = 0.1
    async with sending(world) as sender:
        world.change(sender, 1)
        await until(lambda: world.posts)
        world.change(sender, 1)
        await until(lambda: world.rows[1].told.modseq == 3)
    assert len(world.posts) == 2


async def test_failures_are_tried_again_later_and_later_and_what_is_gone_is_destroyed() -> None:
    world = World()
    world.subscribe(1)
    world.verdicts[1] = [Posted(Verdict.LATER, 0.05), Posted(Verdict.FAILED, 99), Posted(Verdict.GONE)]
    async with sending(world) as sender:
        world.change(sender, 1)
        await until(lambda: world.rows[1].failures == 1)
        assert world.recorded[-1].retry_after == 99
        world.change(sender, 1)
        await asyncio.sleep(0.2)
        assert len(world.posts) == 2  # not before its time
        world.rows[1].next_try_at = 0
        world.change(sender, 1)
        await until(lambda: 1 not in world.rows)
    assert back_off(0) < back_off(1) < back_off(5) < back_off(40) <= 6 * 3600


async def test_rfc8620_8_6_a_verification_is_tried_three_times_at_most() -> None:
    world = World()
    world.subscribe(1, verified=False, failures=2)
    world.verdicts[1] = [Posted(Verdict.FAILED)]
    async with sending(world):
        await until(lambda: world.recorded)
    assert world.recorded[0].gone


async def test_slices_of_others_are_left_to_them() -> None:
    world = World()
    world.slices = ()
    world.subscribe(1)
    async with sending(world) as sender:
        world.change(sender, 1)
        sender.subscribed(1)
        await asyncio.sleep(0.2)
        assert not world.posts
        world.slices = ALL
        await until(lambda: world.posts)
        world.slices = ()
        await asyncio.sleep(0.25)
        assert sender.accounts == 0
        world.change(sender, 1)
        await asyncio.sleep(0.1)
        assert len(world.posts) == 1


async def test_while_accounts_is_away_nothing_is_posted_and_nothing_is_lost() -> None:
    world = World()
    world.subscribe(1)
    async with sending(world) as sender:
        world.away = True
        await asyncio.sleep(0.5)
        assert sender.accounts == 0  # somebody else may hold the slices by now
        world.change(sender, 1)
        world.away = False
        await until(lambda: world.rows[1].told.modseq == 2)


async def test_what_the_bus_did_not_tell_is_found_when_it_is_away_and_when_it_comes_back() -> None:
    world = World()
    world.subscribe(1)
    world.connections = 0
    async with sending(world):
        world.state[1] = AccountState(5, 1)
        await until(lambda: world.rows[1].told.modseq == 5)
        world.connections = 7
        world.state[1] = AccountState(6, 1)
        await until(lambda: world.rows[1].told.modseq == 6)


async def test_a_state_of_no_interest_is_noted_and_not_posted() -> None:
    world = World()
    world.subscribe(1, types=pb.PushTypes(names=["EmailDelivery"]))
    async with sending(world) as sender:
        world.change(sender, 1)
        await until(lambda: world.recorded)
    assert not world.posts
    assert world.rows[1].told.modseq == 2


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["heard", "take", "done", "drop", "add"])), max_size=60))
def test_no_account_is_looked_at_twice_at_once_and_none_is_forgotten(steps: list[tuple[int, str]]) -> None:
    async def play() -> None:
        due = DueAccounts(0.0)
        due.hold(ALL)
        busy: set[int] = set()
        owed: set[int] = set()
        known: set[int] = set()
        for account, step in steps:
            if step == "add":
                due.add(account)
                known.add(account)
            elif step == "heard":
                due.heard(account)
                if account in known:
                    owed.add(account)
            elif step == "take":
                taken = due.take(2)
                assert not busy & set(taken)
                busy |= set(taken)
                owed -= set(taken)
            elif account in busy:
                if step == "drop" and account not in owed:
                    due.drop(account)
                    known.discard(account)
                due.done(account, told=False, next_at=None)
                busy.discard(account)
        for account in list(busy):
            due.done(account, told=False, next_at=None)
        assert owed <= set(due.take(100))

    asyncio.run(play())
