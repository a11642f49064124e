"""Push subscriptions over gRPC against a real PostgreSQL: whose they are, when they end, and who posts."""

from __future__ import annotations

import time
from typing import Any

from petitbleu.accounts.v1 import accounts_pb2, push_pb2, push_pb2_grpc

from .test_accounts_credentials import GOOD, session_call

KEY = b"the key of the sender"
URL = "https://push.example/secret"
OK = push_pb2.PUSH_STATUS_OK


async def call(world: Any, method: str, principal: str = "", **fields: Any) -> Any:
    peer = world.peer("gateway")
    request = getattr(push_pb2, f"{method}Request")(**fields)
    stub = push_pb2_grpc.PushServiceStub(peer.channel)
    return await peer.call(getattr(stub, method), request, timeout=10, principal=principal or None)


async def person(world: Any, name: str = "alice") -> tuple[int, str]:
    made = (await world.create(address=f"{name}@one.test", password=GOOD)).account
    who = await world.authenticate(login=f"{name}@one.test", password=GOOD, protocol="jmap")
    return made.account_id, who.principal


async def update(world: Any, principal: str, *updates: Any, key: bytes = KEY) -> list[Any]:
    told = push_pb2.PushTold(modseq=5, last_id=2)
    answer = await call(world, "UpdatePushSubscriptions", principal, updates=updates, told=told, server_key=key)
    return list(answer.results)


async def create(world: Any, principal: str, **fields: Any) -> Any:
    new = push_pb2.PushSubscriptionUpdate(device_client_id="device", url=URL, **fields)
    (result,) = await update(world, principal, new)
    assert result.status == OK
    return result.subscription


async def targets(world: Any, *account_ids: int, key: bytes = KEY) -> list[Any]:
    return list((await call(world, "GetPushTargets", account_ids=account_ids, server_key=key)).targets)


async def listed(world: Any, principal: str, key: bytes = KEY) -> list[int]:
    found = await call(world, "ListPushSubscriptions", principal, server_key=key)
    return [one.subscription_id for one in found.subscriptions]


async def test_rfc8620_7_2_2_a_subscription_is_verified_by_the_code_that_was_posted(world: Any) -> None:
    account, principal = await person(world)
    keys = push_pb2.PushKeys(p256dh=b"p" * 65, auth=b"a" * 16)
    made = await create(world, principal, keys=keys, types=push_pb2.PushTypes(names=["Email"]))
    assert made.verification_code == ""
    assert abs(made.expires_at - time.time() - 7 * 86_400) < 10
    (target,) = await targets(world, account)
    assert (target.url, target.keys, list(target.types.names), target.verified) == (URL, keys, ["Email"], False)
    assert len(target.verification_code) == 32
    identity = {"subscription_id": made.subscription_id}
    for code, status in (("", 3), ("x" * 32, 3), ("\ud7ff", 3), (target.verification_code, OK)):
        change = push_pb2.PushSubscriptionUpdate(verification_code=code, **identity)
        (result,) = await update(world, principal, change)
        assert result.status == status
    assert result.subscription.verification_code == target.verification_code
    (target,) = await targets(world, account)
    assert (target.verified, target.verification_code, target.told.modseq, target.told.last_id) == (True, "", 5, 2)


async def test_rfc8620_7_2_subscriptions_are_seen_and_changed_by_their_credential_only(world: Any) -> None:
    account, principal = await person(world)
    password = (await world.admin("CreateAppPassword", address="alice@one.test")).password
    by_app = (await world.authenticate(login="alice@one.test", password=password, protocol="jmap")).principal
    token = (await session_call(world, "CreateSession", principal)).token
    by_session = (await world.authenticate(bearer=token)).principal
    _, stranger = await person(world, "bob")
    made = {who: (await create(world, who)).subscription_id for who in (principal, by_app, by_session)}
    assert len(await targets(world, account)) == 3
    for who, subscription in made.items():
        assert await listed(world, who) == [subscription]
        for other in {*made, stranger} - {who}:
            for change in (
                push_pb2.PushSubscriptionUpdate(subscription_id=subscription, destroy=True),
                push_pb2.PushSubscriptionUpdate(subscription_id=subscription, expires_at=0),
            ):
                (result,) = await update(world, other, change)
                assert result.status == push_pb2.PUSH_STATUS_NOT_FOUND
    # the end of the credential is theirs
    session = (await world.authenticate(bearer=token)).session_id
    await session_call(world, "RevokeSession", by_session, session_id=session)
    assert {one.subscription_id for one in await targets(world, account)} == {made[principal], made[by_app]}
    await world.admin("SetPassword", address="alice@one.test", password="another good one")
    assert [one.subscription_id for one in await targets(world, account)] == [made[by_app]]
    await world.admin("SetAccountState", address="alice@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    assert not await targets(world, account)
    assert await world.sql("SELECT 1 FROM push_subscription") == []


async def test_a_session_that_ended_by_itself_ends_its_subscriptions(world: Any) -> None:
    account, principal = await person(world)
    token = (await session_call(world, "CreateSession", principal)).token
    await create(world, (await world.authenticate(bearer=token)).principal)
    assert len(await targets(world, account)) == 1
    await world.sql("UPDATE session SET idle_ends_at = now() - interval '1 second'")
    assert not await targets(world, account)


async def test_rfc9749_5_another_key_of_the_sender_ends_what_was_made_under_the_old_one(world: Any) -> None:
    account, principal = await person(world)
    made = await create(world, principal)
    assert await listed(world, principal) == [made.subscription_id]
    assert await listed(world, principal, key=b"new") == []
    assert await targets(world, account, key=b"new") == []
    assert await targets(world, account) == []


async def test_rfc8620_8_6_an_account_has_few_subscriptions_and_makes_few(idle_world: Any) -> None:
    async with idle_world.running(push_subscriptions_account=3, push_made_per_hour=5) as _:
        await idle_world.admin("CreateTenant", name="one")
        await idle_world.admin("CreateDomain", tenant="one", name="one.test")
        _, principal = await person(idle_world)
        new = push_pb2.PushSubscriptionUpdate(device_client_id="device", url=URL)
        many, limited = push_pb2.PUSH_STATUS_TOO_MANY, push_pb2.PUSH_STATUS_LIMITED
        found = await update(idle_world, principal, *[new] * 7)
        assert [result.status for result in found] == [OK, OK, OK, many, many, limited, limited]


async def test_outcomes_are_kept_and_never_lead_back(world: Any) -> None:
    account, principal = await person(world)
    made = await create(world, principal, expires_at=int(time.time()) + 300)
    who = {"account_id": account, "subscription_id": made.subscription_id}

    async def record(**fields: Any) -> Any:
        await call(world, "RecordPushes", outcomes=[push_pb2.PushOutcome(**who, **fields)])
        found = await targets(world, account)
        return found[0] if found else None

    after = await record(retry_after=60)
    assert (after.failures, after.told.modseq) == (1, 5)
    assert 50 < after.next_try_at - time.time() < 70
    code = after.verification_code
    assert await record(verification=True) is None  # it was posted, and is never posted again
    await update(
        world,
        principal,
        push_pb2.PushSubscriptionUpdate(verification_code=code, **{k: who[k] for k in ["subscription_id"]}),
    )
    after = await record(told=push_pb2.PushTold(modseq=9, last_id=1, submissions=4, scripts=7, vacation=6))
    assert (after.failures, after.next_try_at, after.told.modseq, after.told.last_id) == (0, 0, 9, 2)
    assert (after.told.submissions, after.told.scripts, after.told.vacation) == (4, 7, 6)
    after = await record(told=push_pb2.PushTold(modseq=3, last_id=3, vacation=7))
    assert (after.told.scripts, after.told.vacation) == (7, 7)
    assert (after.told.modseq, after.told.last_id) == (9, 3)
    (page,) = [
        one
        for number in range(32)
        for one in (await call(world, "ListPushAccounts", slice=number)).accounts
    ]  # fmt: skip
    assert (page.told.submissions, page.told.scripts, page.told.vacation) == (4, 7, 7)
    assert (page.account_id, page.told.modseq, page.told.last_id, page.unverified) == (account, 9, 3, False)
    assert await record(gone=True) is None
    assert await world.sql("SELECT 1 FROM push_subscription") == []


async def test_each_slice_has_one_sender_and_a_dead_one_is_replaced(world: Any) -> None:
    async def hold(name: str, *, release: bool = False) -> set[int]:
        return set((await call(world, "HoldPushSlices", holder=name, release=release)).slices)

    assert await hold("a") == set(range(32))
    assert await hold("b") == set()  # nobody is robbed
    first = await hold("a")
    second = await hold("b")
    assert len(first) == len(second) == 16
    assert not first & second
    assert await hold("a", release=True) == set()
    assert await hold("b") == set(range(32))
    await world.sql("UPDATE push_sender SET until = now() - interval '1 second'")
    await world.sql("UPDATE push_slice SET until = now() - interval '1 second'")
    assert await hold("c") == set(range(32))
