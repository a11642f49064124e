"""The port `Waiting` on PostgreSQL: what waits for a child by sender, decisions on it, and what is to be carried out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from petitbleu_junior_guard.adapters import voices
from petitbleu_junior_guard.adapters.connection import Connection, Pool, audit, or_away
from petitbleu_junior_guard.adapters.correspondents import guarded_by, looks_alike, make_room, speak
from petitbleu_junior_guard.domain.correspondents import Action
from petitbleu_junior_guard.domain.rules import UNANNOUNCED, Reason, Verdict
from petitbleu_junior_guard.domain.voices import AGAINST
from petitbleu_junior_guard.domain.waiting import DELIVERS, EXPIRY_DAYS, SenderAction
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor, Cleared, Correspondent, Errand, WaitingRow, WaitingRows
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.postgres import in_transaction

_LEASE: Final = timedelta(minutes=1)
_MOST_SHOWN: Final = 200
_QUIET: Final = sorted(reason.value for reason in UNANNOUNCED)
_SPEAKS: Final = {
    SenderAction.DELIVER_AND_APPROVE: Action.APPROVE, SenderAction.REFUSE: Action.REFUSE, SenderAction.BLOCK: Action.BLOCK,
}  # fmt: skip

_SHOWN: Final = """/* cold:junior-guard.shown */
SELECT s.sender_hash, s.authenticated, s.sealed, bool_or(d.reason = 'look-alike') AS alike, min(coalesce(d.held_at, d.decided_at)) AS first_at,
    max(coalesce(d.held_at, d.decided_at)) AS last_at, count(*) AS messages
FROM decision d JOIN sender s ON s.partition = d.partition AND s.account_id = d.account_id AND s.sender_hash = d.sender_hash
    AND s.authenticated = d.authenticated AND s.partition = $1
WHERE d.partition = $1 AND d.account_id = $2 AND d.verdict = 2 AND d.decided_by = 'rule' AND d.reason <> ALL($3::text[])
GROUP BY s.sender_hash, s.authenticated, s.sealed ORDER BY last_at DESC LIMIT $4"""

_NUMBERS: Final = """/* cold:junior-guard.numbers */
SELECT (SELECT count(*) FROM decision WHERE partition = $1 AND account_id = $2 AND verdict = 2 AND decided_by = 'rule'
        AND reason = ANY($3::text[])) AS unannounced, dropped, expired FROM child WHERE partition = $1 AND account_id = $2"""

_SENDER: Final = """/* cold:junior-guard.sender */
SELECT sealed, decided_by, decided_action FROM sender
WHERE partition = $1 AND account_id = $2 AND sender_hash = $3 ORDER BY authenticated = $4 DESC LIMIT 1"""

_CLEAR: Final = """/* cold:junior-guard.clear */
UPDATE decision SET verdict = $5, reason = 'person', decided_by = $6, decided_at = $7::timestamptz, carry_after = $8::timestamptz
WHERE partition = $1 AND account_id = $2 AND sender_hash = $3 AND verdict = 2 AND decided_by = 'rule'
    AND ($4::boolean IS NULL OR (authenticated = $4 AND reason <> ALL($9::text[]))) RETURNING accepted_id"""

_STANDS: Final = """/* cold:junior-guard.sender_decided */
UPDATE sender SET decided_by = $5, decided_action = $6
WHERE partition = $1 AND account_id = $2 AND sender_hash = $3 AND ($4::boolean IS NULL OR authenticated = $4)"""

# Upkeep looks at all partitions: by indexes that hold only what is due.
_DUE: Final = """/* cold:junior-guard.due */
UPDATE decision SET carry_after = $2 WHERE carry_after <= $1 AND (partition, account_id, accepted_id) IN
    (SELECT partition, account_id, accepted_id FROM decision WHERE carry_after <= $1 ORDER BY carry_after LIMIT $3)
RETURNING account_id, accepted_id, verdict, decided_at"""

_GIVE_UP: Final = """/* cold:junior-guard.give_up */
UPDATE decision SET carry_after = NULL WHERE partition = $1 AND account_id = $2 AND accepted_id = $3"""

_EXPIRE: Final = """/* cold:junior-guard.expire */
UPDATE decision SET verdict = 3, reason = 'expired', decided_by = 'expiry', decided_at = $2::timestamptz, carry_after = $2::timestamptz
WHERE verdict = 2 AND decided_by = 'rule' AND (partition, account_id, accepted_id) IN
    (SELECT partition, account_id, accepted_id FROM decision
     WHERE verdict = 2 AND decided_by = 'rule' AND coalesce(held_at, decided_at) < $1 ORDER BY coalesce(held_at, decided_at) LIMIT $3)
RETURNING partition, account_id"""

_EXPIRED: Final = """/* cold:junior-guard.expired */
UPDATE child SET expired = expired + $3 WHERE partition = $1 AND account_id = $2"""

_SENDERS_GONE: Final = """/* cold:junior-guard.senders_gone */
DELETE FROM sender s WHERE s.last_at < $1 AND NOT EXISTS (SELECT 1 FROM decision d WHERE d.partition = s.partition
    AND d.account_id = s.account_id AND d.sender_hash = s.sender_hash AND d.verdict = 2 AND d.decided_by = 'rule')"""


class PostgresWaiting:
    """Keeps what waits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @or_away
    async def list_for(self, account_id: int, actor: Actor) -> WaitingRows:
        """Give what waits for a child to a guardian."""
        partition = partition_of_account(account_id)

        async def work(connection: Connection) -> WaitingRows:
            await guarded_by(connection, account_id, actor)
            rows = await connection.fetch(_SHOWN, partition, account_id, _QUIET, _MOST_SHOWN)
            numbers = await connection.fetchrow(_NUMBERS, partition, account_id, _QUIET)
            return WaitingRows([WaitingRow(*row) for row in rows], *(numbers or (0, 0, 0)))

        return await in_transaction(self._pool, work)

    @or_away
    async def decide(
        self, account_id: int, sender_hash: bytes, actor: Actor, action: SenderAction, now: datetime, *,
        authenticated: bool, ends_at: datetime | None, although_alike: bool, skeletons: Callable[[bytes], bytes],
    ) -> Cleared:  # fmt: skip
        """Decide on what waits from a sender."""
        partition = partition_of_account(account_id)
        only = authenticated if action in DELIVERS else None

        async def work(connection: Connection) -> Cleared:
            await guarded_by(connection, account_id, actor)
            sender = await connection.fetchrow(_SENDER, partition, account_id, sender_hash, authenticated)
            if sender is None:
                raise GuardError(Fault.NO_SENDER)
            if action in _SPEAKS:
                one = Correspondent(sender_hash, skeletons(sender["sealed"]), sender["sealed"])
                await make_room(connection, account_id, sender_hash)
                approves = action is SenderAction.DELIVER_AND_APPROVE
                if approves and not although_alike and await looks_alike(connection, account_id, one, now):
                    raise GuardError(Fault.LOOKS_ALIKE)
                await voices.know(connection, account_id, [one])
                await speak(connection, account_id, sender_hash, actor, _SPEAKS[action], ends_at)
                await voices.stand(connection, account_id, [sender_hash])
            if action in DELIVERS:
                said = await voices.said(connection, account_id, [sender_hash])
                if any(voice.kind in AGAINST for voice in said.get(sender_hash, [])):
                    raise GuardError(Fault.REFUSED_BY_OTHERS)
            verdict = Verdict.DELIVER if action in DELIVERS else Verdict.DESTROY
            rows = await connection.fetch(
                _CLEAR, partition, account_id, sender_hash, only, int(verdict), actor.name, now, now + _LEASE, _QUIET
            )
            if not rows:
                first = sender["decided_action"]
                return Cleared([], sender["decided_by"] or 0, None if first is None else SenderAction(first))
            await connection.execute(_STANDS, partition, account_id, sender_hash, only, actor.party, int(action))
            name = action.name.lower().replace("_", "-")
            await audit(connection, account_id, actor.name, f"mail-{name}", sender_hash.hex())
            errands = [Errand(account_id, row["accepted_id"].bytes, verdict, now) for row in rows]
            return Cleared(errands, actor.party, action)

        return await in_transaction(self._pool, work)

    @or_away
    async def due(self, now: datetime, most: int) -> list[Errand]:
        """Lease decisions that store was not told of, or did not carry out."""
        rows = await self._pool.fetch(_DUE, now, now + _LEASE, most)
        return [
            Errand(row["account_id"], row["accepted_id"].bytes, Verdict(row["verdict"]), row["decided_at"])
            for row in rows
        ]

    @or_away
    async def give_up(self, errand: Errand) -> None:
        """Tell store no more of a decision."""
        await self._pool.execute(
            _GIVE_UP, partition_of_account(errand.account_id), errand.account_id, UUID(bytes=errand.accepted_id)
        )

    @or_away
    async def expire(self, now: datetime, most: int) -> int:
        """Decide that what waited too long is to be destroyed, and forget senders of whom nothing waits any more."""

        async def work(connection: Connection) -> int:
            old = now - timedelta(days=EXPIRY_DAYS)
            rows = await connection.fetch(_EXPIRE, old, now, most)
            counts: dict[tuple[int, int], int] = {}
            for row in rows:
                key = (row["partition"], row["account_id"])
                counts[key] = counts.get(key, 0) + 1
            for (partition, account_id), number in sorted(counts.items()):
                await connection.execute(_EXPIRED, partition, account_id, number)
                await audit(connection, account_id, "rule", Reason.EXPIRED.value, str(number))
            if len(rows) < most:
                await connection.execute(_SENDERS_GONE, old)
            return len(rows)

        return await in_transaction(self._pool, work)
