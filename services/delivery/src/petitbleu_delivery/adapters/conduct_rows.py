"""What accounts do in a day, to whom they ever wrote, and what was done about it, in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from petitbleu_delivery.domain.conduct import HISTORY_DAYS, Figures, Sign, Stage
from petitbleu_kit.ids import PARTITIONS, new_row_id, partition_of_account
from petitbleu_kit.postgres import in_transaction

_SWEPT: Final = 64
_ACCOUNTS_AT_ONCE: Final = 1000
# Who was written to before has a row.
_WRITTEN: Final = """/* hot:delivery.correspondents */ INSERT INTO correspondent (partition, account_id, address_key, day)
SELECT partition, account_id, address_key, $4 FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS g (partition, account_id, address_key)
ORDER BY partition, account_id, address_key
ON CONFLICT (partition, account_id, address_key) DO NOTHING RETURNING account_id"""
_KNOWN: Final = """/* hot:delivery.correspondents_of */ SELECT address_key FROM correspondent
WHERE partition = $1 AND account_id = $2 AND address_key = ANY($3::bytea[])"""
_COUNT: Final = """/* hot:delivery.conduct_count */ INSERT INTO conduct AS c (partition, account_id, day, tenant_id, sent, fresh, bounced, spam)
SELECT partition, account_id, $8, tenant_id, sent, fresh, bounced, spam
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[], $7::integer[])
    AS g (partition, account_id, tenant_id, sent, fresh, bounced, spam) ORDER BY partition, account_id
ON CONFLICT (partition, account_id, day) DO UPDATE SET sent = c.sent + excluded.sent, fresh = c.fresh + excluded.fresh,
    bounced = c.bounced + excluded.bounced, spam = c.spam + excluded.spam WHERE c.partition = ANY($1::smallint[])
RETURNING account_id, fresh"""
_DAYS: Final = """/* hot:delivery.conduct_days */ SELECT day, sent, fresh, bounced, complained, spam FROM conduct
WHERE partition = $1 AND account_id = $2 AND day > $3"""
# One of several processes raises it. Who was slowed may be slowed again when that is over.
_RAISE: Final = """/* hot:delivery.abuse_raise */ INSERT INTO abuse_case AS a (partition, account_id, tenant_id, stage, signs, until_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::float8))
ON CONFLICT (partition, account_id) DO UPDATE SET stage = excluded.stage, signs = excluded.signs, tenant_id = excluded.tenant_id,
    raised_at = now(), until_at = excluded.until_at, told = false
WHERE a.partition = $1 AND (a.stage < excluded.stage OR (a.stage = 1 AND excluded.stage = 1 AND a.until_at <= now()))
RETURNING account_id"""
_SLOW: Final = """/* hot:delivery.permit_terms_slow */ INSERT INTO permit_terms AS t (partition, scope, subject_id, slowed_until)
VALUES ($1, 1, $2, now() + make_interval(secs => $3::float8))
ON CONFLICT (partition, scope, subject_id) DO UPDATE SET slowed_until = excluded.slowed_until, changed_at = now() WHERE t.partition = $1"""
_SUSPEND: Final = """/* hot:delivery.permit_terms_stop */ INSERT INTO permit_terms AS t (partition, scope, subject_id, suspended)
VALUES ($1, 1, $2, true)
ON CONFLICT (partition, scope, subject_id) DO UPDATE SET suspended = true, changed_at = now() WHERE t.partition = $1"""
_LOG: Final = """/* hot:delivery.abuse_log */ INSERT INTO abuse_log (partition, account_id, entry_id, tenant_id, stage, signs, figures)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_UNTOLD: Final = """/* cold:delivery.abuse_untold */ SELECT account_id, tenant_id, stage, signs, raised_at FROM abuse_case
WHERE NOT told ORDER BY raised_at LIMIT 100"""
_TOLD: Final = """/* hot:delivery.abuse_told */ UPDATE abuse_case SET told = true
WHERE partition = $1 AND account_id = $2 AND raised_at = $3"""
_UNSLOW: Final = """/* hot:delivery.permit_terms_free */ UPDATE permit_terms SET slowed_until = NULL, changed_at = now()
WHERE partition = $1 AND scope = 1 AND subject_id = $2 AND slowed_until IS NOT NULL"""
_CLOSE: Final = """/* hot:delivery.abuse_close */ DELETE FROM abuse_case WHERE partition = $1 AND account_id = $2 RETURNING tenant_id"""
# What led to it is forgiven: the next judgement begins with nothing.
_FORGIVE: Final = """/* hot:delivery.conduct_forgive */ UPDATE conduct SET fresh = 0, bounced = 0, complained = 0, spam = 0
WHERE partition = $1 AND account_id = $2"""
_HISTORY: Final = """/* cold:delivery.abuse_history */ SELECT stage, signs, figures, logged_at FROM abuse_log
WHERE partition = $1 AND account_id = $2 ORDER BY logged_at DESC, entry_id LIMIT $3"""
_PRUNE: Final = """/* cold:delivery.correspondent_prune */ DELETE FROM correspondent WHERE partition = ANY($1::smallint[])
AND day < extract(epoch FROM now())::bigint / 86400 - 400"""
_PRUNE_LOG: Final = """/* cold:delivery.abuse_log_prune */ DELETE FROM abuse_log WHERE partition = ANY($1::smallint[])
AND logged_at < now() - interval '400 days'"""


_ACCOUNTS: Final = """/* cold:delivery.conduct_accounts */ SELECT account_id FROM correspondent WHERE partition BETWEEN $1 AND $2
UNION SELECT account_id FROM conduct WHERE partition BETWEEN $1 AND $2
UNION SELECT account_id FROM returned WHERE partition BETWEEN $1 AND $2
UNION SELECT account_id FROM suppression WHERE partition BETWEEN $1 AND $2
UNION SELECT account_id FROM abuse_log WHERE partition BETWEEN $1 AND $2
UNION SELECT account_id FROM sender_lesson WHERE partition BETWEEN $1 AND $2"""
_ERASE: Final = tuple(
    f"/* cold:delivery.{table}_erase */ DELETE FROM {table} WHERE partition = $1 AND account_id = $2"
    for table in ("correspondent", "conduct", "returned", "suppression", "abuse_case", "abuse_log", "sender_lesson")
)


class Counted(NamedTuple):
    """What an account did: keyed hashes of those written to, and numbers."""

    account_id: int
    tenant_id: int
    keys: frozenset[bytes]
    sent: int
    bounced: int
    spam: int


class Case(NamedTuple):
    """What is done about an account, and why; `raised_at` tells it from what was done before."""

    account_id: int
    tenant_id: int
    stage: Stage
    signs: tuple[str, ...]
    raised_at: datetime


class Entry(NamedTuple):
    """An entry of the log: `figures` are those of the seven days before; the stage is 0 where an operator lifted it."""

    stage: Stage
    signs: tuple[str, ...]
    figures: str
    logged_at: float


class ConductRows:
    """Reads and writes it.

    Args:
        pool: delivery's database.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def count(self, counted: Sequence[Counted], day: int) -> dict[int, int]:
        """Add up what accounts did, in one commit; return how many new recipients each had in the day."""
        pairs = sorted(
            {(partition_of_account(one.account_id), one.account_id, key) for one in counted for key in one.keys}
        )

        async def whole(connection: Any) -> dict[int, int]:
            fresh: Counter[int] = Counter()
            if pairs:
                columns = [list(column) for column in zip(*pairs, strict=True)]
                fresh.update(row["account_id"] for row in await connection.fetch(_WRITTEN, *columns, day))
            rows = await connection.fetch(
                _COUNT, [partition_of_account(one.account_id) for one in counted], [one.account_id for one in counted],
                [one.tenant_id for one in counted], [one.sent for one in counted], [fresh[one.account_id] for one in counted],
                [one.bounced for one in counted], [one.spam for one in counted], day,
            )  # fmt: skip
            return {row["account_id"]: row["fresh"] for row in rows}

        return await in_transaction(self._pool, whole)

    async def wrote(self, pairs: Iterable[tuple[int, bytes]], day: int) -> None:
        """Remember to whom accounts wrote here, by keyed hashes; it counts as nothing else."""
        rows = sorted((partition_of_account(account_id), account_id, key) for account_id, key in pairs)
        if rows:
            await self._pool.fetch(_WRITTEN, *(list(column) for column in zip(*rows, strict=True)), day)

    async def written(self, account_id: int, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keyed hashes that stand for somebody to whom an account wrote."""
        rows = await self._pool.fetch(_KNOWN, partition_of_account(account_id), account_id, keys)
        return {row["address_key"] for row in rows}

    async def days(self, account_id: int, today: int) -> dict[int, Figures]:
        """Return an account's days of late."""
        rows = await self._pool.fetch(_DAYS, partition_of_account(account_id), account_id, today - HISTORY_DAYS - 1)
        return {
            row["day"]: Figures(row["sent"], row["fresh"], row["bounced"], row["complained"], row["spam"])
            for row in rows
        }

    async def raise_to(
        self, account_id: int, tenant_id: int, stage: Stage, signs: Sequence[Sign], figures: str, seconds: float
    ) -> bool:
        """Slow an account for so many seconds, or suspend it, and write down why; False when that, or more, is done already."""
        partition = partition_of_account(account_id)
        said = [sign.value for sign in signs]

        async def whole(connection: Any) -> bool:
            if await connection.fetchval(_RAISE, partition, account_id, tenant_id, stage.value, said, seconds) is None:
                return False
            if stage is Stage.SUSPENDED:
                await connection.execute(_SUSPEND, partition, account_id)
            else:
                await connection.execute(_SLOW, partition, account_id, seconds)
            await connection.execute(_LOG, partition, account_id, new_row_id(), tenant_id, stage.value, said, figures)
            return True

        return await in_transaction(self._pool, whole)

    async def untold(self) -> list[Case]:
        """Return what nobody was told of yet."""
        return [
            Case(row["account_id"], row["tenant_id"], Stage(row["stage"]), tuple(row["signs"]), row["raised_at"])
            for row in await self._pool.fetch(_UNTOLD)
        ]

    async def told(self, case: Case) -> None:
        """Keep that it was told."""
        await self._pool.execute(_TOLD, partition_of_account(case.account_id), case.account_id, case.raised_at)

    async def forgive(self, account_id: int) -> bool:
        """End what is done about an account, and forget what led to it; False when nothing was."""
        partition = partition_of_account(account_id)

        async def whole(connection: Any) -> bool:
            await connection.execute(_UNSLOW, partition, account_id)
            tenant_id = await connection.fetchval(_CLOSE, partition, account_id)
            if tenant_id is None:
                return False
            await connection.execute(_FORGIVE, partition, account_id)
            await connection.execute(_LOG, partition, account_id, new_row_id(), tenant_id, Stage.FREE.value, [], "")
            return True

        return await in_transaction(self._pool, whole)

    async def history(self, account_id: int, limit: int) -> list[Entry]:
        """Return what was done about an account, the latest first."""
        return [
            Entry(Stage(row["stage"]), tuple(row["signs"]), row["figures"], row["logged_at"].timestamp())
            for row in await self._pool.fetch(_HISTORY, partition_of_account(account_id), account_id, limit)
        ]

    async def erase_closed(self, living: Callable[[Sequence[int]], Awaitable[Container[int]]]) -> int:
        """Erase all of accounts that are there no more; return how many.

        Args:
            living: Says which of at most 1,000 accounts are there.
        """
        erased = 0
        for first in range(0, PARTITIONS, _SWEPT):
            known = [row["account_id"] for row in await self._pool.fetch(_ACCOUNTS, first, first + _SWEPT - 1)]
            for at in range(0, len(known), _ACCOUNTS_AT_ONCE):
                part = known[at : at + _ACCOUNTS_AT_ONCE]
                there = await living(part)
                for account_id in part:
                    if account_id not in there:
                        await self._erase(account_id)
                        erased += 1
        return erased

    async def _erase(self, account_id: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            for statement in _ERASE:
                await connection.execute(statement, partition_of_account(account_id), account_id)

    async def prune(self) -> None:
        """Forget whom nobody wrote to for more than a year, and what was done then."""
        for start in range(0, PARTITIONS, _SWEPT):
            for statement in (_PRUNE, _PRUNE_LOG):
                await self._pool.execute(statement, list(range(start, start + _SWEPT)))


def figures_text(days: Mapping[int, Figures]) -> str:
    """Return figures of some days, added up, as the log has them."""
    total = Figures(*(sum(column) for column in zip(*days.values(), strict=True))) if days else Figures()
    return " ".join(f"{name}={value}" for name, value in total._asdict().items())
