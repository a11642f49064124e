"""The port `Records` on PostgreSQL: what a check reads and records. Every statement names its partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from msgspec import structs

from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, lock, or_away
from petitbleu_junior_guard.adapters.news import tell
from petitbleu_junior_guard.domain.alerts import NewsKind
from petitbleu_junior_guard.domain.rules import UNANNOUNCED, Knowledge, Level, Reason, Verdict
from petitbleu_junior_guard.domain.waiting import Load
from petitbleu_junior_guard.ports import Asked, Rule, Ruling
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

# What waited before there were limits may be more.
_MOST_READ: Final = 10_000

# No `partition = ANY($1)` beside the joins: whoever plans it takes both for independent, expects one row whichever index is used,
# and reads all that the partitions of these children have. `LIMIT 1` is for a plan made while a table was empty: it reads no whole table later.
# `+ 0`: a look-alike is found by its skeleton's hash, which is the child's own, and not among all that the child knows.
_KNOWLEDGE: Final = """/* hot:junior-guard.knowledge */
SELECT c.level, coalesce(s.approved_until > $6, false) AS approved, coalesce(s.family_until > $6, false) AS family,
    coalesce(s.grouped_until > $6, false) AS grouped, coalesce(s.is_added, false) AS added, coalesce(s.is_refused, false) AS refused,
    EXISTS (SELECT 1 FROM standing t WHERE t.partition = i.partition AND t.account_id + 0 = i.account_id
        AND t.skeleton_hash = i.skeleton_hash AND t.address_hash <> i.address_hash AND NOT t.is_refused
        AND (t.is_added OR greatest(t.approved_until, t.family_until, t.grouped_until) > $6)) AS alike, d.verdict AS final,
    coalesce(s.taught_until > $6 AND s.grouped_until > $6, false) AS teacher
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[]) WITH ORDINALITY
    AS i (partition, account_id, accepted_id, address_hash, skeleton_hash, no)
LEFT JOIN LATERAL (SELECT level FROM child WHERE partition = i.partition AND account_id = i.account_id LIMIT 1) c ON true
LEFT JOIN LATERAL (SELECT * FROM standing WHERE partition = i.partition AND account_id = i.account_id AND address_hash = i.address_hash
    LIMIT 1) s ON true
LEFT JOIN LATERAL (SELECT verdict FROM decision WHERE partition = i.partition AND account_id = i.account_id
    AND accepted_id = i.accepted_id AND decided_by <> 'rule' LIMIT 1) d ON true
ORDER BY i.no"""

_RECORD: Final = """/* hot:junior-guard.record */
INSERT INTO decision AS d (partition, account_id, accepted_id, verdict, reason, decided_by, sender_hash, authenticated, size, held_at)
SELECT partition, account_id, accepted_id, verdict, reason, 'rule', sender_hash, authenticated, size, held_at
FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::smallint[], $5::text[], $6::bytea[], $7::boolean[], $8::bigint[], $9::timestamptz[])
    AS i (partition, account_id, accepted_id, verdict, reason, sender_hash, authenticated, size, held_at)
ORDER BY 1, 2, 3
ON CONFLICT (partition, account_id, accepted_id)
DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, decided_at = now(), sender_hash = excluded.sender_hash,
    authenticated = excluded.authenticated, size = excluded.size, held_at = coalesce(d.held_at, excluded.held_at)
WHERE d.decided_by = 'rule' AND d.partition = excluded.partition AND (d.verdict, d.reason) <> (excluded.verdict, excluded.reason)"""

_WAITS: Final = """/* hot:junior-guard.waits */
SELECT accepted_id, sender_hash, reason, size, authenticated FROM decision
WHERE partition = $1 AND account_id = $2 AND verdict = 2 AND decided_by = 'rule' LIMIT $3"""

_SENDERS: Final = """/* hot:junior-guard.senders */
INSERT INTO sender (partition, account_id, sender_hash, authenticated, sealed, last_at)
SELECT $1, $2, hash, authenticated, sealed, $6 FROM unnest($3::bytea[], $4::boolean[], $5::bytea[]) AS i (hash, authenticated, sealed)
ORDER BY hash, authenticated
ON CONFLICT (partition, account_id, sender_hash, authenticated) DO UPDATE SET last_at = excluded.last_at
RETURNING sender_hash, authenticated, sealed, xmax = 0 AS is_new"""

_FRESH: Final = """/* hot:junior-guard.fresh_sender */
UPDATE sender SET reminded = false WHERE partition = $1 AND account_id = $2 AND sender_hash = $3 AND authenticated = $4"""

# A message that delivery asks about again is counted once.
_NEWLY_DROPPED: Final = """/* hot:junior-guard.newly_dropped */
SELECT count(*) FROM unnest($3::uuid[]) AS i (accepted_id) WHERE NOT EXISTS (SELECT 1 FROM decision d
    WHERE d.partition = $1 AND d.account_id = $2 AND d.accepted_id = i.accepted_id AND d.reason = 'held-limit')"""

_DROPPED: Final = """/* hot:junior-guard.dropped */
UPDATE child SET dropped = dropped + $3 WHERE partition = $1 AND account_id = $2"""


class PostgresRecords:
    """Knows correspondents and keeps decisions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def knowledge(self, asked: Sequence[Asked], now: datetime) -> list[Knowledge]:
        """Say what is known of each message."""
        return await _knowledge(self._pool, asked, now)

    @or_away
    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        await _record(self._pool, rulings, None)

    @or_away
    async def hold(self, account_id: int, asked: Sequence[Asked], rule: Rule, now: datetime) -> list[Ruling]:
        """Record decisions on messages for one child that are to wait, as far as there is room."""

        async def work(connection: Connection) -> list[Ruling]:
            if await lock(connection, account_id) is None:
                rulings = rule(asked, await _knowledge(connection, asked, now))
                await _record(connection, rulings, now)
                return rulings
            # Under the lock: what was approved or decided meanwhile counts.
            rulings = rule(asked, await _knowledge(connection, asked, now))
            waits, load = await _load(connection, account_id)
            rulings = _within(rulings, waits, load)
            partition = partition_of_account(account_id)
            dropped = {UUID(bytes=one.accepted_id) for one in rulings if one.reason is Reason.HELD_LIMIT}
            if dropped:
                new = await connection.fetchval(_NEWLY_DROPPED, partition, account_id, sorted(dropped))
                await connection.execute(_DROPPED, partition, account_id, new)
            await _record(connection, rulings, now)
            shown = {
                (one.asked.address_hash, one.asked.item.authenticated): one.sealed
                for one in rulings
                if one.verdict is Verdict.HOLD and one.sealed
            }
            for row in await _keep_senders(connection, account_id, shown, now):
                key = (row["sender_hash"], row["authenticated"])
                if key not in load.shown:
                    await connection.execute(_FRESH, partition, account_id, *key)
                    await tell(connection, account_id, NewsKind.WAITS, key[0], row["sealed"], now, authenticated=key[1])
            return rulings

        return await in_transaction(self._pool, work)

    @or_away
    async def newcomers(self, rulings: Sequence[Ruling], now: datetime) -> None:
        """Have guardians told of senders who are new and whose mail was let in, of each once."""
        by_child: dict[int, dict[tuple[bytes, bool], bytes]] = {}
        for one in rulings:
            by_child.setdefault(one.account_id, {})[one.asked.address_hash, True] = one.sealed
        for account_id, shown in by_child.items():

            async def work(
                connection: Connection, account_id: int = account_id, shown: Mapping[tuple[bytes, bool], bytes] = shown
            ) -> None:
                await lock(connection, account_id)
                for row in await _keep_senders(connection, account_id, shown, now):
                    if row["is_new"]:
                        await tell(connection, account_id, NewsKind.NEWCOMER, row["sender_hash"], row["sealed"], now)

            await in_transaction(self._pool, work)

    @or_away
    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now."""
        partition, accepted = partition_of_account(account_id), UUID(bytes=accepted_id)

        async def work(connection: Connection) -> Verdict | None:
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
                "decided_at = now(), carry_after = now() + interval '1 minute' WHERE partition = $1 AND account_id = $2 AND accepted_id = $3",
                partition, account_id, accepted, int(verdict), Reason.PERSON.value, actor,
            )  # fmt: skip
            await audit(connection, account_id, actor, verdict.name.lower(), accepted_id.hex())
            return verdict

        return await in_transaction(self._pool, work)

    @or_away
    async def carried(self, account_id: int, accepted_id: bytes) -> None:
        """Note that store carried a decision out."""
        await self._pool.execute(
            "/* cold:junior-guard.carried */ UPDATE decision SET carry_after = NULL "
            "WHERE partition = $1 AND account_id = $2 AND accepted_id = $3",
            partition_of_account(account_id), account_id, UUID(bytes=accepted_id),
        )  # fmt: skip


async def _knowledge(reader: Connection | Pool, asked: Sequence[Asked], now: datetime) -> list[Knowledge]:
    items = [one.item for one in asked]
    rows = await reader.fetch(
        _KNOWLEDGE, [partition_of_account(item.account_id) for item in items], [item.account_id for item in items],
        [UUID(bytes=item.accepted_id) for item in items], [one.address_hash for one in asked],
        [one.skeleton_hash for one in asked], now, timeout=5,
    )  # fmt: skip
    return [
        Knowledge(
            None if level is None else Level(level), approved, family, grouped, added, refused, alike,
            None if final is None else Verdict(final), teacher,
        )
        for level, approved, family, grouped, added, refused, alike, final, teacher in rows
    ]  # fmt: skip


async def _record(writer: Connection | Pool, rulings: Sequence[Ruling], now: datetime | None) -> None:
    unique = {(ruling.account_id, ruling.accepted_id): ruling for ruling in rulings if ruling.reason != Reason.PERSON}
    if not unique:
        return
    rows = list(unique.values())
    await writer.execute(
        _RECORD, [partition_of_account(row.account_id) for row in rows], [row.account_id for row in rows],
        [UUID(bytes=row.accepted_id) for row in rows], [int(row.verdict) for row in rows],
        [row.reason.value for row in rows], [row.asked.address_hash for row in rows],
        [row.asked.item.authenticated for row in rows], [row.asked.item.size for row in rows],
        [now if row.verdict is Verdict.HOLD else None for row in rows], timeout=5,
    )  # fmt: skip


async def _keep_senders(
    connection: Connection, account_id: int, shown: Mapping[tuple[bytes, bool], bytes], now: datetime
) -> list[asyncpg.Record]:
    if not shown:
        return []
    return await connection.fetch(
        _SENDERS, partition_of_account(account_id), account_id, [key[0] for key in shown], [key[1] for key in shown],
        list(shown.values()), now,
    )  # fmt: skip


async def _load(connection: Connection, account_id: int) -> tuple[set[bytes], Load]:
    """Return what waits for a child already, and how much that is."""
    load, waits = Load(), set()
    rows = await connection.fetch(_WAITS, partition_of_account(account_id), account_id, _MOST_READ)
    for accepted_id, sender_hash, reason, size, authenticated in rows:
        waits.add(accepted_id.bytes)
        load.messages += 1
        load.octets += size
        sender = sender_hash or b""
        load.of_sender[sender] = load.of_sender.get(sender, 0) + 1
        if reason in UNANNOUNCED:
            load.unannounced += 1
            load.unannounced_octets += size
        else:
            load.shown.add((sender, bool(authenticated)))
    return waits, load


def _within(rulings: Sequence[Ruling], waits: set[bytes], load: Load) -> list[Ruling]:
    """Return rulings with those to be dropped for which there is no room; a message that waits already keeps its own."""
    found: list[Ruling] = []
    fates: dict[bytes, bool] = dict.fromkeys(waits, True)
    for one in rulings:
        if one.verdict is Verdict.HOLD and one.reason is not Reason.PERSON:
            fits = fates.get(one.accepted_id)
            if fits is None:
                announced = one.reason not in UNANNOUNCED
                fits = load.take(one.asked.address_hash, one.asked.item.size, announced=announced)
                fates[one.accepted_id] = fits
            if not fits:
                found.append(structs.replace(one, verdict=Verdict.DESTROY, reason=Reason.HELD_LIMIT))
                continue
        found.append(one)
    return found
