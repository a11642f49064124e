"""Guardians and children over JMAP, with the gateway before junior-guard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from tests.conformance.jmap_client import CORE, JmapClient, basic
from tests.integration.delivery_world import DOMAIN, ONLY, PASSWORD, DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.conftest import Family
from tests.ports import offset_of

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.junior_guard.v1 import schools_pb2, schools_pb2_grpc
from petitbleu.store.v1 import accept_pb2
from petitbleu_dev.stack import Stack

FAMILY = "urn:uuid:e91ff085-bb45-4d10-a459-fa4eed8e0217"
PASSES = accept_pb2.AuthenticationVerdicts(from_authenticated=True)
EVE, PAL = "eve@else.test", "pal@else.test"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("served") / "data", offset_of(502), only=f"{ONLY},ingest,gateway"
    ) as stack:
        yield stack


@pytest.fixture
async def world(served: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(served) as made:
        yield made


class Person:
    """Somebody at the gateway."""

    def __init__(self, stack: Stack, address: str) -> None:
        url = f"http://127.0.0.1:{stack.port('http')}"
        self.client = JmapClient(url, address, PASSWORD)
        # from a device of its own: a password alone opens no door
        made = httpx.post(f"{url}/api/session", headers=basic(address, PASSWORD), json={}, timeout=30).json()
        self.client.http.headers["Authorization"] = f"Bearer {made['token']}"
        self.id = self.client.account

    def answer(self, method: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        call = [method, {"accountId": self.id, **arguments}, "c"]
        name, result, _ = self.client.responses(call, using=(CORE, FAMILY))[0]
        return name, result

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        name, result = await asyncio.to_thread(self.answer, method, **arguments)
        assert name == method, result
        return result

    async def fails(self, method: str, **arguments: Any) -> str:
        name, result = await asyncio.to_thread(self.answer, method, **arguments)
        assert name == "error", result
        return str(result["type"])


class People:
    """Makes people, and closes their connections."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._made: list[Person] = []

    async def __call__(self, address: str) -> Person:
        self._made.append(await asyncio.to_thread(Person, self._stack, address))
        return self._made[-1]

    def close(self) -> None:
        for one in self._made:
            one.client.http.close()


@pytest.fixture
def person(served: Stack) -> Iterator[People]:
    made = People(served)
    yield made
    made.close()


async def test_the_session_tells_of_families(person: People, family: Family) -> None:
    mother = await person(family.mother)
    assert mother.client.session["capabilities"][FAMILY] == {}
    assert mother.client.session["primaryAccounts"][FAMILY] == mother.id


async def test_a_guardian_decides_and_the_child_has_the_mail(
    world: DeliveryWorld, person: People, family: Family
) -> None:
    mother, father, child = [await person(one) for one in (family.mother, family.father, family.child)]
    await world.settled(await world.accept(family.child, mail_from=EVE, count=2, verdicts=PASSES))
    (mine,) = (await mother.call("GuardedChild/get"))["list"]
    assert (mine["id"], mine["level"], set(mine["guardianIds"])) == (child.id, 2, {mother.id, father.id})
    waits = await father.call("WaitingSender/get", childId=child.id)
    (sender,) = waits["list"]
    assert (sender["address"], sender["isConfirmed"], sender["messages"]) == (EVE, True, 2)
    decision = {"childId": child.id, "id": sender["id"], "action": "deliverAndApprove"}
    done = await mother.call("WaitingSender/decide", **decision)
    assert (done["messages"], done["decidedBy"], done["decidedAction"]) == (2, mother.id, "deliverAndApprove")
    late = await father.call("WaitingSender/decide", **decision)
    assert (late["messages"], late["decidedBy"]) == (0, mother.id)
    for _ in range(100):
        if len(await world.messages(family.child_id)) == 2:
            break
        await asyncio.sleep(0.1)
    assert len(await world.messages(family.child_id)) == 2
    entries = (await father.call("GuardAudit/get", childId=child.id, limit=3))["list"]
    assert {(one["actor"], one["action"], one["address"]) for one in entries} == {
        (mother.id, "mail-deliver-and-approve", EVE), (mother.id, "approve", EVE), (father.id, "approve", EVE),
    }  # fmt: skip


async def test_who_comes_from_a_new_device_waits_and_the_other_stops_it(
    served: Stack, person: People, family: Family
) -> None:
    mother, father, child = [await person(one) for one in (family.mother, family.father, family.child)]
    url = f"http://127.0.0.1:{served.port('http')}"
    thief = await person(family.mother)  # a second device
    approve = {"childId": child.id, "address": PAL, "action": "approve"}
    said = await thief.call("Correspondent/say", **approve)
    assert said["correspondent"] is None
    assert said["waitsUntil"] > "2026"
    level = await thief.call("GuardedChild/setLevel", childId=child.id, level=4)
    assert (level["level"], level["waitsUntil"] is None) == (None, False)
    waits = (await father.call("PendingChange/get", childId=child.id))["list"]
    assert {(one["by"], one["kind"], one["about"]) for one in waits} == {
        (mother.id, "voice", PAL),
        (mother.id, "level", "4"),
    }
    # neither does the password alone open a door
    bare = JmapClient(url, family.mother, PASSWORD)
    call = ["Correspondent/say", {"accountId": mother.id, **approve}, "c"]
    assert bare.responses(call, using=(CORE, FAMILY))[0][1]["waitsUntil"] is not None
    bare.http.close()
    for one in waits:
        await father.call("PendingChange/cancel", childId=child.id, id=one["id"])
        assert await father.fails("PendingChange/cancel", childId=child.id, id=one["id"]) == "invalidArguments"
    for wrong in ("", "x", "-1", "9" * 19, "9" * 30, "²"):
        assert await father.fails("PendingChange/cancel", childId=child.id, id=wrong) == "invalidArguments"
    assert await child.fails("PendingChange/get", childId=child.id) == "invalidArguments"
    assert (await mother.call("PendingChange/get", childId=child.id))["list"] == []
    assert (await mother.call("Correspondent/say", **approve))["correspondent"]["letIn"] is True


async def test_a_second_guardian_comes_by_invitation_and_goes_by_agreement(
    world: DeliveryWorld, person: People, family: Family
) -> None:
    mother, father, child = [await person(one) for one in (family.mother, family.father, family.child)]
    address, _ = await world.person("aunt")
    aunt = await person(address)
    assert (await mother.call("Guardian/invite", childId=child.id, address=address))["waitsUntil"] is None
    (mine,) = (await aunt.call("GuardianInvitation/get"))["list"]
    assert (mine["childId"], mine["invitedBy"]) == (child.id, mother.id)
    assert "address" not in mine
    (seen,) = (await father.call("Guardian/get", childId=child.id))["invitations"]
    assert (seen["id"], seen["address"]) == (mine["id"], address)
    for wrong in ("", "-1", "9" * 30):
        answer = {"childId": child.id, "id": wrong, "accept": True}
        assert await aunt.fails("GuardianInvitation/answer", **answer) == "invalidArguments"
    await aunt.call("GuardianInvitation/answer", childId=child.id, id=mine["id"], accept=True)
    (guarded,) = (await aunt.call("GuardedChild/get"))["list"]
    assert set(guarded["guardianIds"]) == {mother.id, father.id, aunt.id}
    leaving = {"childId": child.id, "guardianId": aunt.id}
    assert (await mother.call("Guardian/agreeToLeaving", **leaving))["isDone"] is False
    assert (await father.call("Guardian/get", childId=child.id))["leavings"] == [
        {"guardianId": aunt.id, "agreedBy": mother.id}
    ]
    await father.call("Guardian/forgetLeaving", **leaving)
    await mother.call("Guardian/agreeToLeaving", **leaving)
    assert (await aunt.call("Guardian/agreeToLeaving", **leaving))["isDone"] is True
    assert (await aunt.call("GuardedChild/get"))["list"] == []
    assert await mother.fails("Guardian/invite", childId=child.id, address="no address") == "invalidArguments"


async def test_a_child_asks_and_guardians_say(person: People, family: Family) -> None:
    mother, father, child = [await person(one) for one in (family.mother, family.father, family.child)]
    asked = await child.call("Correspondent/ask", address=PAL)
    assert asked["correspondent"] == {"address": PAL, "state": "asked", "letIn": False, "voices": []}
    said = await mother.call(
        "Correspondent/say", childId=child.id, address=PAL, action="approve", endsAt="2099-01-01T00:00:00Z"
    )
    assert (said["correspondent"]["state"], said["correspondent"]["letIn"]) == ("approved", True)
    assert {(one["by"], one["says"], one["endsAt"]) for one in said["correspondent"]["voices"]} == {
        (child.id, "asked", None), (mother.id, "approved", "2099-01-01T00:00:00Z"),
    }  # fmt: skip
    await father.call("Correspondent/say", childId=child.id, address=PAL, action="refuse")
    mine = await child.call("Correspondent/get", childId=child.id)
    assert mine["level"] == 2
    assert {one["address"]: one["state"] for one in mine["list"]} == {
        PAL: "refused", family.mother: "family", family.father: "family",
    }  # fmt: skip
    assert all(one["voices"] == [] for one in mine["list"])
    alike = {"childId": child.id, "address": "m0ther" + family.mother[6:], "action": "approve"}
    assert await mother.fails("Correspondent/say", **alike) == "forbidden"
    await mother.call("GuardedChild/setLevel", childId=child.id, level=3)
    assert (await mother.call("GuardedChild/get"))["list"][0]["level"] == 3


async def test_absurd_arguments_are_refused_and_nothing_breaks(person: People, family: Family) -> None:
    mother, child = await person(family.mother), await person(family.child)
    for level in (0, -1, 5, 1 << 31, 1 << 53, 2.5, "2", None, True):
        assert await mother.fails("GuardedChild/setLevel", childId=child.id, level=level) == "invalidArguments"
    for date in ("0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "2026-13-01T00:00:00Z", "", 7):
        given = {"childId": child.id, "address": PAL, "action": "approve", "endsAt": date}
        assert await mother.fails("Correspondent/say", **given) == "invalidArguments"
    for text in ("", "x" * 100_000, "a@b\0c", "a@b\r\nBcc: c@d", "\u202ea@b.test"):
        assert await child.fails("Correspondent/ask", address=text) == "invalidArguments"
    for limit in (-1, 1 << 53, "1"):
        assert await mother.fails("GuardAudit/get", childId=child.id, limit=limit) == "invalidArguments"
    assert await mother.fails("GuardedChild/setLevel", childId="a" * 300, level=2) == "invalidArguments"


async def test_nobody_else_hears_or_decides_anything(world: DeliveryWorld, person: People, family: Family) -> None:
    stranger, child = await person((await world.person("x"))[0]), await person(family.child)
    await world.settled(await world.accept(family.child, mail_from=EVE, verdicts=PASSES))
    calls: dict[str, dict[str, Any]] = {
        "GuardedChild/setLevel": {"level": 4},
        "WaitingSender/get": {},
        "WaitingSender/decide": {"id": "cAAAA", "action": "deliverOnce"},
        "Correspondent/say": {"address": EVE, "action": "approve"},
        "GuardAudit/get": {},
        "PendingChange/get": {},
        "PendingChange/cancel": {"id": "1"},
        "Guardian/get": {},
        "Guardian/invite": {"address": EVE},
        "Guardian/withdraw": {"id": "1"},
        "Guardian/agreeToLeaving": {"guardianId": child.id},
        "Guardian/forgetLeaving": {"guardianId": child.id},
        "GuardianInvitation/answer": {"id": "1", "accept": True},
    }
    for who in (stranger, child):
        for method, arguments in calls.items():
            assert await who.fails(method, childId=child.id, **arguments) == "invalidArguments"
    assert await stranger.fails("Correspondent/get", childId=child.id) == "invalidArguments"
    assert await stranger.fails("Correspondent/ask", address=EVE) == "forbidden"
    assert (await stranger.call("GuardedChild/get"))["list"] == []
    assert await stranger.fails("GuardedChild/get", accountId=child.id) in {
        "accountNotFound", "accountNotSupportedByMethod",
    }  # fmt: skip
    for sender in ("", "c", "x", "c!", "cé", "u===="):
        mother = await person(family.mother)
        decision = {"childId": child.id, "id": sender, "action": "refuse"}
        assert await mother.fails("WaitingSender/decide", **decision) == "invalidArguments"
    assert await world.messages(family.child_id) == []


async def test_a_class_over_jmap(person: People, world: DeliveryWorld, family: Family) -> None:
    made = accounts_pb2.NewAccount(
        address=f"teacher{family.child_id}@{DOMAIN}", password=PASSWORD, roles=[accounts_pb2.ROLE_TEACHER]
    )
    account = (
        (await world.admin("CreateAccounts", accounts_pb2.CreateAccountsRequest(accounts=[made]))).results[0].account
    )
    stub, tenant = schools_pb2_grpc.SchoolServiceStub, account.tenant_id
    wanted = schools_pb2.SchoolClass(name="CM2", ends_at_ms=int(time.time() * 1000) + 86_400_000)
    put = schools_pb2.PutClassRequest(tenant_id=tenant, school_class=wanted)
    class_id = (await world.call("junior-guard", "operator", stub, "PutClass", put)).class_id
    members = [
        schools_pb2.ClassMember(address=account.address, role=schools_pb2.CLASS_ROLE_TEACHER),
        schools_pb2.ClassMember(address=family.child, role=schools_pb2.CLASS_ROLE_CHILD),
    ]
    roster = schools_pb2.PutRosterRequest(tenant_id=tenant, class_id=class_id, members=members)
    await world.call("junior-guard", "operator", stub, "PutRoster", roster)

    teacher, mother = await person(account.address), await person(family.mother)
    (one,) = (await teacher.call("SchoolClass/get"))["list"]
    assert (one["id"], one["name"], one["children"], one["teachers"]) == (str(class_id), "CM2", 1, 1)
    found = await teacher.call("SchoolClass/members", id=one["id"])
    assert {(each["address"], each["role"]) for each in found["list"]} == {
        (account.address, "teacher"), (family.child, "child"),
    }  # fmt: skip
    child = (await mother.call("GuardedChild/get"))["list"][0]["id"]
    (offered,) = (await mother.call("SchoolClass/get", childId=child))["list"]
    assert (offered["teacherAddresses"], offered["isApproved"]) == ([account.address], False)
    done = await mother.call("SchoolClass/say", childId=child, id=one["id"], action="approve")
    assert done["waitsUntil"] is None
    assert (await mother.call("SchoolClass/get", childId=child))["list"][0]["isApproved"]
    # the class is the guardians' to approve, its members its teachers' to see
    assert await teacher.fails("SchoolClass/get", childId=child) == "invalidArguments"
    assert await teacher.fails("SchoolClass/say", childId=child, id=one["id"], action="approve") == "invalidArguments"
    assert await mother.fails("SchoolClass/get") == "invalidArguments"
    assert await mother.fails("SchoolClass/members", id=one["id"]) == "invalidArguments"
    assert await mother.fails("SchoolClass/say", childId=child, id="7", action="approve") == "invalidArguments"
    pupil = await person(family.child)
    for more in ({}, {"childId": child}):
        assert await pupil.fails("SchoolClass/get", **more) == "invalidArguments"
    assert await pupil.fails("SchoolClass/say", childId=child, id=one["id"], action="approve") == "invalidArguments"
    assert await pupil.fails("SchoolClass/members", id=one["id"]) == "invalidArguments"
