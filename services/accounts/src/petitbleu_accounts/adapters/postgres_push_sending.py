"""Push subscriptions in the database, as who posts to them needs them: slices, targets, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.domain.push import PARTITIONS_A_SLICE, share_out
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

PAGE: Final = 1_000

# One sender at a time sees who holds what.
_ALONE: Final = "/* reference:accounts.push_alone */ SELECT slice FROM push_slice WHERE slice = 0 FOR UPDATE"
_LIVE: Final = """/* reference:accounts.push_live */ INSERT INTO push_sender (holder, until)
VALUES ($1, now() + make_interval(secs => $2)) ON CONFLICT (holder) DO UPDATE SET until = excluded.until"""
_DEAD: Final = "/* reference:accounts.push_dead */ DELETE FROM push_sender WHERE until < now() OR (holder = $1 AND $2)"
_SENDERS: Final = "/* reference:accounts.push_senders */ SELECT count(*) FROM push_sender"
_HELD: Final = """/* reference:accounts.push_held */ SELECT slice, CASE WHEN until > now() THEN holder END AS holder FROM push_slice"""
_TAKE: Final = """/* reference:accounts.push_take */ UPDATE push_slice SET holder = $1, until = now() + make_interval(secs => $3)
WHERE slice = ANY($2::smallint[])"""
_FREE: Final = """/* reference:accounts.push_free */ UPDATE push_slice SET holder = NULL, until = '-infinity'
WHERE holder = $1 AND slice = ANY($2::smallint[])"""

_ACCOUNTS: Final = f"""/* cold:accounts.push_accounts */ SELECT account_id, min(told_modseq) FILTER (WHERE verified) AS modseq,
    min(told_last_id) FILTER (WHERE verified) AS last_id, min(told_identities) FILTER (WHERE verified) AS identities,
    min(told_submissions) FILTER (WHERE verified) AS submissions, min(told_scripts) FILTER (WHERE verified) AS scripts,
    min(told_vacation) FILTER (WHERE verified) AS vacation, bool_or(code_due AND NOT verified) AS unverified
FROM push_subscription WHERE partition BETWEEN $1 AND $2 AND account_id > $3 AND expires_at > now()
GROUP BY account_id ORDER BY account_id LIMIT {PAGE}"""
# RFC 8620 §7.2: it ends with the credential that it was made with. RFC 9749 §5: and with the key of the sender.
_TARGETS: Final = """/* cold:accounts.push_targets */ SELECT s.*, extract(epoch FROM s.expires_at)::bigint AS ends,
    CASE WHEN s.next_try_at = '-infinity' THEN 0 ELSE extract(epoch FROM s.next_try_at)::float8 END AS next_try
FROM push_subscription s JOIN account a ON a.account_id = s.account_id
WHERE s.partition = ANY($1::smallint[]) AND s.account_id = ANY($2::bigint[]) AND s.expires_at > now() AND s.server_key = $3
    AND (s.verified OR s.code_due) AND a.state = $4 AND (s.credential_id = 0
    OR EXISTS (SELECT 1 FROM session c WHERE c.partition = s.partition AND c.account_id = s.account_id
        AND c.session_id = s.credential_id AND c.ends_at > now() AND c.idle_ends_at > now())
    OR EXISTS (SELECT 1 FROM app_password c WHERE c.partition = s.partition AND c.account_id = s.account_id
        AND c.app_password_id = s.credential_id))
ORDER BY s.partition, s.account_id, s.subscription_id"""
_OTHER_KEY: Final = """/* cold:accounts.push_other_key */ DELETE FROM push_subscription
WHERE partition = ANY($1::smallint[]) AND account_id = ANY($2::bigint[]) AND server_key <> $3"""

_EACH: Final = """FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::float8[]) AS o (partition, account_id, subscription_id, modseq, last_id, identities, submissions,
    scripts, vacation, seconds)
WHERE s.partition = ANY($1::smallint[]) AND s.partition = o.partition AND s.account_id = o.account_id
    AND s.subscription_id = o.subscription_id"""
_TOLD: Final = f"""/* cold:accounts.push_told */ UPDATE push_subscription s SET failures = 0, next_try_at = '-infinity',
    told_modseq = greatest(s.told_modseq, o.modseq), told_last_id = greatest(s.told_last_id, o.last_id),
    told_identities = greatest(s.told_identities, o.identities),
    told_submissions = greatest(s.told_submissions, o.submissions), told_scripts = greatest(s.told_scripts, o.scripts),
    told_vacation = greatest(s.told_vacation, o.vacation) {_EACH}"""
_VERIFYING: Final = f"""/* cold:accounts.push_verifying */ UPDATE push_subscription s SET failures = 0,
    next_try_at = '-infinity', code_due = false {_EACH}"""
_RETRY: Final = f"""/* cold:accounts.push_retry */ UPDATE push_subscription s SET failures = s.failures + 1,
    next_try_at = now() + make_interval(secs => o.seconds) {_EACH}"""
_GONE: Final = """/* cold:accounts.push_gone */ DELETE FROM push_subscription s USING (
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS o (partition, account_id, subscription_id)) o
WHERE s.partition = ANY($1::smallint[]) AND s.partition = o.partition AND s.account_id = o.account_id
    AND s.subscription_id = o.subscription_id"""

Outcome = tuple[int, int, int, int, int, int, int, int, float]
Outcomes = Sequence[Outcome]
"""Each with its account, subscription, what it was told, and seconds to wait."""


def _columns(outcomes: Outcomes) -> list[list[Any]]:
    columns = [list(column) for column in zip(*outcomes, strict=True)]
    return [[partition_of_account(account_id) for account_id in columns[0]], *columns]


class PostgresPushSending:
    """What the sender asks and keeps."""

    def __init__(self, pool: Pool, lease_seconds: int) -> None:
        self._pool = pool
        self.lease_seconds = lease_seconds

    async def hold(self, holder: str, *, release: bool) -> list[int]:
        """Say that a sender lives, or ends; return the slices that are its own for the lease."""

        async def work(connection: Connection) -> list[int]:
            await connection.execute(_ALONE)
            if not release:
                await connection.execute(_LIVE, holder, float(self.lease_seconds))
            await connection.execute(_DEAD, holder, release)
            held = {row["slice"]: row["holder"] for row in await connection.fetch(_HELD)}
            if release:
                await connection.execute(_FREE, holder, list(held))
                return []
            mine, given = share_out(held, holder, await connection.fetchval(_SENDERS))
            await connection.execute(_FREE, holder, given)
            await connection.execute(_TAKE, holder, mine, float(self.lease_seconds))
            return mine

        return await in_transaction(self._pool, work)

    async def accounts(self, slice_number: int, after: int) -> list[asyncpg.Record]:
        """A page of the accounts of a slice: `account_id`, `modseq`, `last_id` (None), `unverified`."""
        first = slice_number * PARTITIONS_A_SLICE
        return await self._pool.fetch(_ACCOUNTS, first, first + PARTITIONS_A_SLICE - 1, after)

    async def targets(self, account_ids: Sequence[int], server_key: bytes) -> list[asyncpg.Record]:
        """Rows of all that may be posted to; those of another key of the sender are destroyed."""
        place = (
            sorted({partition_of_account(account_id) for account_id in account_ids}),
            list(account_ids),
            server_key,
        )
        rows = await self._pool.fetch(_TARGETS, *place, int(State.ACTIVE))
        await self._pool.execute(_OTHER_KEY, *place)
        return rows

    async def record(self, told: Outcomes, verifying: Outcomes, retry: Outcomes, gone: Outcomes) -> None:
        """Keep what became of posts, in one commit."""

        async def work(connection: Connection) -> None:
            for statement, outcomes in ((_TOLD, told), (_VERIFYING, verifying), (_RETRY, retry)):
                if outcomes:
                    await connection.execute(statement, *_columns(outcomes))
            if gone:
                await connection.execute(_GONE, *_columns(gone)[:3])

        await in_transaction(self._pool, work)
