"""Classes of schools: who may be in one, and who may change one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Final

import msgspec

MAX_MEMBERS: Final = 100
MAX_CLASSES: Final = 10_000
"""Of a tenant, that are not over."""
MAX_CLASSES_OF_CHILD: Final = 5
MAX_YEAR: Final = timedelta(days=400)


class ClassRole(IntEnum):
    """What a member is; the number is the contract's."""

    CHILD = 1
    TEACHER = 2


class RosterFault(IntEnum):
    """Why a row is not taken; the number is the contract's."""

    MALFORMED = 1
    TWICE = 2
    NOT_HERE = 3
    FULL = 4


class Rank(IntEnum):
    """By what right somebody changes classes."""

    OPERATOR = 1
    ADMINISTRATOR = 2
    TEACHER = 3


class RosterRow(msgspec.Struct, frozen=True):
    """Somebody who is to be in a class; `role` is None for a number that is none, `address` None for what is no address."""

    address: str | None
    role: ClassRole | None


class Pupil(msgspec.Struct, frozen=True):
    """An account that works, found by an address of its own; `address` is its main one."""

    account_id: int
    tenant_id: int
    address: str
    guarded: bool
    teaches: bool


class Taken(msgspec.Struct, frozen=True):
    """A row that may be taken."""

    index: int
    account_id: int
    address: str
    is_teacher: bool


def judge_roster(
    rows: Sequence[RosterRow], found: Sequence[Pupil | None], tenant_id: int
) -> tuple[list[Taken], dict[int, RosterFault]]:
    """Return the rows that may be taken, and the others by index with why.

    Only children and teachers of the tenant: an account elsewhere, an alias or somebody who is no teacher would be let in to all children
    of the class. All of these have the same fault, so that a roster tells nobody who has which account.
    """
    taken: list[Taken] = []
    bad: dict[int, RosterFault] = {}
    seen: set[int] = set()
    for index, (row, one) in enumerate(zip(rows, found, strict=True)):
        if row.address is None or row.role is None:
            bad[index] = RosterFault.MALFORMED
        elif one is None or one.tenant_id != tenant_id or not _fits(one, row.role):
            bad[index] = RosterFault.NOT_HERE
        elif one.account_id in seen:
            bad[index] = RosterFault.TWICE
        else:
            seen.add(one.account_id)
            taken.append(Taken(index, one.account_id, one.address, row.role is ClassRole.TEACHER))
    return taken, bad


def _fits(one: Pupil, role: ClassRole) -> bool:
    return one.guarded if role is ClassRole.CHILD else one.teaches and not one.guarded
