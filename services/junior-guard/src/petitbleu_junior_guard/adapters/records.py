"""The port `Records` on PostgreSQL. Every statement names its partitions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

import asyncpg

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Reason, Verdict
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Correspondent, Ruling
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # not generic at run time
_log = get_logger(__name__)

_KNOWLEDGE: Final = """/* hot:junior-guard.knowledge */
SELECT c.account_id IS NOT NULL AS is_child, k.account_id IS NOT NULL AS is_approved, d.verdict AS final
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bytea[]) WITH ORDINALITY
    AS i (partition, account_id, accepted_id, address_hash, no)
LEFT JOIN child c ON c.partition = i.partition AND c.account_id = i.account_id AND c.partition = ANY($1)
LEFT JOIN correspondent k ON k.partition = i.partition AND k.account_id = i.account_id
    AND k.address_hash = i.address_hash AND k.partition = ANY($1)
LEFT JOIN decision d ON d.partition = i.partition AND d.account_id = i.account_id AND d.accepted_id = i.accepted_id
    AND d.decided_by <> 'rule' AND d.partition = ANY($1)
ORDER BY i.no"""

_RECORD: Final = """/* hot:junior-guard.record */
INSERT INTO decision AS d (partition, account_id, accepted_id, verdict, reason, decided_by)
SELECT partition, account_id, accepted_id, verdict, reason, 'rule'
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::smallint[], $5::text[])
    AS i (partition, account_id, accepted_id, verdict, reason)
ORDER BY 1, 2, 3
ON CONFLICT (partition, account_id, accepted_id)
DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, decided_at = now()
WHERE d.decided_by = 'rule' AND d.partition = excluded.partition AND (d.verdict, d.reason) <> (excluded.verdict, excluded.reason)"""

_AUDIT: Final = """/* cold:junior-guard.audit */
INSERT INTO audit (partition, audit_id, account_id, actor, action, subject) VALUES ($1, $2, $3, $4, $5, $6)"""

_APPROVE: Final = """/* cold:junior-guard.approve */
INSERT INTO correspondent (partition, account_id, address_hash, sealed, approved_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (partition, account_id, address_hash) DO NOTHING RETURNING true"""

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def _or_away(
    work: Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]]:
    """Turn any failure of the database into DATABASE_AWAY: the caller waits and asks again, nothing is guessed."""

    @wraps(work)
    async def wrapped(self: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return await work(self, *args, **kwargs)
        except _AWAY as error:
            _log.warning("the database does not answer", error_type=type(error).__qualname__)
            raise GuardError(Fault.DATABASE_AWAY) from None

    return wrapped


class PostgresRecords:
    """Keeps children, correspondents, decisions and the audit."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @_or_away
    async def knowledge(self, items: Sequence[Item], hashes: Sequence[bytes]) -> list[Knowledge]:
        """Say what is known of each item."""
        rows = await self._pool.fetch(
            _KNOWLEDGE, [partition_of_account(item.account_id) for item in items], [item.account_id for item in items],
            [UUID(bytes=item.accepted_id) for item in items], list(hashes), timeout=5,
        )  # fmt: skip
        return [
            Knowledge(row["is_child"], row["is_approved"], None if row["final"] is None else Verdict(row["final"]))
            for row in rows
        ]

    @_or_away
    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        unique = {
            (ruling.account_id, ruling.accepted_id): ruling for ruling in rulings if ruling.reason != Reason.PERSON
        }
        if not unique:
            return
        rows = list(unique.values())
        await self._pool.execute(
            _RECORD, [partition_of_account(row.account_id) for row in rows], [row.account_id for row in rows],
            [UUID(bytes=row.accepted_id) for row in rows], [int(row.verdict) for row in rows],
            [row.reason.value for row in rows], timeout=5,
        )  # fmt: skip

    @_or_away
    async def register(self, account_id: int, tenant_id: int, guardians: Mapping[int, Correspondent | None]) -> None:
        """Register a child with all its guardians; idempotent."""
        partition = partition_of_account(account_id)

        async def work(connection: _Connection) -> None:
            made = await connection.fetchval(
                "/* cold:junior-guard.child */ INSERT INTO child (partition, account_id, tenant_id) VALUES ($1, $2, $3) "
                "ON CONFLICT (partition, account_id) DO NOTHING RETURNING true",
                partition, account_id, tenant_id,
            )  # fmt: skip
            if made:
                await self._audit(connection, account_id, "accounts", "register", "child")
            gone = await connection.fetch(
                "/* cold:junior-guard.guardians_gone */ DELETE FROM guardian WHERE partition = $1 AND account_id = $2 "
                "AND guardian_account_id <> ALL($3::bigint[]) RETURNING guardian_account_id",
                partition, account_id, list(guardians),
            )  # fmt: skip
            for row in gone:
                await self._audit(
                    connection, account_id, "accounts", "guardian-removed", str(row["guardian_account_id"])
                )
            for guardian, correspondent in guardians.items():
                new = await connection.fetchval(
                    "/* cold:junior-guard.guardian */ INSERT INTO guardian (partition, account_id, guardian_account_id) "
                    "VALUES ($1, $2, $3) ON CONFLICT (partition, account_id, guardian_account_id) DO NOTHING RETURNING true",
                    partition, account_id, guardian,
                )  # fmt: skip
                if new:
                    await self._audit(connection, account_id, "accounts", "guardian-added", str(guardian))
                if correspondent is not None:
                    await self._approve(connection, account_id, correspondent, "registration")

        await in_transaction(self._pool, work)

    @_or_away
    async def approve(self, account_id: int, correspondent: Correspondent, actor: str) -> bool:
        """Approve a correspondent; False when the account is not registered as a child's."""

        async def work(connection: _Connection) -> bool:
            known = await connection.fetchval(
                "/* cold:junior-guard.is_child */ SELECT true FROM child WHERE partition = $1 AND account_id = $2",
                partition_of_account(account_id), account_id,
            )  # fmt: skip
            if known:
                await self._approve(connection, account_id, correspondent, actor)
            return bool(known)

        return await in_transaction(self._pool, work)

    @_or_away
    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now."""
        partition, accepted = partition_of_account(account_id), UUID(bytes=accepted_id)

        async def work(connection: _Connection) -> Verdict | None:
            row = await connection.fetchrow(
                "/* cold:junior-guard.decision */ SELECT verdict, decided_by FROM decision "
                "WHERE partition = $1 AND account_id = $2 AND accepted_id = $3 FOR UPDATE",
                partition, account_id, accepted,
            )  # fmt: skip
            if row is None:
                return None
            if row["decided_by"] != "rule":
                return Verdict(row["verdict"])
            if row["verdict"] != Verdict.HOLD:
                return None
            await connection.execute(
                "/* cold:junior-guard.decide */ UPDATE decision SET verdict = $4, reason = $5, decided_by = $6, "
                "decided_at = now() WHERE partition = $1 AND account_id = $2 AND accepted_id = $3",
                partition, account_id, accepted, int(verdict), Reason.PERSON.value, actor,
            )  # fmt: skip
            await self._audit(connection, account_id, actor, verdict.name.lower(), accepted_id.hex())
            return verdict

        return await in_transaction(self._pool, work)

    async def _approve(
        self, connection: _Connection, account_id: int, correspondent: Correspondent, actor: str
    ) -> None:
        new = await connection.fetchval(
            _APPROVE, partition_of_account(account_id), account_id, correspondent.address_hash, correspondent.sealed, actor
        )  # fmt: skip
        if new:
            await self._audit(connection, account_id, actor, "approve", correspondent.address_hash.hex())

    @staticmethod
    async def _audit(connection: _Connection, account_id: int, actor: str, action: str, subject: str) -> None:
        await connection.execute(
            _AUDIT, partition_of_account(account_id), new_row_id(), account_id, actor, action, subject
        )
