"""Translation between gRPC and the use cases: classes of schools."""

from __future__ import annotations

from petitbleu.junior_guard.v1 import schools_pb2 as pb
from petitbleu.junior_guard.v1 import schools_pb2_grpc
from petitbleu_junior_guard.domain.schools import Rank
from petitbleu_junior_guard.domain.voices import NOBODY
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.grpc_answers import Context, answered
from petitbleu_junior_guard.grpc_family import guardian, milliseconds, time_of
from petitbleu_junior_guard.ports import Actor
from petitbleu_junior_guard.ports_schools import Manager
from petitbleu_junior_guard.service.schools import SchoolClass, Schools
from petitbleu_kit.rpc import OPERATOR, caller


def manager(tenant_id: int) -> Manager:
    """Who changes classes: the operator, of the tenant that is named, or a person of their own.

    Raises:
        GuardError: NO_CLASS: a child, or whoever neither administers the tenant nor teaches.
    """
    found = caller()
    if found.service == OPERATOR:
        return Manager(Actor(NOBODY, tenant_id), Rank.OPERATOR)
    person = found.principal
    if person is None or person.guarded:
        raise GuardError(Fault.NO_CLASS)
    actor = Actor(person.account_id, person.tenant_id, person.cooling_until)
    if "tenant-admin" in person.roles:
        return Manager(actor, Rank.ADMINISTRATOR)
    if "teacher" in person.roles:
        return Manager(actor, Rank.TEACHER)
    raise GuardError(Fault.NO_CLASS)


def _class(one: SchoolClass) -> pb.SchoolClass:
    return pb.SchoolClass(
        class_id=one.class_id, name=one.name, ends_at_ms=milliseconds(one.ends_at), children=one.children,
        teachers=one.teachers,
    )  # fmt: skip


class SchoolServicer(schools_pb2_grpc.SchoolServiceServicer):
    """Answers the operator, administrators of tenants, teachers and guardians."""

    def __init__(self, schools: Schools) -> None:
        self._schools = schools

    @answered
    async def PutClass(self, request: pb.PutClassRequest, _context: Context) -> pb.PutClassResponse:
        """Make or change a class."""
        wanted = request.school_class
        return pb.PutClassResponse(
            class_id=await self._schools.put_class(
                manager(request.tenant_id), wanted.class_id, wanted.name, time_of(wanted.ends_at_ms)
            )
        )

    @answered
    async def ListClasses(self, request: pb.ListClassesRequest, _context: Context) -> pb.ListClassesResponse:
        """Give classes."""
        found = await self._schools.classes(manager(request.tenant_id))
        return pb.ListClassesResponse(classes=map(_class, found))

    @answered
    async def DeleteClass(self, request: pb.DeleteClassRequest, _context: Context) -> pb.DeleteClassResponse:
        """Forget a class."""
        await self._schools.delete_class(manager(request.tenant_id), request.class_id)
        return pb.DeleteClassResponse()

    @answered
    async def PutRoster(self, request: pb.PutRosterRequest, _context: Context) -> pb.PutRosterResponse:
        """Replace the members of a class."""
        members = [(one.address, int(one.role)) for one in request.members]
        bad = await self._schools.put_roster(manager(request.tenant_id), request.class_id, members)
        return pb.PutRosterResponse(
            bad_rows=[
                pb.BadRow(index=index, fault=pb.RosterFault.ValueType(int(fault)))
                for index, fault in sorted(bad.items())
            ]
        )

    @answered
    async def ListRoster(self, request: pb.ListRosterRequest, _context: Context) -> pb.ListRosterResponse:
        """Give the members of a class."""
        found = await self._schools.roster(manager(request.tenant_id), request.class_id)
        return pb.ListRosterResponse(
            members=[pb.ClassMember(address=one.address, role=pb.ClassRole.ValueType(int(one.role))) for one in found]
        )

    @answered
    async def ListClassesOfChild(
        self, request: pb.ListClassesOfChildRequest, _context: Context
    ) -> pb.ListClassesOfChildResponse:
        """Give a child's classes to a guardian."""
        found = await self._schools.of_child(request.account_id, guardian())
        return pb.ListClassesOfChildResponse(
            classes=[
                pb.OfferedClass(
                    school_class=_class(one.school_class), teachers=one.teachers, approved=one.is_approved,
                    refused=one.is_refused,
                )
                for one in found
            ]
        )  # fmt: skip
