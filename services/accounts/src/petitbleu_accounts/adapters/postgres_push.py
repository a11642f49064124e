"""Push subscriptions in the database, as their owners see and change them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import asyncpg

from petitbleu.events.v1 import events_pb2
from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.domain.push import Change, Maker, Outcome, Subscription, Told, new_code
from petitbleu_kit.ids import new_row_id
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

Result = tuple[Outcome, Subscription | None]

_SEEN: Final = """subscription_id, device_client_id, CASE WHEN verified THEN verification_code ELSE '' END AS code,
extract(epoch FROM expires_at)::bigint AS expires_at, types"""
_LIST: Final = f"""/* cold:accounts.push_list */ SELECT {_SEEN} FROM push_subscription
WHERE partition = $1 AND account_id = $2 AND credential_id = $3 AND server_key = $4 AND expires_at > now()
ORDER BY subscription_id"""
_COUNT: Final = """/* cold:accounts.push_count */ SELECT count(*) FROM push_subscription
WHERE partition = $1 AND account_id = $2 AND expires_at > now()"""
_NEW: Final = f"""/* cold:accounts.push_new */ INSERT INTO push_subscription (partition, account_id, subscription_id, credential_id,
    device_client_id, url, p256dh, auth, types, expires_at, server_key, verification_code, told_modseq, told_last_id, told_identities,
    told_submissions, told_scripts, told_vacation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[], to_timestamp($10::bigint), $11, $12, $13, $14, $15, $16, $17, $18) RETURNING {_SEEN}"""
_CODE: Final = """/* cold:accounts.push_code */ SELECT verification_code FROM push_subscription
WHERE partition = $1 AND account_id = $2 AND subscription_id = $3 AND credential_id = $4 AND expires_at > now() FOR UPDATE"""
_CHANGE: Final = f"""/* cold:accounts.push_change */ UPDATE push_subscription SET
    expires_at = CASE WHEN $4::bigint IS NULL THEN expires_at ELSE to_timestamp($4::bigint) END,
    types = CASE WHEN $5 THEN $6::text[] ELSE types END, verified = verified OR $7, code_due = code_due AND NOT $7
WHERE partition = $1 AND account_id = $2 AND subscription_id = $3 RETURNING {_SEEN}"""
_DESTROY: Final = """/* cold:accounts.push_destroy */ DELETE FROM push_subscription
WHERE partition = $1 AND account_id = $2 AND subscription_id = $3 AND credential_id = $4 RETURNING expires_at > now()"""
_PRUNE: Final = """/* cold:accounts.push_prune */ DELETE FROM push_subscription s
WHERE s.expires_at < now() OR (NOT s.verified AND s.created_at < now() - interval '1 day') OR (s.credential_id <> 0
    AND NOT EXISTS (SELECT 1 FROM session c WHERE c.partition = s.partition AND c.account_id = s.account_id
        AND c.session_id = s.credential_id AND c.ends_at > now() AND c.idle_ends_at > now())
    AND NOT EXISTS (SELECT 1 FROM app_password c WHERE c.partition = s.partition AND c.account_id = s.account_id
        AND c.app_password_id = s.credential_id))"""


def _subscription(row: asyncpg.Record) -> Subscription:
    types = row["types"]
    return Subscription(
        row["subscription_id"], row["device_client_id"], row["code"], row["expires_at"],
        None if types is None else tuple(types),
    )  # fmt: skip


class PostgresPush:
    """Push subscriptions of people."""

    def __init__(self, pool: Pool, outbox: Outbox, most: int) -> None:
        self._pool = pool
        self._outbox = outbox
        self._most = most

    async def all(self, maker: Maker, server_key: bytes) -> list[Subscription]:
        """Those that were made with a credential, under a key of the sender."""
        place = (maker.partition, maker.account_id, maker.credential_id)
        return [_subscription(row) for row in await self._pool.fetch(_LIST, *place, server_key)]

    async def change(
        self, maker: Maker, changes: Sequence[tuple[Change, Outcome | None]], told: Told, server_key: bytes
    ) -> list[Result]:
        """Do all that is not refused already, in one commit, in order."""

        async def work(connection: Connection) -> tuple[list[Result], list[OutboxRow]]:
            results: list[Result] = []
            news = False
            for change, refused in changes:
                if refused is not None:
                    results.append((refused, None))
                    continue
                if change.destroy:
                    results.append(await self._destroy(connection, maker, change))
                    continue
                if change.subscription_id:
                    results.append(await self._update(connection, maker, change))
                else:
                    results.append(await self._create(connection, maker, change, told, server_key))
                news = news or results[-1][0] is Outcome.OK
            events = []
            if news:
                event = events_pb2.PushSubscriptionsChanged(account_id=maker.account_id)
                events = [OutboxRow.make(maker.partition, "accounts.push.changed", event.SerializeToString())]
                await self._outbox.insert(connection, events)
            return results, events

        results, events = await in_transaction(self._pool, work)
        self._outbox.published_soon(events)
        return results

    async def _create(
        self, connection: Connection, maker: Maker, change: Change, told: Told, server_key: bytes
    ) -> Result:
        if await connection.fetchval(_COUNT, maker.partition, maker.account_id) >= self._most:
            return Outcome.TOO_MANY, None
        keys = change.keys
        row = await connection.fetchrow(
            _NEW, maker.partition, maker.account_id, new_row_id(), maker.credential_id, change.device_client_id, change.url,
            None if keys is None else keys.p256dh, None if keys is None else keys.auth,
            None if change.types is None else list(change.types), change.expires_at, server_key, new_code(), *told,
        )  # fmt: skip
        if row is None:
            raise AssertionError("an insert returns its row")
        return Outcome.OK, _subscription(row)

    @staticmethod
    async def _update(connection: Connection, maker: Maker, change: Change) -> Result:
        place = (maker.partition, maker.account_id, change.subscription_id)
        code = await connection.fetchval(_CODE, *place, maker.credential_id)
        if code is None:
            return Outcome.NOT_FOUND, None
        if change.code is not None and not hmac.compare_digest(change.code.encode("utf-8", "replace"), code.encode()):
            return Outcome.WRONG_CODE, None
        types = None if change.types is None else list(change.types)
        row = await connection.fetchrow(
            _CHANGE, *place, change.expires_at, change.set_types, types, change.code is not None
        )
        return (Outcome.NOT_FOUND, None) if row is None else (Outcome.OK, _subscription(row))

    @staticmethod
    async def _destroy(connection: Connection, maker: Maker, change: Change) -> Result:
        place = (maker.partition, maker.account_id, change.subscription_id, maker.credential_id)
        gone = await connection.fetchval(_DESTROY, *place)
        return (Outcome.OK if gone else Outcome.NOT_FOUND), None

    async def prune(self) -> None:
        """Delete those that are over, with themselves or their credential, and those that nobody verified within a day."""
        await self._pool.execute(_PRUNE)
