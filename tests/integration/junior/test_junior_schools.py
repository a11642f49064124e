"""Classes of schools: they open nothing until a guardian says so, nothing to anybody else, and nothing after the school year."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import grpc
import pytest
from tests.integration.delivery_world import DOMAIN, PASSWORD, DeliveryWorld, submit
from tests.integration.junior.conftest import Family
from tests.integration.junior.hands import Hands, refused

from petitbleu.accounts.v1 import accounts_pb2
from petitbleu.junior_guard.v1 import family_pb2, junior_guard_pb2, junior_guard_pb2_grpc, schools_pb2_grpc
from petitbleu.junior_guard.v1 import schools_pb2 as pb
from petitbleu_cli.__main__ import _run
from petitbleu_kit.identity import Principal, principal_claims
from petitbleu_kit.ids import new_blob_id

NOT_FOUND = grpc.StatusCode.NOT_FOUND
FAILED = grpc.StatusCode.FAILED_PRECONDITION
DAY_MS = 86_400_000
DAY = 86_400.0
CHILD, TEACHER = pb.CLASS_ROLE_CHILD, pb.CLASS_ROLE_TEACHER
_numbers = itertools.count(1)


class Person(NamedTuple):
    """Somebody with an account."""

    address: str
    account_id: int
    tenant_id: int


async def person(world: DeliveryWorld, *roles: accounts_pb2.Role.ValueType, domain: str = DOMAIN) -> Person:
    wanted = accounts_pb2.NewAccount(address=f"school{next(_numbers)}@{domain}", password=PASSWORD, roles=roles)
    made = await world.admin("CreateAccounts", accounts_pb2.CreateAccountsRequest(accounts=[wanted]))
    assert made.results[0].error == ""
    account = made.results[0].account
    world._tenants[account.account_id] = account.tenant_id
    return Person(account.address, account.account_id, account.tenant_id)


class School:
    """A tenant's class with a teacher, and everybody's hands on it."""

    def __init__(self, world: DeliveryWorld, hands: Hands, head: Person, teacher: Person) -> None:
        self.world, self.hands, self.head, self.teacher = world, hands, head, teacher
        self.class_id = 0

    async def ask(
        self, method: str, request: Any, who: Person | int, roles: Sequence[str] = (), *, caller: str = "gateway",
        cooling: float = 0, guarded: bool = False,
    ) -> Any:  # fmt: skip
        account, tenant = (who, self.head.tenant_id) if isinstance(who, int) else who[1:]
        until = int(time.time() + cooling) if cooling else 0
        claims = principal_claims(Principal(account, tenant, ("person", *roles), 0, guarded, cooling_until=until))
        principal = self.world.signer("accounts").sign("petitbleu", claims, 60)
        return await self.world.call(
            "junior-guard", caller, schools_pb2_grpc.SchoolServiceStub, method, request, principal
        )

    async def as_head(self, method: str, request: Any, **more: Any) -> Any:
        return await self.ask(method, request, self.head, ["tenant-admin"], **more)

    async def as_teacher(self, method: str, request: Any, **more: Any) -> Any:
        return await self.ask(method, request, self.teacher, ["teacher"], **more)

    async def put(self, name: str = "CM2", days: float = 100, class_id: int = 0) -> int:
        ends = int(time.time() * 1000 + days * DAY_MS)
        wanted = pb.SchoolClass(class_id=class_id, name=name, ends_at_ms=ends)
        done = await self.as_head("PutClass", pb.PutClassRequest(school_class=wanted))
        return int(done.class_id)

    def roster(self, *members: tuple[str, pb.ClassRole.ValueType], class_id: int = 0) -> pb.PutRosterRequest:
        return pb.PutRosterRequest(
            class_id=class_id or self.class_id,
            members=[pb.ClassMember(address=address, role=role) for address, role in members],
        )

    async def fill(self, *children: str, class_id: int = 0) -> list[tuple[int, int]]:
        """Have the head put children in the class, beside its teacher; the bad rows."""
        members = [(self.teacher.address, TEACHER), *((one, CHILD) for one in children)]
        done = await self.as_head("PutRoster", self.roster(*members, class_id=class_id))
        return [(bad.index, bad.fault) for bad in done.bad_rows]

    async def say(self, guardian: int, child: int, action: str = "APPROVE", class_id: int = 0, **more: Any) -> Any:
        request = family_pb2.SetGroupVoiceRequest(
            account_id=child,
            group_id=class_id or self.class_id,
            action=family_pb2.VoiceAction.Value(f"VOICE_ACTION_{action}"),
        )
        return await self.hands.ask(guardian, "SetGroupVoice", request, **more)

    async def offered(self, guardian: int, child: int) -> list[pb.OfferedClass]:
        found = await self.ask("ListClassesOfChild", pb.ListClassesOfChildRequest(account_id=child), guardian)
        return list(found.classes)

    async def listed(self) -> set[int]:
        found = await self.as_head("ListClasses", pb.ListClassesRequest())
        return {one.class_id for one in found.classes}

    async def passes(self, child: int, address: str, *, local: bool = True, authenticated: bool = True) -> bool:
        item = junior_guard_pb2.CheckItem(
            account_id=child, accepted_id=new_blob_id(1, 0).bytes, mail_from=address, header_from=address,
            authenticated=authenticated, local=local,
        )  # fmt: skip
        stub = junior_guard_pb2_grpc.GuardServiceStub
        done = await self.world.call(
            "junior-guard", "delivery", stub, "Check", junior_guard_pb2.CheckRequest(items=[item])
        )
        return bool(done.decisions[0].verdict == junior_guard_pb2.VERDICT_DELIVER)

    async def leaves(self, child: int, address: str) -> bool:
        item = junior_guard_pb2.OutgoingItem(account_id=child, accepted_id=new_blob_id(1, 0).bytes, address=address)
        request = junior_guard_pb2.CheckOutgoingRequest(items=[item])
        stub = junior_guard_pb2_grpc.GuardServiceStub
        done = await self.world.call("junior-guard", "delivery", stub, "CheckOutgoing", request)
        return bool(done.verdicts[0] == junior_guard_pb2.VERDICT_DELIVER)

    async def level(self, child: int, level: int) -> None:
        request = junior_guard_pb2.SetLevelRequest(account_id=child, level=level)
        await self.world.guard_admin("SetLevel", request)


@pytest.fixture
async def school(world: DeliveryWorld, hands: Hands) -> School:
    head = await person(world, accounts_pb2.ROLE_TENANT_ADMIN)
    made = School(world, hands, head, await person(world, accounts_pb2.ROLE_TEACHER))
    made.class_id = await made.put()
    return made


@pytest.fixture
async def mate(world: DeliveryWorld) -> Family:
    """Another family's child."""
    mother, father = await world.person("mother"), await world.person("father")
    return Family(*await world.person("mate", guarded=True, guardians=(mother[0],)), *mother, *father)


async def test_a_class_opens_nothing_until_a_guardian_approves_it(
    school: School, family: Family, mate: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child, teacher = family.child_id, school.teacher.address
    await school.level(child, 3)
    assert await school.fill(family.child, mate.child) == []
    (offer,) = await school.offered(family.mother_id, child)
    one = offer.school_class
    assert (one.class_id, one.name, one.children, one.teachers) == (school.class_id, "CM2", 2, 1)
    assert (list(offer.teachers), offer.approved, offer.refused) == ([teacher], False, False)
    members = "SELECT count(*) FROM circle_member WHERE account_id = $1"
    assert await own.fetchval(members, child) == 0  # the child's records know nobody of the class yet
    for address in (teacher, mate.child):
        assert not await school.passes(child, address)
        assert not await school.leaves(child, address)

    await school.say(family.mother_id, child)
    assert (await school.offered(family.father_id, child))[0].approved
    for address in (teacher, mate.child):
        assert await school.passes(child, address)
        assert await school.leaves(child, address)
    # that concerns this child alone: the other one's guardian said nothing
    await school.level(mate.child_id, 3)
    assert not await school.passes(mate.child_id, family.child)
    assert not await school.passes(mate.child_id, teacher)

    # a refusal outweighs the approval, and what the class knew is forgotten
    await school.say(family.father_id, child, "REFUSE")
    assert (await school.offered(family.mother_id, child))[0].refused
    assert not await school.passes(child, mate.child)
    assert await own.fetchval(members, child) == 0
    known = await school.hands.ask(
        family.mother_id, "ListCorrespondents", family_pb2.ListCorrespondentsRequest(account_id=child)
    )
    assert {found.address for found in known.correspondents} == {family.mother, family.father}
    await school.say(family.father_id, child, "TAKE_BACK")
    assert await school.passes(child, mate.child)


async def test_at_level_2_teachers_tell_a_class_something_and_nobody_writes_back(
    school: School, family: Family, mate: Family
) -> None:
    child, teacher = family.child_id, school.teacher.address
    await school.fill(family.child, mate.child)
    assert not await school.passes(child, teacher)
    await school.say(family.mother_id, child)
    assert await school.passes(child, teacher)
    assert not await school.passes(child, teacher, local=False)  # it came from outside, whatever was found out about it
    assert not await school.passes(child, teacher, authenticated=False)
    assert not await school.passes(child, mate.child)  # groups are for level 3
    assert not await school.leaves(child, teacher)
    await school.level(child, 1)
    assert not await school.passes(child, teacher)
    await school.level(child, 2)
    await school.hands.say(family.father_id, child, teacher, "REFUSE")
    assert not await school.passes(child, teacher)


async def test_what_a_teacher_sends_is_filed_and_what_says_it_is_a_teachers_is_held(
    world: DeliveryWorld, school: School, family: Family
) -> None:
    child, teacher = family.child_id, school.teacher
    await school.fill(family.child)
    await school.say(family.mother_id, child)
    _, sent = await submit(world, teacher.account_id, teacher.address, family.child)
    forged = await world.accept(family.child, mail_from=teacher.address, authenticated=True)
    await world.settled([sent, *forged])
    assert len(await world.messages(child)) == 1


async def test_when_the_school_year_is_over_so_is_the_class(
    school: School, family: Family, mate: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child = family.child_id
    await school.level(child, 3)
    await school.fill(family.child, mate.child)
    await school.say(family.mother_id, child)
    assert await school.passes(child, mate.child)
    ended = [
        ("standing", "grouped_until"), ("standing", "taught_until"), ("circle", "school_ends_at"), ("voice", "ends_at"),
    ]  # fmt: skip
    for table, column in ended:  # as if it were the day after: nothing else is done, and what has no end has none
        await own.execute(
            f"UPDATE {table} SET {column} = {column} - interval '101 days' WHERE account_id = $1 AND {column} IS NOT NULL", child
        )  # fmt: skip
    await own.execute(
        "UPDATE school_class SET ends_at = ends_at - interval '101 days' WHERE class_id = $1", school.class_id
    )
    for address in (school.teacher.address, mate.child):
        assert not await school.passes(child, address)
        assert not await school.leaves(child, address)
    assert await school.offered(family.mother_id, child) == []
    assert await refused(school.say(family.mother_id, child)) is NOT_FOUND
    groups = await school.hands.ask(
        family.mother_id, "ListGroups", family_pb2.ListGroupsRequest(account_id=child)
    )  # fmt: skip
    assert list(groups.groups) == []
    again = school.as_head("PutRoster", school.roster((family.child, CHILD)))
    assert await refused(again) is FAILED
    assert school.class_id not in await school.listed()


async def test_an_approval_is_for_the_year_that_the_guardian_saw(
    school: School, family: Family, mate: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child = family.child_id
    await school.fill(family.child, mate.child)
    await school.say(family.mother_id, child)
    until = "SELECT max(grouped_until) FROM standing WHERE account_id = $1"
    before = await own.fetchval(until, child)
    assert before is not None
    await school.put("CM2 b", 300, school.class_id)  # longer
    assert await own.fetchval(until, child) == before
    (offer,) = await school.offered(family.mother_id, child)
    assert (offer.school_class.name, offer.approved) == ("CM2 b", True)
    await school.put("CM2 b", 10, school.class_id)  # shorter
    assert await own.fetchval(until, child) < before


async def test_only_children_and_teachers_of_the_tenant_are_members(
    world: DeliveryWorld, school: School, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    tenant = f"other{next(_numbers)}"
    await world.admin("CreateTenant", accounts_pb2.CreateTenantRequest(name=tenant))
    elsewhere = f"elsewhere{next(_numbers)}.test"
    await world.admin("CreateDomain", accounts_pb2.CreateDomainRequest(tenant=tenant, name=elsewhere))
    foreign = await person(world, accounts_pb2.ROLE_TEACHER, domain=elsewhere)
    adult, _ = await world.person("adult")
    nick = f"nick{family.child_id}@{DOMAIN}"
    await world.alias(nick, family.child)
    await world.alias(f"all{family.child_id}@{DOMAIN}", family.child, adult)
    strangers = [
        ("stranger@else.test", CHILD), ("stranger@else.test", TEACHER), (f"nobody@{DOMAIN}", CHILD), (foreign.address, TEACHER),
        (adult, CHILD), (adult, TEACHER), (family.child, TEACHER), (school.teacher.address, CHILD), (nick, CHILD),
        (f"all{family.child_id}@{DOMAIN}", CHILD), (family.child.replace("@", "+x@"), CHILD),
    ]  # fmt: skip
    await school.fill(family.child)
    for stranger in strangers:
        for ask in (school.as_head, school.as_teacher):
            members = [(school.teacher.address, TEACHER), (family.child, CHILD), stranger]
            done = await ask("PutRoster", school.roster(*members))
            assert [(bad.index, bad.fault) for bad in done.bad_rows] == [(2, pb.ROSTER_FAULT_NOT_HERE)], stranger
    members = [
        (school.teacher.address, TEACHER),
        ("no address", CHILD),
        (family.child, CHILD),
        (family.child.upper(), CHILD),
    ]
    done = await school.as_head("PutRoster", school.roster(*members))
    assert [(bad.index, bad.fault) for bad in done.bad_rows] == [
        (1, pb.ROSTER_FAULT_MALFORMED), (3, pb.ROSTER_FAULT_TWICE),
    ]  # fmt: skip
    done = await school.as_head(
        "PutRoster", pb.PutRosterRequest(class_id=school.class_id, members=[pb.ClassMember(address=family.child)])
    )
    assert [bad.fault for bad in done.bad_rows] == [pb.ROSTER_FAULT_MALFORMED]
    assert await own.fetchval("SELECT count(*) FROM class_member WHERE class_id = $1", school.class_id) == 2


async def test_nobody_else_has_a_hand_in_a_class(world: DeliveryWorld, school: School, family: Family) -> None:
    await school.fill(family.child)
    class_id = school.class_id
    colleague = await person(world, accounts_pb2.ROLE_TEACHER)
    ends = int(time.time() * 1000 + DAY_MS)
    requests = {
        "PutClass": pb.PutClassRequest(school_class=pb.SchoolClass(class_id=class_id, name="x", ends_at_ms=ends)),
        "DeleteClass": pb.DeleteClassRequest(class_id=class_id),
        "PutRoster": school.roster((school.teacher.address, TEACHER)),
        "ListRoster": pb.ListRosterRequest(class_id=class_id),
    }
    assert {*requests, "ListClasses", "ListClassesOfChild"} == set(
        pb.DESCRIPTOR.services_by_name["SchoolService"].methods_by_name
    )
    foreign_head = Person("", school.head.account_id, school.head.tenant_id + 1)
    persons: tuple[tuple[Person | int, list[str], bool], ...] = (
        (colleague, ["teacher"], False), (family.mother_id, [], False), (family.child_id, [], True),
        (school.head, ["tenant-admin"], True), (foreign_head, ["tenant-admin"], False), (school.teacher, [], False),
        (Person("", school.teacher.account_id, school.head.tenant_id + 1), ["teacher"], False),
    )  # fmt: skip
    for method, request in requests.items():
        for who, roles, guarded in persons:
            asked = school.ask(method, request, who, roles, guarded=guarded)
            assert await refused(asked) is NOT_FOUND, (method, who, roles)
        for caller in ("delivery", "ingest", "accounts"):
            denied = school.as_head(method, request, caller=caller)
            assert await refused(denied) is grpc.StatusCode.PERMISSION_DENIED, (method, caller)
        stub = schools_pb2_grpc.SchoolServiceStub
        alone = world.call("junior-guard", "gateway", stub, method, request)  # nobody's principal
        assert await refused(alone) is NOT_FOUND, method
        assert await refused(world.call("junior-guard", "operator", stub, method, request)) is NOT_FOUND  # no tenant
    for method in ("PutClass", "DeleteClass"):
        assert await refused(school.as_teacher(method, requests[method])) is NOT_FOUND
    assert list((await school.ask("ListClasses", pb.ListClassesRequest(), colleague, ["teacher"])).classes) == []
    assert (
        list((await school.ask("ListClasses", pb.ListClassesRequest(), foreign_head, ["tenant-admin"])).classes) == []
    )
    assert [one.class_id for one in (await school.as_teacher("ListClasses", pb.ListClassesRequest())).classes] == [
        class_id
    ]
    # who is in a child's classes is for its guardians
    for who in (school.teacher.account_id, school.head.account_id, family.child_id):
        assert await refused(school.offered(who, family.child_id)) is NOT_FOUND
    assert class_id in await school.listed()


async def test_a_teacher_keeps_the_children_and_not_the_teachers(
    world: DeliveryWorld, school: School, family: Family, mate: Family
) -> None:
    await school.fill(family.child)
    colleague = await person(world, accounts_pb2.ROLE_TEACHER)
    own = (school.teacher.address, TEACHER)
    await school.as_teacher("PutRoster", school.roster(own, (mate.child, CHILD)))
    found = await school.as_teacher("ListRoster", pb.ListRosterRequest(class_id=school.class_id))
    assert {(one.address, one.role) for one in found.members} == {own, (mate.child, CHILD)}
    for members in ((own, (colleague.address, TEACHER)), ((mate.child, CHILD),), ((colleague.address, TEACHER),)):
        assert await refused(school.as_teacher("PutRoster", school.roster(*members))) is FAILED
    # another family's child: nothing without its own guardian, and its guardian is no other's
    await school.level(mate.child_id, 3)
    assert not await school.passes(mate.child_id, school.teacher.address)
    assert await refused(school.say(family.mother_id, mate.child_id)) is NOT_FOUND
    assert await refused(school.say(family.mother_id, family.child_id)) is NOT_FOUND  # who is in it no more


async def test_who_may_be_somebody_else_changes_no_class_but_ends_one(school: School, family: Family) -> None:
    await school.fill(family.child)
    ends = int(time.time() * 1000 + DAY_MS)
    wanted = pb.SchoolClass(class_id=school.class_id, name="x", ends_at_ms=ends)
    roster = school.roster((school.teacher.address, TEACHER))
    assert await refused(school.as_head("PutClass", pb.PutClassRequest(school_class=wanted), cooling=DAY)) is FAILED
    assert await refused(school.as_head("PutRoster", roster, cooling=DAY)) is FAILED
    assert await refused(school.as_teacher("PutRoster", roster, cooling=DAY)) is FAILED
    # nor does a guardian approve one: it waits
    assert (await school.say(family.mother_id, family.child_id, cooling=DAY)).waits_until_ms > 0
    assert not (await school.offered(family.mother_id, family.child_id))[0].approved
    await school.as_head("DeleteClass", pb.DeleteClassRequest(class_id=school.class_id), cooling=DAY)
    assert await school.offered(family.mother_id, family.child_id) == []


async def test_who_comes_and_goes_counts_at_once_in_an_approved_class(
    world: DeliveryWorld, school: School, family: Family, mate: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    child = family.child_id
    await school.level(child, 3)
    await school.fill(family.child)
    await school.say(family.mother_id, child)
    assert not await school.passes(child, mate.child)
    await school.fill(family.child, mate.child)
    assert await school.passes(child, mate.child)
    await school.hands.say(family.father_id, child, mate.child, "REFUSE")
    assert not await school.passes(child, mate.child)
    await school.hands.say(family.father_id, child, mate.child, "TAKE_BACK")
    await school.fill(family.child)
    assert not await school.passes(child, mate.child)
    # a guardian cannot put anybody in, or make it another group
    group = family_pb2.Group(
        group_id=school.class_id, kind=family_pb2.GROUP_KIND_CLASS, name="x", addresses=["a@b.test"]
    )
    request = family_pb2.PutGroupRequest(account_id=child, group=group)
    assert await refused(school.hands.ask(family.mother_id, "PutGroup", request)) is NOT_FOUND
    await school.fill()
    assert not await school.passes(child, school.teacher.address)
    await school.fill(family.child)
    assert not await school.passes(child, school.teacher.address)  # whoever comes back is asked for anew
    audit = await own.fetch("SELECT action FROM audit WHERE account_id = $1 AND action LIKE 'class-%'", child)
    assert sorted(row["action"] for row in audit) == [
        "class-changed", "class-changed", "class-joined", "class-joined", "class-left",
    ]  # fmt: skip


async def test_a_child_is_in_five_classes_and_the_sixth_says_so(school: School, family: Family, mate: Family) -> None:
    for _ in range(4):
        assert await school.fill(family.child, class_id=await school.put()) == []
    assert await school.fill(family.child) == []
    sixth = await school.put()
    assert await school.fill(mate.child, family.child, class_id=sixth) == [(2, pb.ROSTER_FAULT_FULL)]
    assert len(await school.offered(family.mother_id, family.child_id)) == 5
    assert await school.offered(mate.mother_id, mate.child_id) == []  # all or nothing
    assert list((await school.as_head("ListRoster", pb.ListRosterRequest(class_id=sixth))).members) == []


async def test_no_address_of_a_class_is_in_clear(
    school: School, family: Family, own: asyncpg.Connection[asyncpg.Record]
) -> None:
    await school.fill(family.child)
    await school.say(family.mother_id, family.child_id)
    for table in ("school_class", "class_member", "circle", "circle_member"):
        for row in await own.fetch(f"SELECT {table}::text AS text FROM {table}"):
            for secret in (family.child, school.teacher.address, "CM2"):
                assert secret not in row["text"]
                assert secret.encode().hex() not in row["text"]


async def test_a_class_that_is_none_is_refused(school: School) -> None:
    bad = grpc.StatusCode.INVALID_ARGUMENT
    now = int(time.time() * 1000)
    for name, ends in (("", now + DAY_MS), ("x" * 101, now + DAY_MS), ("a\nb", now + DAY_MS), ("x", now - 1), ("x", 0), ("x", now + 401 * DAY_MS)):  # fmt: skip
        wanted = pb.SchoolClass(name=name, ends_at_ms=ends)
        assert await refused(school.as_head("PutClass", pb.PutClassRequest(school_class=wanted))) is bad, (name, ends)
    many = school.roster(*((f"a{n}@{DOMAIN}", CHILD) for n in range(101)))
    assert await refused(school.as_head("PutRoster", many)) is bad


async def test_an_operator_makes_a_class_and_fills_it_from_a_file(
    world: DeliveryWorld, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PETITBLEU_DATA", str(world.stack.layout.data))
    teacher = await person(world, accounts_pb2.ROLE_TEACHER)

    async def petitbleu(*words: str) -> tuple[int, Any]:
        status = await _run(["junior", "class", *words, "--tenant", "route", "--json"])
        return status, json.loads(capsys.readouterr().out)

    ends = (datetime.now(UTC) + timedelta(days=200)).date().isoformat()
    status, made = await petitbleu("put", "CE1 Émeraude", "--ends", ends)
    assert status == 0
    number = str(made["class_id"])
    file = tmp_path / "roster.csv"
    rows = f"name;address;role\r\nMme Petit;{teacher.address};teacher\r\nZoé;{family.child};child\r\n"
    file.write_text(f"{rows};stranger@else.test;child\r\n", "utf-8-sig")
    status, said = await petitbleu("roster", number, str(file))
    assert (status, "line 4" in said["error"]) == (1, True)
    assert await petitbleu("members", number) == (0, [])  # nothing of it
    file.write_text(rows + ";nobody;child\r\n", "utf-8-sig")
    status, said = await petitbleu("roster", number, str(file))
    assert (status, "line 4: not a mail address" in said["error"]) == (1, True)
    file.write_text(rows, "utf-8-sig")
    assert await petitbleu("roster", number, str(file)) == (0, {"class_id": made["class_id"], "members": 2})
    found = [{"address": family.child, "role": "child"}, {"address": teacher.address, "role": "teacher"}]
    assert await petitbleu("members", number) == (0, found)
    listed = {one["class_id"]: one for one in (await petitbleu("list"))[1]}
    assert (listed[made["class_id"]]["name"], listed[made["class_id"]]["children"]) == ("CE1 Émeraude", 1)
    assert (await petitbleu("delete", number))[0] == 0
    assert (await petitbleu("delete", number))[0] == 1
