"""The port `News` on PostgreSQL: what guardians are to be told, once an hour at most, each mail once whatever happens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from petitbleu_junior_guard.adapters.connection import Connection, Pool, or_away
from petitbleu_junior_guard.adapters.voices import guardians
from petitbleu_junior_guard.domain.alerts import NewsKind
from petitbleu_junior_guard.domain.rules import UNANNOUNCED
from petitbleu_junior_guard.ports import Letter, NewsRow
from petitbleu_kit.ids import new_row_id, partition_of_account
from petitbleu_kit.postgres import in_transaction

PAUSE: Final = timedelta(hours=1)
REMINDER: Final = timedelta(days=3)
_LEASE: Final = timedelta(minutes=1)
_MOST: Final = 200
_QUIET: Final = sorted(reason.value for reason in UNANNOUNCED)

_TELL: Final = """/* hot:junior-guard.tell */
INSERT INTO news (partition, guardian_account_id, account_id, kind, address_hash, authenticated, sealed, since)
SELECT partition, guardian, $3, $4, $5, $6, $7, $8 FROM unnest($1::smallint[], $2::bigint[]) AS i (partition, guardian)
ORDER BY partition, guardian
ON CONFLICT (partition, guardian_account_id, account_id, kind, address_hash, authenticated) DO NOTHING"""

# Upkeep looks at all partitions, by indexes that hold only what is due.
_WHO: Final = """/* cold:junior-guard.whom_to_tell */
SELECT DISTINCT n.partition, n.guardian_account_id FROM news n
LEFT JOIN bell b ON b.partition = n.partition AND b.guardian_account_id = n.guardian_account_id
WHERE n.letter IS NULL AND (b.rung_at IS NULL OR (b.rung_at <= $1 AND b.letter IS NULL)) LIMIT $2"""

_RING: Final = """/* cold:junior-guard.ring */
INSERT INTO bell AS b (partition, guardian_account_id, rung_at, letter, due_at) VALUES ($1, $2, $3, $4, $3)
ON CONFLICT (partition, guardian_account_id) DO UPDATE SET rung_at = excluded.rung_at, letter = excluded.letter, due_at = excluded.due_at
WHERE b.rung_at <= $5 AND b.letter IS NULL RETURNING true"""

_GATHER: Final = """/* cold:junior-guard.gather */
UPDATE news SET letter = $3 WHERE partition = $1 AND guardian_account_id = $2 AND letter IS NULL"""

_DUE: Final = """/* cold:junior-guard.letters_due */
UPDATE bell SET due_at = $2 WHERE letter IS NOT NULL AND due_at <= $1 AND (partition, guardian_account_id) IN
    (SELECT partition, guardian_account_id FROM bell WHERE letter IS NOT NULL AND due_at <= $1 ORDER BY due_at LIMIT $3)
RETURNING guardian_account_id, letter"""

_NEWS: Final = """/* cold:junior-guard.news */
SELECT n.account_id, n.kind, n.address_hash, n.authenticated, n.sealed, n.since FROM news n
WHERE n.partition = $1 AND n.guardian_account_id = $2 AND n.letter = $3 ORDER BY n.account_id, n.kind, n.since, n.address_hash"""

_WAITS: Final = """/* cold:junior-guard.waits_of */
SELECT count(*) AS messages, bool_or(reason = 'look-alike') AS alike FROM decision WHERE partition = $1 AND account_id = $2
    AND sender_hash = $3 AND authenticated = $4 AND verdict = 2 AND decided_by = 'rule' AND reason <> ALL($5::text[])"""

_STILL: Final = """/* cold:junior-guard.still_guarded */
SELECT EXISTS (SELECT 1 FROM guardian WHERE partition = $1 AND account_id = $2 AND guardian_account_id = $3)"""

_DONE: Final = """/* cold:junior-guard.letter_done */
UPDATE bell SET letter = NULL, due_at = NULL WHERE partition = $1 AND guardian_account_id = $2 AND letter = $3"""

_TOLD: Final = """/* cold:junior-guard.told */
DELETE FROM news WHERE partition = $1 AND guardian_account_id = $2 AND letter = $3"""

_REMIND: Final = """/* cold:junior-guard.remind */
UPDATE sender s SET reminded = true WHERE NOT s.reminded AND (s.partition, s.account_id, s.sender_hash, s.authenticated) IN
    (SELECT d.partition, d.account_id, d.sender_hash, d.authenticated FROM decision d
     JOIN sender o ON o.partition = d.partition AND o.account_id = d.account_id AND o.sender_hash = d.sender_hash
        AND o.authenticated = d.authenticated AND NOT o.reminded
     WHERE d.verdict = 2 AND d.decided_by = 'rule' AND coalesce(d.held_at, d.decided_at) <= $1 AND d.reason <> ALL($2::text[]) LIMIT $3)
RETURNING s.account_id, s.sender_hash, s.authenticated, s.sealed"""


async def tell(
    connection: Connection, account_id: int, kind: NewsKind, address_hash: bytes, sealed: bytes, now: datetime, *,
    authenticated: bool = True,
) -> None:  # fmt: skip
    """Have all guardians of a child told of something; what they are to be told already is told once."""
    whom = sorted(await guardians(connection, account_id))
    partitions = [partition_of_account(guardian) for guardian in whom]
    await connection.execute(_TELL, partitions, whom, account_id, int(kind), address_hash, authenticated, sealed, now)


class PostgresNews:
    """Keeps what is to be told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def ring(self, now: datetime) -> None:
        """Begin a letter to each guardian who is to be told something and was not written to for an hour."""
        for row in await self._pool.fetch(_WHO, now - PAUSE, _MOST):
            partition, guardian = row

            async def work(connection: Connection, partition: int = partition, guardian: int = guardian) -> None:
                letter = new_row_id()
                if await connection.fetchval(_RING, partition, guardian, now, letter, now - PAUSE):
                    await connection.execute(_GATHER, partition, guardian, letter)

            await in_transaction(self._pool, work)

    @or_away
    async def letters(self, now: datetime) -> list[Letter]:
        """Lease letters that are begun and not known to be durable, with what is still to be told."""
        found = []
        for row in await self._pool.fetch(_DUE, now, now + _LEASE, _MOST):
            guardian, letter = row["guardian_account_id"], row["letter"]
            news = await self._pool.fetch(_NEWS, partition_of_account(guardian), guardian, letter)
            rows = [await self._row(guardian, *one) for one in news]
            found.append(Letter(letter, guardian, [one for one in rows if one is not None]))
        return found

    async def _row(
        self, guardian: int, account_id: int, kind: int, address_hash: bytes, authenticated: bool, sealed: bytes,
        since: datetime,
    ) -> NewsRow | None:  # fmt: skip
        partition = partition_of_account(account_id)
        if not await self._pool.fetchval(_STILL, partition, account_id, guardian):
            return None
        messages, alike = 0, False
        if kind in {NewsKind.WAITS, NewsKind.WAITS_STILL}:
            waits = await self._pool.fetchrow(_WAITS, partition, account_id, address_hash, authenticated, _QUIET)
            if waits is None or not waits["messages"]:
                return None  # decided on meanwhile
            messages, alike = waits["messages"], bool(waits["alike"])
        return NewsRow(account_id, NewsKind(kind), sealed, authenticated, alike, since, messages)

    @or_away
    async def done(self, letter: Letter) -> None:
        """Forget a letter that is durable, and what is told by it."""
        key = (partition_of_account(letter.guardian_id), letter.guardian_id, letter.number)

        async def work(connection: Connection) -> None:
            await connection.execute(_TOLD, *key)
            await connection.execute(_DONE, *key)

        await in_transaction(self._pool, work)

    @or_away
    async def remind(self, now: datetime) -> int:
        """Have guardians told once more of what waits for three days; how many senders that are."""

        async def work(connection: Connection) -> int:
            rows = await connection.fetch(_REMIND, now - REMINDER, _QUIET, _MOST)
            for row in rows:
                await tell(
                    connection, row["account_id"], NewsKind.WAITS_STILL, row["sender_hash"], row["sealed"], now,
                    authenticated=row["authenticated"],
                )  # fmt: skip
            return len(rows)

        return await in_transaction(self._pool, work)
