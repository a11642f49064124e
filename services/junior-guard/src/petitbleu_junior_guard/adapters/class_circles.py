"""A child's copy of a class: a group of its own, with members for as long as its guardians approve it. All under the lock of the child's row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters import circle_members, voices
from petitbleu_junior_guard.adapters.connection import Connection
from petitbleu_junior_guard.adapters.correspondents import MAX_ADDRESSES
from petitbleu_junior_guard.adapters.voices import subject_of
from petitbleu_junior_guard.domain.schools import MAX_CLASSES_OF_CHILD
from petitbleu_junior_guard.domain.voices import Circle, approval, holds
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports_schools import ClassRow, Copier, MemberRow
from petitbleu_kit.ids import partition_of_account

_JOIN: Final = """/* cold:junior-guard.class_join */
INSERT INTO circle (partition, account_id, circle_id, kind, sealed_name, school_ends_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, account_id, circle_id) DO UPDATE SET sealed_name = excluded.sealed_name, school_ends_at = excluded.school_ends_at
RETURNING xmax = 0"""

_RUNNING: Final = """/* cold:junior-guard.classes_running */
SELECT count(*) FROM circle WHERE partition = $1 AND account_id = $2 AND school_ends_at > $3 AND circle_id <> $4"""

_OVER: Final = """/* cold:junior-guard.classes_over */
SELECT circle_id FROM circle WHERE partition = $1 AND account_id = $2 AND school_ends_at <= $3 AND circle_id <> $4"""

_LEAVE: Final = """/* cold:junior-guard.class_leave */
DELETE FROM circle WHERE partition = $1 AND account_id = $2 AND circle_id = $3 AND school_ends_at IS NOT NULL RETURNING true"""

_SILENCE: Final = """/* cold:junior-guard.class_silence */
DELETE FROM voice WHERE partition = $1 AND account_id = $2 AND subject = $3"""

_ADDRESSES: Final = """/* cold:junior-guard.class_room */
SELECT count(*) FROM address WHERE partition = $1 AND account_id = $2 AND address_hash <> ALL($3::bytea[])"""

# An address that the audit speaks of stays, so that guardians read there whom they once spoke of.
_FORGET: Final = """/* cold:junior-guard.class_forget */
DELETE FROM address a WHERE a.partition = $1 AND a.account_id = $2 AND a.address_hash = ANY($3::bytea[])
    AND NOT EXISTS (SELECT 1 FROM voice v WHERE v.partition = $1 AND v.account_id = $2 AND v.subject = a.address_hash)
    AND NOT EXISTS (SELECT 1 FROM circle_member m WHERE m.partition = $1 AND m.account_id = $2 AND m.address_hash = a.address_hash)
    AND NOT EXISTS (SELECT 1 FROM guardian g WHERE g.partition = $1 AND g.account_id = $2 AND g.address_hash = a.address_hash)
    AND NOT EXISTS (SELECT 1 FROM audit e WHERE e.partition = $1 AND e.account_id = $2 AND e.subject = encode(a.address_hash, 'hex'))
RETURNING a.address_hash"""

_STAND_NO_MORE: Final = """/* cold:junior-guard.class_stand_no_more */
DELETE FROM standing WHERE partition = $1 AND account_id = $2 AND address_hash = ANY($3::bytea[])"""

_MEMBERS: Final = """/* cold:junior-guard.class_members */
SELECT account_id, is_teacher, sealed FROM class_member WHERE partition = $1 AND class_id = $2 ORDER BY account_id"""


async def members(connection: Connection, class_id: int) -> list[MemberRow]:
    """The members of a class."""
    rows = await connection.fetch(_MEMBERS, partition_of_account(class_id), class_id)
    return [MemberRow(*row.values()) for row in rows]


async def join(connection: Connection, account_id: int, row: ClassRow, copier: Copier, now: datetime) -> bool:
    """Put a child in a class, or change the class's name and end for it; whether it is new. What is over goes.

    Raises:
        GuardError: TOO_MANY.
    """
    partition = partition_of_account(account_id)
    for over in await connection.fetch(_OVER, partition, account_id, now, row.class_id):
        await leave(connection, account_id, over["circle_id"])
    if await connection.fetchval(_RUNNING, partition, account_id, now, row.class_id) >= MAX_CLASSES_OF_CHILD:
        raise GuardError(Fault.TOO_MANY)
    return bool(
        await connection.fetchval(
            _JOIN, partition, account_id, row.class_id, int(Circle.CLASS), copier.name(account_id, row), row.ends_at
        )
    )


async def fill(connection: Connection, account_id: int, class_id: int, copier: Copier, now: datetime) -> bool:
    """Give a child's copy of a class its members, or none where it is not approved; whether any came or went.

    Raises:
        GuardError: TOO_MANY.
    """
    partition = partition_of_account(account_id)
    said = await voices.said(connection, account_id, [subject_of(class_id)])
    approved = holds(approval(said.get(subject_of(class_id), [])), now)
    copies = copier.members(account_id, class_id, await members(connection, class_id)) if approved else []
    hashes = [copy.one.address_hash for copy in copies]
    if copies and await connection.fetchval(_ADDRESSES, partition, account_id, hashes) + len(hashes) > MAX_ADDRESSES:
        raise GuardError(Fault.TOO_MANY)
    teachers = {copy.one.address_hash for copy in copies if copy.is_teacher}
    gone = await circle_members.replace(connection, account_id, class_id, [copy.one for copy in copies], teachers)
    await _forget(connection, account_id, gone - set(hashes))
    return gone != set(hashes)


async def leave(connection: Connection, account_id: int, class_id: int) -> bool:
    """Take a child out of a class, with all that is said of it; whether it was in it."""
    partition = partition_of_account(account_id)
    if not await connection.fetchval(_LEAVE, partition, account_id, class_id):
        return False
    await connection.execute(_SILENCE, partition, account_id, subject_of(class_id))
    await _forget(connection, account_id, await circle_members.replace(connection, account_id, class_id, []))
    return True


async def _forget(connection: Connection, account_id: int, hashes: Collection[bytes]) -> None:
    """Forget addresses of which nobody says anything and that are in no group: a class leaves nothing behind."""
    if hashes:
        partition = partition_of_account(account_id)
        gone = await connection.fetch(_FORGET, partition, account_id, list(hashes))
        await connection.execute(_STAND_NO_MORE, partition, account_id, [row["address_hash"] for row in gone])
