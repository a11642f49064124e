"""The port `Groups` on PostgreSQL: a child's groups, approved as a whole, with their members."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters import circle_members, class_circles, voices
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, or_away
from petitbleu_junior_guard.adapters.correspondents import MAX_ADDRESSES, guarded_by, speak, spoken
from petitbleu_junior_guard.adapters.voices import subject_of
from petitbleu_junior_guard.domain.correspondents import Action
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, GroupRow, KnownGroup
from petitbleu_junior_guard.ports_schools import Copier
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.postgres import in_transaction

MAX_GROUPS: Final = 20

_GROUPS: Final = """/* cold:junior-guard.circles */
SELECT circle_id, kind, sealed_name, school_ends_at FROM circle WHERE partition = $1 AND account_id = $2 ORDER BY circle_id"""

_MEMBERS: Final = """/* cold:junior-guard.members */
SELECT m.circle_id, m.address_hash, a.sealed FROM circle_member m
JOIN address a ON a.partition = m.partition AND a.account_id = m.account_id AND a.address_hash = m.address_hash AND a.partition = $1
WHERE m.partition = $1 AND m.account_id = $2 ORDER BY m.circle_id, m.address_hash"""

_MAKE: Final = """/* cold:junior-guard.circle_make */
INSERT INTO circle (partition, account_id, circle_id, kind, sealed_name) VALUES ($1, $2, $3, $4, $5)"""

_NAME: Final = """/* cold:junior-guard.circle_name */
UPDATE circle SET sealed_name = $5 WHERE partition = $1 AND account_id = $2 AND circle_id = $3 AND kind = $4
    AND school_ends_at IS NULL RETURNING true"""

_COUNTS: Final = """/* cold:junior-guard.circle_counts */
SELECT (SELECT count(*) FROM circle WHERE partition = $1 AND account_id = $2) AS circles,
    (SELECT count(*) FROM address WHERE partition = $1 AND account_id = $2 AND address_hash <> ALL($3::bytea[])) AS addresses"""


class PostgresGroups:
    """Keeps groups."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def put(self, account_id: int, group: GroupRow, actor: Actor, ends_at: datetime | None) -> int:
        """Make a group and approve it, or replace name and members of one; its id."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> int:
            await guarded_by(connection, account_id, actor)
            hashes = [one.address_hash for one in group.members]
            counts = await connection.fetchrow(_COUNTS, partition, account_id, hashes)
            full = counts is None or counts["addresses"] + len(hashes) > MAX_ADDRESSES
            if full or (not group.group_id and counts is not None and counts["circles"] >= MAX_GROUPS):
                raise GuardError(Fault.TOO_MANY)
            group_id = group.group_id or new_row_id()
            facts = (partition, account_id, group_id, int(group.kind), group.sealed_name)
            if not group.group_id:
                await connection.execute(_MAKE, *facts)
                await speak(connection, account_id, subject_of(group_id), actor, Action.APPROVE, ends_at)
            elif not await connection.fetchval(_NAME, *facts):
                raise GuardError(Fault.NO_GROUP)
            gone = await circle_members.replace(connection, account_id, group_id, group.members)
            for one in sorted(set(hashes) - gone):
                await audit(connection, account_id, actor.name, "member-added", one.hex())
            for one in sorted(gone - set(hashes)):
                await audit(connection, account_id, actor.name, "member-removed", one.hex())
            return group_id

        return await in_transaction(self._pool, work)

    @or_away
    async def set_voice(
        self, account_id: int, group_id: int, actor: Actor, action: Action, ends_at: datetime | None, copier: Copier,
        now: datetime,
    ) -> None:  # fmt: skip
        """Say something of a group."""

        async def work(connection: Connection) -> None:
            await guarded_by(connection, account_id, actor)
            found = {
                row["circle_id"]: row["school_ends_at"]
                for row in await connection.fetch(_GROUPS, partition_of_account(account_id), account_id)
            }
            if group_id not in found:
                raise GuardError(Fault.NO_GROUP)
            school_ends_at = found[group_id]
            if school_ends_at is not None:
                if school_ends_at <= now:
                    raise GuardError(Fault.NO_GROUP)
                # A longer year is asked about anew: an approval is for the end that the guardian saw.
                until = min(ends_at or school_ends_at, school_ends_at) if action is Action.APPROVE else None
                await speak(connection, account_id, subject_of(group_id), actor, action, until)
                await class_circles.fill(connection, account_id, group_id, copier, now)
                return
            await speak(connection, account_id, subject_of(group_id), actor, action, ends_at)
            rows = await connection.fetch(_MEMBERS, partition_of_account(account_id), account_id)
            await voices.stand(
                connection, account_id, [row["address_hash"] for row in rows if row["circle_id"] == group_id]
            )

        await in_transaction(self._pool, work)

    @or_away
    async def list_for(self, account_id: int, actor: Actor) -> list[KnownGroup]:
        """Give a child's groups to a guardian."""

        async def work(connection: Connection) -> list[KnownGroup]:
            await guarded_by(connection, account_id, actor)
            partition = partition_of_account(account_id)
            members: dict[int, list[bytes]] = defaultdict(list)
            for row in await connection.fetch(_MEMBERS, partition, account_id):
                members[row["circle_id"]].append(row["sealed"])
            said = await spoken(connection, account_id)
            return [
                KnownGroup(
                    row["circle_id"], Circle(row["kind"]), row["sealed_name"], members[row["circle_id"]],
                    said.get(subject_of(row["circle_id"]), []), row["school_ends_at"],
                )
                for row in await connection.fetch(_GROUPS, partition, account_id)
            ]  # fmt: skip

        return await in_transaction(self._pool, work)
