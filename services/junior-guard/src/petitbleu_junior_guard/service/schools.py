"""Classes: an administrator of the tenant or the operator makes them, teachers keep their rosters, guardians approve them.

A class opens nothing by itself. What it opens, once a guardian approves it, ends with the school year: by the time alone, whatever runs or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from petitbleu_junior_guard.domain.rules import canonical
from petitbleu_junior_guard.domain.schools import (
    MAX_MEMBERS,
    MAX_YEAR,
    ClassRole,
    Rank,
    RosterFault,
    RosterRow,
    judge_roster,
)
from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.domain.voices import AGAINST, approval, holds
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor
from petitbleu_junior_guard.ports_schools import ClassRow, Manager, MemberRow, SchoolDirectory
from petitbleu_junior_guard.ports_schools import Schools as Rows
from petitbleu_junior_guard.service.class_copies import SealedCopies
from petitbleu_junior_guard.service.guard import Clock, utc_now
from petitbleu_kit.ids import new_row_id

MAX_NAME: Final = 100


class SchoolClass(msgspec.Struct, frozen=True):
    """A class, for those who may know of it."""

    class_id: int
    name: str
    ends_at: datetime
    children: int
    teachers: int


class Member(msgspec.Struct, frozen=True):
    """A member of a class."""

    address: str
    role: ClassRole


class Offered(msgspec.Struct, frozen=True):
    """A class of a child, for its guardians."""

    school_class: SchoolClass
    teachers: Sequence[str]
    is_approved: bool
    is_refused: bool


class Schools:
    """The use cases. Each raises `GuardError`: DATABASE_AWAY, and NO_CLASS for a class that is not there or not the manager's.

    Args:
        rows: What is kept.
        directory: Knows accounts.
        seal: Seals names and addresses.
        clock: The time by which classes end.
    """

    def __init__(self, rows: Rows, directory: SchoolDirectory, seal: Seal, clock: Clock = utc_now) -> None:
        self._rows = rows
        self._directory = directory
        self._seal = seal
        self._copies = SealedCopies(seal)
        self._clock = clock

    def _sure(self, manager: Manager) -> None:
        # A new member is let in to the children of an approved class, so this opens a door (ADR 52); there is nobody to ask meanwhile.
        if manager.actor.cooling_until > self._clock().timestamp():
            raise GuardError(Fault.NOT_SURE)

    async def put_class(self, manager: Manager, class_id: int, name: str, ends_at: datetime | None) -> int:
        """Make a class (id 0), or change its name and end; its id. BAD_REQUEST, NOT_SURE, TOO_MANY."""
        now = self._clock()
        if ends_at is None or not now < ends_at <= now + MAX_YEAR or class_id < 0:
            raise GuardError(Fault.BAD_REQUEST)
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise GuardError(Fault.BAD_REQUEST)
        if manager.rank is Rank.TEACHER:
            raise GuardError(Fault.NO_CLASS)
        self._sure(manager)
        known = class_id or new_row_id()
        row = ClassRow(known, self._seal.seal(known, name), ends_at)
        await self._rows.put_class(manager, row, is_new=not class_id, copier=self._copies, now=now)
        return known

    async def classes(self, manager: Manager) -> list[SchoolClass]:
        """Give the classes that are not over."""
        return [self._shown(row) for row in await self._rows.list_classes(manager, self._clock())]

    def _shown(self, row: ClassRow) -> SchoolClass:
        name = self._seal.open(row.class_id, row.sealed_name)
        return SchoolClass(row.class_id, name, row.ends_at, row.children, row.teachers)

    async def delete_class(self, manager: Manager, class_id: int) -> None:
        """Forget a class: its members are let in no more. It only closes, so nobody waits for it."""
        if manager.rank is Rank.TEACHER:
            raise GuardError(Fault.NO_CLASS)
        await self._rows.delete_class(manager, class_id)

    async def put_roster(
        self, manager: Manager, class_id: int, members: Sequence[tuple[str, int]]
    ) -> dict[int, RosterFault]:
        """Replace the members of a class, given as addresses with numbers of roles; what is wrong, by index, and then nothing changed.

        Raises:
            GuardError: also BAD_REQUEST, NOT_SURE, CLASS_OVER, TEACHERS_STAY, PEER_AWAY.
        """
        if len(members) > MAX_MEMBERS or class_id <= 0:
            raise GuardError(Fault.BAD_REQUEST)
        self._sure(manager)
        await self._rows.roster(manager, class_id)  # before anything is said of addresses
        roles = set(ClassRole)
        rows = [
            RosterRow(canonical(address), ClassRole(role) if role in roles else None) for address, role in members
        ]  # fmt: skip
        asked = [row.address for row in rows if row.address is not None]
        pupils = dict(zip(asked, await self._directory.pupils(asked) if asked else [], strict=True))
        found = [pupils.get(row.address) if row.address is not None else None for row in rows]
        taken, bad = judge_roster(rows, found, manager.actor.tenant_id)
        if bad:
            return bad
        refused = await self._rows.put_roster(
            manager, class_id,
            [MemberRow(one.account_id, one.is_teacher, self._seal.seal(class_id, one.address)) for one in taken],
            self._copies, self._clock(),
        )  # fmt: skip
        return {one.index: refused[one.account_id] for one in taken if one.account_id in refused}

    async def roster(self, manager: Manager, class_id: int) -> list[Member]:
        """Give the members of a class, by address."""
        found = [
            Member(self._seal.open(class_id, row.sealed), ClassRole.TEACHER if row.is_teacher else ClassRole.CHILD)
            for row in await self._rows.roster(manager, class_id)
        ]
        return sorted(found, key=lambda one: one.address)

    async def of_child(self, account_id: int, actor: Actor) -> list[Offered]:
        """Give a child's classes to a guardian; NOT_YOURS."""
        now = self._clock()
        found = []
        for one in await self._rows.of_child(account_id, actor, now):
            voices = [spoken.voice for spoken in one.spoken]
            found.append(
                Offered(
                    self._shown(one.row), sorted(self._seal.open(one.row.class_id, sealed) for sealed in one.teachers),
                    holds(approval(voices), now), any(voice.kind in AGAINST for voice in voices),
                )
            )  # fmt: skip
        return found
