"""What sending domains' mail was to those who got it, in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from petitbleu_delivery.domain.reputation import HALF_LIFE_DAYS, Standing, partition_of_domain
from petitbleu_kit.ids import PARTITIONS, partition_of_account
from petitbleu_kit.postgres import in_transaction

_SWEPT: Final = 64
_MOST_A_DAY: Final = 3
"""Messages of a domain that one account calls junk in a day and that count: one person's quarrel is not everybody's."""
_LEFT: Final = f"power(0.5::float8, greatest(0, excluded.day - s.day) / {HALF_LIFE_DAYS})"
_COUNT: Final = f"""/* hot:delivery.sender_count */ INSERT INTO sender_domain AS s (partition, domain, day, mails, junk)
SELECT partition, domain, $4, mails, junk FROM unnest($1::smallint[], $2::text[], $3::float8[], $5::float8[]) AS g (partition, domain, mails, junk)
ORDER BY partition, domain
ON CONFLICT (partition, domain) DO UPDATE SET mails = s.mails * {_LEFT} + excluded.mails,
    junk = greatest(0, s.junk * {_LEFT} + excluded.junk), day = greatest(s.day, excluded.day) WHERE s.partition = ANY($1::smallint[])"""
_READ: Final = """/* hot:delivery.sender_read */ SELECT s.domain, s.day, s.mails, s.junk FROM sender_domain s
JOIN unnest($1::smallint[], $2::text[]) AS g (partition, domain) ON s.partition = g.partition AND s.domain = g.domain
WHERE s.partition = ANY($1::smallint[])"""
_SAID: Final = """/* hot:delivery.sender_said */ SELECT count(*) FROM sender_lesson WHERE partition = $1 AND account_id = $2 AND domain = $3
    AND junk AND taught_at > now() - interval '1 day'"""
_TEACH: Final = """/* hot:delivery.sender_teach */ INSERT INTO sender_lesson (partition, junk, account_id, accepted_id, domain, version)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (partition, account_id, accepted_id) DO NOTHING RETURNING version"""
_CHANGE: Final = """/* hot:delivery.sender_change */ UPDATE sender_lesson SET junk = $4, version = $5
WHERE partition = $1 AND account_id = $2 AND accepted_id = $3 AND version < $5 AND junk <> $4 RETURNING version"""
_FORGET: Final = """/* cold:delivery.sender_forget */ DELETE FROM sender_domain WHERE partition = $1 AND domain = $2"""
_PRUNE: Final = """/* cold:delivery.sender_prune */ DELETE FROM sender_domain WHERE partition = ANY($1::smallint[])
AND day < extract(epoch FROM now())::bigint / 86400 - 120"""
_PRUNE_LESSONS: Final = """/* cold:delivery.sender_lesson_prune */ DELETE FROM sender_lesson WHERE partition = ANY($1::smallint[])
AND taught_at < now() - interval '60 days'"""


class ReputationRows:
    """Sending domains."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def count(self, mails: Mapping[str, int], day: int) -> None:
        """Count recipients of domains' mail."""
        places = sorted((partition_of_domain(domain), domain) for domain in mails)
        await self._pool.execute(
            _COUNT, [one[0] for one in places], [one[1] for one in places], [float(mails[one[1]]) for one in places], day,
            [0.0] * len(places),
        )  # fmt: skip

    async def read(self, domains: Collection[str]) -> dict[str, Standing]:
        """Return what is known of domains; those of which nothing is are left out."""
        wanted = list(set(domains))
        rows = await self._pool.fetch(_READ, [partition_of_domain(one) for one in wanted], wanted)
        return {row["domain"]: Standing(row["mails"], row["junk"], row["day"]) for row in rows}

    async def teach(
        self, account_id: int, accepted_id: bytes, domain: str, day: int, *, junk: bool, version: int
    ) -> bool:
        """Count what a recipient said of a message, or take it back; whether that changed anything. Twice is as once.

        Args:
            account_id: The recipient.
            accepted_id: The message, 16 octets.
            domain: Who sent it.
            day: Today, from 1970.
            junk: Whether it is junk.
            version: Rises with what the account says.
        """
        place = (partition_of_account(account_id), account_id)
        message = UUID(bytes=accepted_id)

        async def work(connection: asyncpg.Connection[Any]) -> bool:
            changed = await connection.fetchval(_CHANGE, *place, message, junk, version)
            step = 1.0 if junk else -1.0
            if changed is None:
                if junk and await connection.fetchval(_SAID, *place, domain) >= _MOST_A_DAY:
                    return False
                taught = await connection.fetchval(_TEACH, place[0], junk, account_id, message, domain, version)
                # that it is none, of what nobody called junk, is kept: the other word may come late
                if taught is None or not junk:
                    return False
            await connection.execute(_COUNT, [partition_of_domain(domain)], [domain], [0.0], day, [step])
            return True

        return bool(await in_transaction(self._pool, work))

    async def forget(self, domain: str) -> None:
        """Forget a domain's past."""
        await self._pool.execute(_FORGET, partition_of_domain(domain), domain)

    async def prune(self) -> None:
        """Drop what is too old to say anything."""
        for start in range(0, PARTITIONS, _SWEPT):
            part = list(range(start, start + _SWEPT))
            await self._pool.execute(_PRUNE, part)
            await self._pool.execute(_PRUNE_LESSONS, part)
