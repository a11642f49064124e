"""`petitbleu junior class`."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.junior_guard.v1 import schools_pb2 as pb
from petitbleu.junior_guard.v1 import schools_pb2_grpc
from petitbleu_cli.failure import Failure
from petitbleu_cli.office import Office
from petitbleu_cli.options import Commands
from petitbleu_cli.roster_csv import MAX_OCTETS, RosterError, parse_roster

_ROLES: Final = {"child": pb.CLASS_ROLE_CHILD, "teacher": pb.CLASS_ROLE_TEACHER}
_WORDS: Final = {number: word for word, number in _ROLES.items()}
_FAULTS: Final = {
    pb.ROSTER_FAULT_MALFORMED: "not a mail address",
    pb.ROSTER_FAULT_TWICE: "the account is in an earlier line",
    pb.ROSTER_FAULT_NOT_HERE: "no account of the tenant with this role has this address",
    pb.ROSTER_FAULT_FULL: "the child is in as many classes as it may be",
}


def _stub(office: Office) -> schools_pb2_grpc.SchoolServiceAsyncStub:
    return schools_pb2_grpc.SchoolServiceStub(office.peer("junior-guard").channel)


def last_day(text: str) -> datetime:
    """Return the end of a day (UTC), the last of a school year."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("a day is written 2027-07-03") from None


async def _tenant(office: Office, name: str) -> int:
    stub = accounts_pb2_grpc.AdminServiceStub(office.peer("accounts").channel)
    found = await office.call("accounts", stub.ListTenants, accounts_pb2.ListTenantsRequest())
    for tenant in found.tenants:
        if tenant.name == name:
            return tenant.tenant_id
    raise Failure("no such tenant")


async def _put(office: Office, options: Namespace) -> None:
    wanted = pb.SchoolClass(
        class_id=options.class_id, name=options.name, ends_at_ms=int(options.ends.timestamp() * 1000)
    )
    request = pb.PutClassRequest(tenant_id=await _tenant(office, options.tenant), school_class=wanted)
    done = await office.call("junior-guard", _stub(office).PutClass, request)
    office.answer({"class_id": done.class_id, "name": options.name}, [f"class {options.name} is {done.class_id}"])


async def _list(office: Office, options: Namespace) -> None:
    request = pb.ListClassesRequest(tenant_id=await _tenant(office, options.tenant))
    found = await office.call("junior-guard", _stub(office).ListClasses, request)
    rows = [
        {
            "class_id": one.class_id, "name": one.name, "children": one.children, "teachers": one.teachers,
            "ends": datetime.fromtimestamp(one.ends_at_ms / 1000, UTC).isoformat(),
        }
        for one in sorted(found.classes, key=lambda one: (one.name, one.class_id))
    ]  # fmt: skip
    office.table(rows, ["class_id", "name", "ends", "children", "teachers"])


async def _delete(office: Office, options: Namespace) -> None:
    request = pb.DeleteClassRequest(tenant_id=await _tenant(office, options.tenant), class_id=options.class_id)
    await office.call("junior-guard", _stub(office).DeleteClass, request)
    office.answer({"class_id": options.class_id}, ["the class is no more"])


async def _members(office: Office, options: Namespace) -> None:
    request = pb.ListRosterRequest(tenant_id=await _tenant(office, options.tenant), class_id=options.class_id)
    found = await office.call("junior-guard", _stub(office).ListRoster, request)
    rows = [{"address": one.address, "role": _WORDS[one.role]} for one in found.members]
    office.table(rows, ["address", "role"])


async def _roster(office: Office, options: Namespace) -> None:
    try:
        members = parse_roster(await asyncio.to_thread(_read, options.file))
    except OSError as error:
        raise Failure(f"the file cannot be read: {error.strerror}") from None
    except RosterError as error:
        raise Failure(f"nothing was changed: {error}") from None
    request = pb.PutRosterRequest(
        tenant_id=await _tenant(office, options.tenant), class_id=options.class_id,
        members=[pb.ClassMember(address=one.address, role=_ROLES[one.role]) for one in members],
    )  # fmt: skip
    done = await office.call("junior-guard", _stub(office).PutRoster, request)
    if done.bad_rows:
        said = "; ".join(
            f"line {members[bad.index].line}: {_FAULTS.get(bad.fault, 'refused')}" for bad in done.bad_rows
        )
        raise Failure(f"nothing was changed: {said}")
    office.answer({"class_id": options.class_id, "members": len(members)}, [f"the class has {len(members)} members"])


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_OCTETS + 1)


def _of_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="the school's tenant, by name")


def add_to_junior(junior: Commands) -> None:
    """Add the commands to `petitbleu junior`."""
    classes = junior.group("class", "classes of schools, with teachers and children")
    put = classes.add("put", "make a class, or change name and end of one", _put)
    put.add_argument("name")
    put.add_argument("--ends", type=last_day, required=True, help="last day of the school year, such as 2027-07-03")
    put.add_argument("--class", dest="class_id", type=int, default=0, help="the class to change, by its number")
    _of_tenant(put)
    _of_tenant(classes.add("list", "list the classes that are not over", _list))
    delete = classes.add("delete", "end a class at once and forget it", _delete)
    listed = classes.add("members", "list the members of a class", _members)
    roster = classes.add("roster", "replace the members of a class by those of a file", _roster)
    for parser in (delete, listed, roster):
        parser.add_argument("class_id", type=int, metavar="class", help="the class's number")
        _of_tenant(parser)
    roster.add_argument("file", type=Path, help="CSV (UTF-8): address,role or name,address,role")
