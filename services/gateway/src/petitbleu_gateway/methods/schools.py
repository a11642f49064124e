"""Classes of schools over JMAP: an extension of ours (ADR 34, ADR 53), by what junior-guard answers."""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol

from petitbleu.junior_guard.v1 import family_pb2
from petitbleu.junior_guard.v1 import schools_pb2 as pb
from petitbleu_gateway.domain.email_view import date_or_none, utc_date
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.family import (
    VOICES,
    ChildArguments,
    child_number,
    child_of,
    row_number,
    told,
)
from petitbleu_gateway.ports import Identity

_NONE: Final = "no such class"
_ROLES: Final = {pb.CLASS_ROLE_CHILD: "child", pb.CLASS_ROLE_TEACHER: "teacher"}


class ClassGet(AccountArguments, kw_only=True):
    """Arguments of SchoolClass/get."""

    child_id: str | None = None


class ClassOf(AccountArguments, kw_only=True):
    """Arguments of SchoolClass/members."""

    id: str


class ClassSay(ChildArguments, kw_only=True):
    """Arguments of SchoolClass/say."""

    id: str
    action: Literal["approve", "refuse", "takeBack"]


class Schools(Protocol):
    """junior-guard, for classes. Raises grpc.aio.AioRpcError as it answered."""

    async def classes(self, who: Identity) -> pb.ListClassesResponse:
        """Give the classes that a person teaches in or administers."""

    async def members(self, who: Identity, request: pb.ListRosterRequest) -> pb.ListRosterResponse:
        """Give the members of one."""

    async def of_child(
        self, who: Identity, request: pb.ListClassesOfChildRequest
    ) -> pb.ListClassesOfChildResponse:  # fmt: skip
        """Give a child's classes to a guardian."""

    async def say(
        self, who: Identity, request: family_pb2.SetGroupVoiceRequest
    ) -> family_pb2.SetGroupVoiceResponse:  # fmt: skip
        """Say something of a class as a guardian."""


class SchoolMethods:
    """The methods.

    Args:
        schools: junior-guard.
    """

    def __init__(self, schools: Schools) -> None:
        self._schools = schools

    @told
    async def get(self, context: Context, arguments: ClassGet) -> dict[str, Any]:
        """SchoolClass/get: a child's classes for its guardians; without a child those that the person teaches in or administers."""
        if arguments.child_id is None:
            found = await self._schools.classes(context.person)
            return {"accountId": arguments.account_id, "list": [_class(one) for one in found.classes]}
        request = pb.ListClassesOfChildRequest(account_id=child_number(arguments.child_id))
        offered = await self._schools.of_child(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "list": [
                {
                    **_class(one.school_class),
                    "teacherAddresses": list(one.teachers),
                    "isApproved": one.approved,
                    "isRefused": one.refused,
                }
                for one in offered.classes
            ],
        }

    @told
    async def members(self, context: Context, arguments: ClassOf) -> dict[str, Any]:
        """SchoolClass/members: for its teachers and the tenant's administrators."""
        request = pb.ListRosterRequest(class_id=row_number(arguments.id, _NONE))
        found = await self._schools.members(context.person, request)
        return {
            "accountId": arguments.account_id,
            "id": arguments.id,
            "list": [{"address": one.address, "role": _ROLES.get(one.role)} for one in found.members],
        }

    @told
    async def say(self, context: Context, arguments: ClassSay) -> dict[str, Any]:
        """SchoolClass/say: a guardian's voice for one child; an approval ends with the school year."""
        request = family_pb2.SetGroupVoiceRequest(
            account_id=child_of(arguments), group_id=row_number(arguments.id, _NONE), action=VOICES[arguments.action]
        )
        done = await self._schools.say(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "id": arguments.id,
            "waitsUntil": date_or_none(done.waits_until_ms),
        }


def _class(one: pb.SchoolClass) -> dict[str, Any]:
    return {
        "id": str(one.class_id),
        "name": one.name,
        "endsAt": utc_date(one.ends_at_ms),
        "children": one.children,
        "teachers": one.teachers,
    }
