"""The port `Families` on PostgreSQL."""

from __future__ import annotations

from typing import Final

from petitbleu_junior_guard.adapters import voices
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, locked, or_away
from petitbleu_junior_guard.domain.rules import Level
from petitbleu_junior_guard.domain.voices import NOBODY, Kind
from petitbleu_junior_guard.ports import Actor, Correspondent, Registration
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

_CHILD: Final = """/* cold:junior-guard.child */
INSERT INTO child (partition, account_id, tenant_id, level, language, birth_year, birth_month)
VALUES ($1, $2, $3, $4, $5, nullif($6::int, 0)::smallint, nullif($7::int, 0)::smallint)
ON CONFLICT (partition, account_id) DO NOTHING RETURNING true"""

_DETAILS: Final = """/* cold:junior-guard.child_details */
UPDATE child SET language = coalesce(nullif($3, ''), language), birth_year = coalesce(nullif($4::int, 0)::smallint, birth_year),
    birth_month = coalesce(nullif($5::int, 0)::smallint, birth_month)
WHERE partition = $1 AND account_id = $2"""

_GONE: Final = """/* cold:junior-guard.guardians_gone */
DELETE FROM guardian WHERE partition = $1 AND account_id = $2 AND guardian_account_id <> ALL($3::bigint[])
RETURNING guardian_account_id, address_hash"""

_GUARDIAN: Final = """/* cold:junior-guard.guardian */
INSERT INTO guardian AS g (partition, account_id, guardian_account_id, address_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (partition, account_id, guardian_account_id) DO UPDATE SET address_hash = coalesce(excluded.address_hash, g.address_hash)
RETURNING xmax = 0 AS is_new"""

_LEVEL: Final = """/* cold:junior-guard.level */
UPDATE child SET level = $3 WHERE partition = $1 AND account_id = $2 AND level <> $3 RETURNING true"""


class PostgresFamilies:
    """Keeps children, guardians and levels."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def register(self, registration: Registration) -> None:
        """Register a child with all its guardians; idempotent."""

        async def work(connection: Connection) -> None:
            await _register(connection, registration)

        await in_transaction(self._pool, work)

    @or_away
    async def set_level(self, account_id: int, level: Level, actor: Actor) -> None:
        """Move a child's level."""

        async def work(connection: Connection) -> None:
            row = await locked(connection, account_id)
            await move_level(connection, account_id, Level(row["level"]), level, actor)

        await in_transaction(self._pool, work)

    @or_away
    async def approve(self, account_id: int, correspondent: Correspondent, actor: Actor) -> None:
        """Approve a correspondent."""

        async def work(connection: Connection) -> None:
            await locked(connection, account_id)
            await voices.know(connection, account_id, [correspondent])
            if await voices.say(connection, account_id, correspondent.address_hash, actor.party, Kind.APPROVED):
                await audit(connection, account_id, actor.name, "approve", correspondent.address_hash.hex())
            await voices.stand(connection, account_id, [correspondent.address_hash])

        await in_transaction(self._pool, work)


async def move_level(connection: Connection, account_id: int, before: Level, level: Level, actor: Actor) -> None:
    """Move the level of a child whose row is taken, and write down who did it."""
    if await connection.fetchval(_LEVEL, partition_of_account(account_id), account_id, int(level)):
        await audit(connection, account_id, actor.name, "level", f"{int(before)}-{int(level)}")


async def _register(connection: Connection, wanted: Registration) -> None:
    account_id, partition = wanted.account_id, partition_of_account(wanted.account_id)
    born = (wanted.birth_year, wanted.birth_month)
    if await connection.fetchval(
        _CHILD, partition, account_id, wanted.tenant_id, int(wanted.level), wanted.language, *born
    ):
        await audit(connection, account_id, "accounts", "register", f"level-{int(wanted.level)}")
    await locked(connection, account_id)
    await connection.execute(_DETAILS, partition, account_id, wanted.language, *born)
    changed = []
    for row in await connection.fetch(_GONE, partition, account_id, list(wanted.guardians)):
        await audit(connection, account_id, "accounts", "guardian-removed", str(row["guardian_account_id"]))
        if row["address_hash"] is not None:
            # Whoever was a guardian stays somebody to whom the child may write, until a guardian says otherwise.
            await voices.say(connection, account_id, row["address_hash"], NOBODY, Kind.APPROVED)
            changed.append(row["address_hash"])
    for guardian, known in wanted.guardians.items():
        if known is not None:
            await voices.know(connection, account_id, [known])
            changed.append(known.address_hash)
        address_hash = None if known is None else known.address_hash
        if await connection.fetchval(_GUARDIAN, partition, account_id, guardian, address_hash):
            await audit(connection, account_id, "accounts", "guardian-added", str(guardian))
            if address_hash is not None:
                await audit(connection, account_id, "registration", "approve", address_hash.hex())
    await voices.stand(connection, account_id, changed)
