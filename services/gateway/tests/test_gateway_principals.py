"""RFC 9670: people are found by their addresses, not listed by guessing them; what is told of shares that are kept otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.conformance.jmap_people import MemoryPeople
from tests.conformance.jmap_store import MemoryStore, person_identity

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import sharing_pb2
from petitbleu_gateway.domain.shares import read_shares, rights_object, told_otherwise
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context, MethodLimits, run_calls
from petitbleu_gateway.jmap.envelope import CORE, PRINCIPALS, Request
from petitbleu_gateway.jmap.session import SessionLimits, session_object
from petitbleu_gateway.methods.registry import build_registry
from petitbleu_gateway.ports import Identity, Profile
from petitbleu_gateway.service.shared_accounts import SharedAccounts

ME, MY_ID = person_identity(101), ids.account_id_text(101)
OWNER_ID = ids.account_id_text(102)
LIMITS = SessionLimits(1, 2, 3, 4, 5, 6, 7, 8, 9)
READ, ADD = pb.MAILBOX_RIGHT_READ_ITEMS, pb.MAILBOX_RIGHT_ADD_ITEMS


class Tenant:
    """A tenant of three people, of whom the second shares with the first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.shared = SharedAccounts(self, self, lambda: self.now, lookups=12)

    async def received(self, who: Identity) -> Sequence[sharing_pb2.ReceivedShare]:
        return [sharing_pb2.ReceivedShare(account_id=102, rights=READ, subscribed=True)]

    async def notifications(self, who: Identity) -> sharing_pb2.ListNotificationsResponse:
        return sharing_pb2.ListNotificationsResponse()

    async def dismiss(
        self, who: Identity, notification_ids: Sequence[int], if_modseq: int
    ) -> sharing_pb2.DismissNotificationsResponse:
        return sharing_pb2.DismissNotificationsResponse()

    async def profiles(self, account_ids: Sequence[int]) -> Sequence[Profile]:
        found = (101, 102, 103)
        return [
            Profile(one, ME.tenant_id, f"{one}@x.test", str(one), active=True, guarded=False)
            for one in account_ids
            if one in found
        ]

    async def reached(self, address: str) -> Sequence[int]:
        self.asked.append(address)
        name = address.partition("@")[0]
        return [int(name)] if name.isdigit() else []


async def call(tenant: Tenant, method: str, who: Identity = ME, **arguments: Any) -> tuple[str, dict[str, Any]]:
    limits = MethodLimits(500, 500, 1000, 1 << 20, 1 << 20, 1 << 20, 1 << 20)
    context = Context(who, MemoryStore(), limits, MemoryPeople(), shared=tenant.shared, session_limits=LIMITS)
    account = ids.account_id_text(who.account_id)
    request = Request(using=[CORE, PRINCIPALS], method_calls=[(method, {"accountId": account, **arguments}, "0")])
    (written,) = await run_calls(build_registry(), request, context)
    name, result, _ = msgspec.json.decode(bytes(written))
    return name, result


def any_of(*addresses: str) -> dict[str, Any]:
    return {"operator": "OR", "conditions": [{"email": one} for one in addresses]}


async def test_rfc9670_2_4_nobody_lists_a_tenant_by_its_addresses() -> None:
    tenant = Tenant()
    name, found = await call(
        tenant, "Principal/query", filter=any_of("103@x.test", *(f"a{n}@x.test" for n in range(9)))
    )
    assert (name, found["ids"]) == ("Principal/query", ["P103"])
    name, found = await call(tenant, "Principal/query", filter=any_of(*(f"b{n}@x.test" for n in range(9))))
    assert (name, found["type"]) == ("error", "serverUnavailable")
    assert len(tenant.asked) == 12
    other = person_identity(103)
    assert (await call(tenant, "Principal/query", other, filter={"email": "102@x.test"}))[1]["ids"] == ["P102"]
    tenant.now += 5
    assert (await call(tenant, "Principal/query", filter={"email": "103@x.test"}))[1]["ids"] == ["P103"]
    assert (await call(tenant, "Principal/query", filter={"email": "103@x.test"}))[0] == "error"


async def test_rfc9670_2_a_principal_s_accounts_are_those_of_the_session() -> None:
    tenant = Tenant()
    session = session_object(ME, "https://x.test", LIMITS, await tenant.shared.of(ME))
    _, found = await call(tenant, "Principal/get", ids=None)
    accounts = {one["id"]: one["accounts"] for one in found["list"]}
    assert accounts == {
        "P101": {MY_ID: session["accounts"][MY_ID]},
        "P102": {OWNER_ID: session["accounts"][OWNER_ID]},
    }


FULL = rights_object(READ)


@pytest.mark.parametrize(
    ("current", "given", "told"),
    [
        ({}, {(): {"P5": FULL}}, {}),
        ({}, {(): {"P5": {"mayReadItems": True}}}, {"shareWith": {"P5": FULL}}),
        ({5: READ}, {(): None}, {}),
        ({5: READ}, {(): {}}, {"shareWith": None}),
        ({5: READ}, {("P5",): None}, {"shareWith": None}),
        ({5: READ, 6: READ}, {("P5",): None}, {}),
        ({6: READ}, {("P5",): FULL}, {}),
        ({6: READ}, {("P5",): {"mayReadItems": True}}, {"shareWith": {"P5": FULL, "P6": FULL}}),
        ({5: READ}, {("P5", "mayAddItems"): True}, {}),
        ({5: READ | ADD}, {("P5", "mayAddItems"): None}, {"shareWith": {"P5": FULL}}),
    ],
)
def test_rfc8620_5_3_share_with_is_told_when_it_is_kept_otherwise(
    current: dict[int, int], given: dict[tuple[str, ...], Any], told: dict[str, Any]
) -> None:
    update = pb.MailboxUpdate()
    read_shares(update, current, given)
    assert told_otherwise(update, current, given) == told
