"""The port `Schools` on PostgreSQL. A class's row is taken first, then its children's in the order of their partitions: one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters import class_circles
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, lock, or_away
from petitbleu_junior_guard.adapters.correspondents import guarded_by, spoken
from petitbleu_junior_guard.adapters.voices import subject_of
from petitbleu_junior_guard.domain.schools import MAX_CLASSES, Rank, RosterFault
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor
from petitbleu_junior_guard.ports_schools import ClassRow, Copier, Manager, MemberRow, OfferedRow
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

_LOCK: Final = """/* cold:junior-guard.class_lock */
SELECT tenant_id, sealed_name, ends_at FROM school_class WHERE partition = $1 AND class_id = $2 FOR UPDATE"""

_MAKE: Final = """/* cold:junior-guard.class_make */
INSERT INTO school_class (partition, class_id, tenant_id, sealed_name, ends_at) VALUES ($1, $2, $3, $4, $5)"""

_CHANGE: Final = """/* cold:junior-guard.class_change */
UPDATE school_class SET sealed_name = $3, ends_at = $4 WHERE partition = $1 AND class_id = $2"""

_DELETE: Final = "/* cold:junior-guard.class_delete */ DELETE FROM school_class WHERE partition = $1 AND class_id = $2"

_OUT: Final = "/* cold:junior-guard.class_out */ DELETE FROM class_member WHERE partition = $1 AND class_id = $2"

_IN: Final = """/* cold:junior-guard.class_in */
INSERT INTO class_member (partition, class_id, account_id, is_teacher, sealed)
SELECT $1, $2, account_id, teacher, sealed FROM unnest($3::bigint[], $4::boolean[], $5::bytea[]) AS i (account_id, teacher, sealed)"""

_COUNT: Final = (
    "/* cold:junior-guard.class_count */ SELECT count(*) FROM school_class WHERE tenant_id = $1 AND ends_at > $2"
)

# Classes lie in any partition, and a tenant's are asked for by people.
_CLASSES: Final = """/* cold:junior-guard.classes */
SELECT c.class_id, c.sealed_name, c.ends_at, count(m.account_id) FILTER (WHERE NOT m.is_teacher) AS children,
    count(m.account_id) FILTER (WHERE m.is_teacher) AS teachers
FROM school_class c LEFT JOIN class_member m ON m.partition = c.partition AND m.class_id = c.class_id
WHERE c.tenant_id = $1 AND c.ends_at > $2 AND ($3::bigint IS NULL OR EXISTS (SELECT 1 FROM class_member t
    WHERE t.partition = c.partition AND t.class_id = c.class_id AND t.account_id = $3 AND t.is_teacher))
GROUP BY c.partition, c.class_id LIMIT $4"""

_OFFERED: Final = """/* cold:junior-guard.classes_offered */
SELECT circle_id FROM circle WHERE partition = $1 AND account_id = $2 AND school_ends_at > $3 ORDER BY circle_id"""

_CLASS: Final = """/* cold:junior-guard.class */
SELECT sealed_name, ends_at FROM school_class WHERE partition = $1 AND class_id = $2"""


class RosterRefusedError(Exception):
    """Some accounts cannot be in a class: what was done is undone."""

    def __init__(self, accounts: Mapping[int, RosterFault]) -> None:
        super().__init__("accounts that cannot be in the class")
        self.accounts = accounts


async def _taken(connection: Connection, manager: Manager, class_id: int) -> tuple[ClassRow, list[MemberRow]]:
    """Take a class's row for who may manage it; the class and its members.

    Raises:
        GuardError: NO_CLASS, whether there is such a class or not.
    """
    row = await connection.fetchrow(_LOCK, partition_of_account(class_id), class_id)
    if row is None or row["tenant_id"] != manager.actor.tenant_id:
        raise GuardError(Fault.NO_CLASS)
    found = await class_circles.members(connection, class_id)
    if manager.rank is Rank.TEACHER and manager.actor.party not in _teachers(found):
        raise GuardError(Fault.NO_CLASS)
    return ClassRow(class_id, row["sealed_name"], row["ends_at"]), found


def _teachers(members: Iterable[MemberRow]) -> set[int]:
    return {one.account_id for one in members if one.is_teacher}


def _children(members: Iterable[MemberRow]) -> set[int]:
    return {one.account_id for one in members if not one.is_teacher}


def _in_order(accounts: Iterable[int]) -> list[int]:
    return sorted(accounts, key=lambda one: (partition_of_account(one), one))


class PostgresSchools:
    """Keeps classes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def put_class(self, manager: Manager, row: ClassRow, *, is_new: bool, copier: Copier, now: datetime) -> None:
        """Make a class, or change name and end of one."""
        class_id, tenant_id = row.class_id, manager.actor.tenant_id
        partition = partition_of_account(class_id)

        async def work(connection: Connection) -> None:
            await audit(connection, class_id, manager.actor.name, "class-put", str(class_id))
            if is_new:
                if await connection.fetchval(_COUNT, tenant_id, now) >= MAX_CLASSES:
                    raise GuardError(Fault.TOO_MANY)
                await connection.execute(_MAKE, partition, class_id, tenant_id, row.sealed_name, row.ends_at)
                return
            _, found = await _taken(connection, manager, class_id)
            await connection.execute(_CHANGE, partition, class_id, row.sealed_name, row.ends_at)
            for child in _in_order(_children(found)):
                await lock(connection, child)
                await class_circles.join(connection, child, row, copier, now)
                await class_circles.fill(connection, child, class_id, copier, now)

        await in_transaction(self._pool, work)

    @or_away
    async def list_classes(self, manager: Manager, now: datetime) -> list[ClassRow]:
        """Give the classes of a tenant that are not over, to a teacher those in which they teach."""
        teacher = manager.actor.party if manager.rank is Rank.TEACHER else None
        rows = await self._pool.fetch(_CLASSES, manager.actor.tenant_id, now, teacher, MAX_CLASSES)
        return [ClassRow(*row.values()) for row in rows]

    @or_away
    async def delete_class(self, manager: Manager, class_id: int) -> None:
        """Forget a class."""
        partition = partition_of_account(class_id)

        async def work(connection: Connection) -> None:
            _, found = await _taken(connection, manager, class_id)
            for child in _in_order(_children(found)):
                await lock(connection, child)
                if await class_circles.leave(connection, child, class_id):
                    await audit(connection, child, manager.actor.name, "class-left", str(class_id))
            await connection.execute(_OUT, partition, class_id)
            await connection.execute(_DELETE, partition, class_id)
            await audit(connection, class_id, manager.actor.name, "class-deleted", str(class_id))

        await in_transaction(self._pool, work)

    @or_away
    async def put_roster(
        self, manager: Manager, class_id: int, members: Sequence[MemberRow], copier: Copier, now: datetime
    ) -> Mapping[int, RosterFault]:
        """Replace the members of a class; the accounts that cannot be in it, and then nothing changed."""
        partition = partition_of_account(class_id)

        async def work(connection: Connection) -> None:
            row, before = await _taken(connection, manager, class_id)
            if row.ends_at <= now:
                raise GuardError(Fault.CLASS_OVER)
            # Who teaches is not a teacher's to say: it opens the door of all children of the class.
            if manager.rank is Rank.TEACHER and _teachers(members) != _teachers(before):
                raise GuardError(Fault.TEACHERS_STAY)
            await connection.execute(_OUT, partition, class_id)
            await connection.execute(
                _IN, partition, class_id, [one.account_id for one in members], [one.is_teacher for one in members],
                [one.sealed for one in members],
            )  # fmt: skip
            await audit(connection, class_id, manager.actor.name, "roster", str(class_id))
            wanted, bad = _children(members), {}
            for child in _in_order(wanted | _children(before)):
                fault = await _moved(connection, manager, row, child, copier, now, stays=child in wanted)
                if fault is not None:
                    bad[child] = fault
            if bad:
                raise RosterRefusedError(bad)

        try:
            await in_transaction(self._pool, work)
        except RosterRefusedError as refused:
            return refused.accounts
        return {}

    @or_away
    async def roster(self, manager: Manager, class_id: int) -> list[MemberRow]:
        """Give the members of a class."""

        async def work(connection: Connection) -> list[MemberRow]:
            return (await _taken(connection, manager, class_id))[1]

        return await in_transaction(self._pool, work)

    @or_away
    async def of_child(self, account_id: int, actor: Actor, now: datetime) -> list[OfferedRow]:
        """Give a child's classes that are not over to a guardian."""

        async def work(connection: Connection) -> list[OfferedRow]:
            await guarded_by(connection, account_id, actor)
            said = await spoken(connection, account_id)
            found = []
            for offered in await connection.fetch(_OFFERED, partition_of_account(account_id), account_id, now):
                class_id = offered["circle_id"]
                row = await connection.fetchrow(_CLASS, partition_of_account(class_id), class_id)
                if row is None:
                    continue
                members = await class_circles.members(connection, class_id)
                teachers = [one.sealed for one in members if one.is_teacher]
                numbers = (len(members) - len(teachers), len(teachers))
                shown = ClassRow(class_id, row["sealed_name"], row["ends_at"], *numbers)
                found.append(OfferedRow(shown, teachers, said.get(subject_of(class_id), [])))
            return found

        return await in_transaction(self._pool, work)


async def _moved(
    connection: Connection, manager: Manager, row: ClassRow, child: int, copier: Copier, now: datetime, *, stays: bool
) -> RosterFault | None:
    """Put a child in a class, keep it there, or take it out; why that cannot be."""
    found, name, subject = await lock(connection, child), manager.actor.name, str(row.class_id)
    if not stays:
        if await class_circles.leave(connection, child, row.class_id):
            await audit(connection, child, name, "class-left", subject)
        return None
    if found is None or found["tenant_id"] != manager.actor.tenant_id:
        return RosterFault.NOT_HERE
    try:
        joined = await class_circles.join(connection, child, row, copier, now)
        changed = await class_circles.fill(connection, child, row.class_id, copier, now)
    except GuardError as error:
        if error.fault is not Fault.TOO_MANY:
            raise
        return RosterFault.FULL
    if joined or changed:
        await audit(connection, child, name, "class-joined" if joined else "class-changed", subject)
    return None
