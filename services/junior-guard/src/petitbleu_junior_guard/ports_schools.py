"""What the use cases of classes need of the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from petitbleu_junior_guard.domain.correspondents import Spoken
from petitbleu_junior_guard.domain.schools import Pupil, Rank, RosterFault
from petitbleu_junior_guard.ports import Actor, Correspondent


class Manager(msgspec.Struct, frozen=True):
    """Who changes classes of a tenant, and by what right."""

    actor: Actor
    rank: Rank


class ClassRow(msgspec.Struct, frozen=True):
    """A class as it is kept; the name is sealed under its own id."""

    class_id: int
    sealed_name: bytes
    ends_at: datetime
    children: int = 0
    teachers: int = 0


class MemberRow(msgspec.Struct, frozen=True):
    """A member of a class; `sealed` is the address, under the class's seal."""

    account_id: int
    is_teacher: bool
    sealed: bytes


class Copy(msgspec.Struct, frozen=True):
    """A member as one child's records have it."""

    one: Correspondent
    is_teacher: bool


class OfferedRow(msgspec.Struct, frozen=True):
    """A class that a child is in, and what is said of it."""

    row: ClassRow
    teachers: Sequence[bytes]
    spoken: Sequence[Spoken]


class Copier(Protocol):
    """Seals what a class keeps for one of its children."""

    def name(self, account_id: int, row: ClassRow) -> bytes:
        """Seal a class's name for a child."""
        ...

    def members(self, account_id: int, class_id: int, rows: Sequence[MemberRow]) -> list[Copy]:
        """Seal a class's other members for a child."""
        ...


class Schools(Protocol):
    """Keeps classes, and each child's copy of them. Each call raises `GuardError`: DATABASE_AWAY, NO_CLASS."""

    async def put_class(self, manager: Manager, row: ClassRow, *, is_new: bool, copier: Copier, now: datetime) -> None:
        """Make a class, or change name and end of one. TOO_MANY."""
        ...

    async def list_classes(self, manager: Manager, now: datetime) -> list[ClassRow]:
        """Give the classes of a tenant that are not over, to a teacher those in which they teach."""
        ...

    async def delete_class(self, manager: Manager, class_id: int) -> None:
        """Forget a class."""
        ...

    async def put_roster(
        self, manager: Manager, class_id: int, members: Sequence[MemberRow], copier: Copier, now: datetime
    ) -> Mapping[int, RosterFault]:
        """Replace the members of a class; the accounts that cannot be in it, and then nothing changed. CLASS_OVER, TEACHERS_STAY."""
        ...

    async def roster(self, manager: Manager, class_id: int) -> list[MemberRow]:
        """Give the members of a class."""
        ...

    async def of_child(self, account_id: int, actor: Actor, now: datetime) -> list[OfferedRow]:
        """Give a child's classes that are not over to a guardian. NOT_YOURS."""
        ...


class SchoolDirectory(Protocol):
    """accounts, as rosters need it. Each call raises `GuardError`: PEER_AWAY."""

    async def pupils(self, addresses: Sequence[str]) -> list[Pupil | None]:
        """Find the accounts that have addresses as their own and work, in order."""
        ...
