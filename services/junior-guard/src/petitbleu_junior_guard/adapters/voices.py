"""Rows of what is said of correspondents and groups, and of what follows from it. All under the lock of the child's row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from petitbleu_junior_guard.adapters.connection import Connection
from petitbleu_junior_guard.domain.voices import NO_END, Circle, Kind, Membership, Standing, Voice, standing
from petitbleu_junior_guard.ports import Correspondent
from petitbleu_kit.ids import partition_of_account

_ADDRESS: Final = """/* cold:junior-guard.address */
INSERT INTO address AS a (partition, account_id, address_hash, skeleton_hash, sealed)
SELECT $1, $2, hash, skeleton, sealed FROM unnest($3::bytea[], $4::bytea[], $5::bytea[]) AS i (hash, skeleton, sealed) ORDER BY hash
ON CONFLICT (partition, account_id, address_hash) DO UPDATE SET skeleton_hash = excluded.skeleton_hash
WHERE a.skeleton_hash IS DISTINCT FROM excluded.skeleton_hash"""

_SAY: Final = """/* cold:junior-guard.say */
INSERT INTO voice AS v (partition, account_id, subject, party, kind, ends_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, account_id, subject, party) DO UPDATE SET kind = excluded.kind, ends_at = excluded.ends_at, said_at = now()
WHERE (v.kind, v.ends_at) IS DISTINCT FROM (excluded.kind, excluded.ends_at) RETURNING true"""

_TAKE_BACK: Final = """/* cold:junior-guard.take_back */
DELETE FROM voice WHERE partition = $1 AND account_id = $2 AND subject = $3 AND party = ANY($4::bigint[]) RETURNING party"""

_VOICES: Final = """/* cold:junior-guard.voices */
SELECT subject, party, kind, ends_at FROM voice WHERE partition = $1 AND account_id = $2 AND subject = ANY($3::bytea[])
ORDER BY subject, party"""

_CIRCLES: Final = """/* cold:junior-guard.circles_of */
SELECT m.address_hash, m.is_teacher, c.circle_id, c.kind, c.school_ends_at FROM circle_member m
JOIN circle c ON c.partition = m.partition AND c.account_id = m.account_id AND c.circle_id = m.circle_id AND c.partition = $1
WHERE m.partition = $1 AND m.account_id = $2 AND m.address_hash = ANY($3::bytea[])"""

_GUARDIANS: Final = """/* cold:junior-guard.guardians */
SELECT guardian_account_id, address_hash FROM guardian WHERE partition = $1 AND account_id = $2"""

_STAND: Final = """/* cold:junior-guard.stand */
INSERT INTO standing (partition, account_id, address_hash, skeleton_hash, family_until, approved_until, grouped_until, is_added, is_refused,
    taught_until)
SELECT $1, $2, i.hash, a.skeleton_hash, i.family, i.approved, i.grouped, i.added, i.refused, i.taught
FROM unnest($3::bytea[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::boolean[], $8::boolean[], $9::timestamptz[])
    AS i (hash, family, approved, grouped, added, refused, taught)
JOIN address a ON a.partition = $1 AND a.account_id = $2 AND a.address_hash = i.hash ORDER BY i.hash
ON CONFLICT (partition, account_id, address_hash) DO UPDATE SET
    skeleton_hash = excluded.skeleton_hash, family_until = excluded.family_until, approved_until = excluded.approved_until,
    grouped_until = excluded.grouped_until, is_added = excluded.is_added, is_refused = excluded.is_refused,
    taught_until = excluded.taught_until"""


def subject_of(circle_id: int) -> bytes:
    """The subject of voices about a group."""
    return circle_id.to_bytes(8, "big")


async def know(connection: Connection, account_id: int, correspondents: Sequence[Correspondent]) -> None:
    """Keep addresses, sealed, for those who may read them later."""
    await connection.execute(
        _ADDRESS, partition_of_account(account_id), account_id, [one.address_hash for one in correspondents],
        [one.skeleton_hash for one in correspondents], [one.sealed for one in correspondents],
    )  # fmt: skip


async def say(
    connection: Connection, account_id: int, subject: bytes, party: int, kind: Kind, ends_at: datetime | None = None
) -> bool:
    """Record what a party says, in place of what it said before; whether that is new."""
    return bool(
        await connection.fetchval(
            _SAY, partition_of_account(account_id), account_id, subject, party, int(kind), ends_at
        )
    )


async def take_back(connection: Connection, account_id: int, subject: bytes, parties: Collection[int]) -> list[int]:
    """Forget what parties said; those that had said something."""
    rows = await connection.fetch(_TAKE_BACK, partition_of_account(account_id), account_id, subject, list(parties))
    return [row["party"] for row in rows]


async def said(connection: Connection, account_id: int, subjects: Collection[bytes]) -> dict[bytes, list[Voice]]:
    """All that is said of some subjects."""
    found: dict[bytes, list[Voice]] = defaultdict(list)
    for row in await connection.fetch(_VOICES, partition_of_account(account_id), account_id, list(subjects)):
        found[row["subject"]].append(Voice(row["party"], Kind(row["kind"]), row["ends_at"]))
    return found


async def guardians(connection: Connection, account_id: int) -> dict[int, bytes | None]:
    """A child's guardians, with the hashes of their addresses where known."""
    rows = await connection.fetch(_GUARDIANS, partition_of_account(account_id), account_id)
    return {row["guardian_account_id"]: row["address_hash"] for row in rows}


async def standings(connection: Connection, account_id: int, hashes: Collection[bytes]) -> dict[bytes, Standing]:
    """What follows for some addresses from all that is recorded."""
    circles = await connection.fetch(_CIRCLES, partition_of_account(account_id), account_id, list(hashes))
    subjects = {*hashes, *(subject_of(row["circle_id"]) for row in circles)}
    voices = await said(connection, account_id, subjects)
    memberships: dict[bytes, list[Membership]] = defaultdict(list)
    for row in circles:
        memberships[row["address_hash"]].append(
            Membership(
                Circle(row["kind"]), voices.get(subject_of(row["circle_id"]), []), row["school_ends_at"] or NO_END,
                row["is_teacher"],
            )
        )  # fmt: skip
    family = set((await guardians(connection, account_id)).values())
    return {
        one: standing(voices.get(one, []), memberships.get(one, []), is_guardian=one in family)
        for one in sorted(set(hashes))
    }


async def stand(connection: Connection, account_id: int, hashes: Collection[bytes]) -> None:
    """Write down what follows for addresses of which anything changed; `know` them first."""
    found = await standings(connection, account_id, hashes)
    await connection.execute(
        _STAND, partition_of_account(account_id), account_id, list(found),
        [one.family_until for one in found.values()], [one.approved_until for one in found.values()],
        [one.grouped_until for one in found.values()], [one.is_added for one in found.values()],
        [one.is_refused for one in found.values()], [one.taught_until for one in found.values()],
    )  # fmt: skip
