"""Identities in the database: read as a whole, for a person has few, and written by the row."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeVar

import asyncpg

from petitbleu.events.v1 import events_pb2
from petitbleu_accounts.adapters.database import Connection, Pool
from petitbleu_accounts.domain.identities import Address, Book, Identity, Owner
from petitbleu_accounts.domain.people import State
from petitbleu_accounts.domain.resolution import MAX_ALIAS_DEPTH
from petitbleu_kit.ids import partition_of_account
from petitbleu_kit.outbox import Outbox, OutboxRow
from petitbleu_kit.postgres import in_transaction

Result = TypeVar("Result")
_MAX_ADDRESSES: Final = 1_000
_KEPT_GONE: Final = 200
"""Destroyed identities that stay in the log; further ones are forgotten, the oldest first."""

# An address of the account, or an alias that leads to one of these and to nothing else: a group is nobody's own.
_ADDRESSES: Final = f"""/* cold:accounts.own_addresses */ WITH RECURSIVE mine (address, main, depth) AS (
    SELECT address, main, 0 FROM address WHERE account_id = $1
    UNION
    SELECT b.address, false, mine.depth + 1 FROM mine JOIN alias_member m ON m.member = mine.address
    JOIN address b ON b.alias_id = m.alias_id
    WHERE mine.depth < {MAX_ALIAS_DEPTH} AND NOT EXISTS (
        SELECT 1 FROM alias_member o WHERE o.alias_id = m.alias_id AND o.member <> m.member)
) SELECT address FROM mine GROUP BY address ORDER BY bool_or(main) DESC, min(depth), address LIMIT {_MAX_ADDRESSES}"""
_OWNER: Final = """/* cold:accounts.identity_owner */ SELECT c.tenant_id, c.guarded, p.display_name
FROM account c JOIN person p ON p.partition = c.partition AND p.account_id = c.account_id
WHERE c.account_id = $2 AND c.state = $3 AND p.partition = $1 AND p.account_id = $2"""
_OPEN: Final = """/* cold:accounts.identity_open */ INSERT INTO identity_book (partition, account_id) VALUES ($1, $2)
ON CONFLICT DO NOTHING"""
_BOOK: Final = """/* cold:accounts.identity_book */ SELECT modseq, last_id, pruned_modseq FROM identity_book
WHERE partition = $1 AND account_id = $2"""
_ROWS: Final = """/* cold:accounts.identities */ SELECT identity_id, created_modseq, modseq, own, gone, email, name, reply_to, bcc,
    text_signature, html_signature FROM identity WHERE partition = $1 AND account_id = $2"""
_PUT: Final = """/* cold:accounts.identity_put */ INSERT INTO identity AS i (partition, account_id, identity_id, created_modseq, modseq, own,
    gone, email, name, reply_to, bcc, text_signature, html_signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $13)
ON CONFLICT (partition, account_id, identity_id) DO UPDATE SET modseq = excluded.modseq, own = excluded.own, gone = excluded.gone,
    email = excluded.email, name = excluded.name, reply_to = excluded.reply_to, bcc = excluded.bcc,
    text_signature = excluded.text_signature, html_signature = excluded.html_signature
WHERE i.partition = $1"""
_PRUNE: Final = f"""/* cold:accounts.identity_prune */ WITH old AS (
    SELECT modseq FROM identity WHERE partition = $1 AND account_id = $2 AND gone AND NOT own
    ORDER BY modseq DESC OFFSET {_KEPT_GONE} LIMIT 1
), dropped AS (
    DELETE FROM identity WHERE partition = $1 AND account_id = $2 AND gone AND NOT own AND modseq <= (SELECT modseq FROM old)
) UPDATE identity_book SET pruned_modseq = greatest(pruned_modseq, (SELECT modseq FROM old))
WHERE partition = $1 AND account_id = $2 AND EXISTS (SELECT 1 FROM old)"""
_CLOSE: Final = """/* cold:accounts.identity_close */ UPDATE identity_book SET modseq = $3, last_id = $4
WHERE partition = $1 AND account_id = $2"""
_STATES: Final = """/* cold:accounts.identity_states */ SELECT account_id, modseq FROM identity_book
WHERE partition = ANY($1::smallint[]) AND account_id = ANY($2::bigint[])"""


def _read(text: str | None) -> tuple[Address, ...] | None:
    return None if text is None else tuple(Address(one["name"], one["email"]) for one in json.loads(text))


def _written(addresses: tuple[Address, ...] | None) -> str | None:
    return None if addresses is None else json.dumps([{"name": one.name, "email": one.email} for one in addresses])


def _identity(row: asyncpg.Record) -> Identity:
    return Identity(
        row["identity_id"], row["created_modseq"], row["modseq"], row["own"], row["gone"], row["email"], row["name"],
        _read(row["reply_to"]), _read(row["bcc"]), row["text_signature"], row["html_signature"],
    )  # fmt: skip


class PostgresIdentities:
    """Books of identities."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def book(self, account_id: int) -> tuple[Book, int] | None:
        """Return an account's book as it is and from which modseq on its changes are known; None without an active account."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await self._load(connection, account_id, _BOOK)  # type: ignore[arg-type]

    async def work(self, account_id: int, work: Callable[[Book], Awaitable[Result]]) -> Result | None:
        """Let `work` change an account's book, alone, and write what it changed; None without an active account."""

        async def whole(connection: Connection) -> tuple[Result | None, list[OutboxRow]]:
            partition = partition_of_account(account_id)
            await connection.execute(_OPEN, partition, account_id)
            loaded = await self._load(connection, account_id, f"{_BOOK} FOR UPDATE")
            if loaded is None:
                await connection.execute(
                    "/* cold:accounts.identity_unopen */ DELETE FROM identity_book WHERE partition = $1 AND account_id = $2",
                    partition, account_id,
                )  # fmt: skip
                return None, []
            book, _ = loaded
            result = await work(book)
            if not book.touched:
                return result, []
            await connection.executemany(
                _PUT, [_row(partition, account_id, book.identities[n]) for n in sorted(book.touched)]
            )
            await connection.execute(_CLOSE, partition, account_id, book.modseq, book.last_id)
            await connection.execute(_PRUNE, partition, account_id)
            event = events_pb2.IdentityChanged(account_id=account_id, modseq=book.modseq)
            events = [OutboxRow.make(partition, "accounts.identity.changed", event.SerializeToString())]
            await self._outbox.insert(connection, events)
            return result, events

        result, events = await in_transaction(self._pool, whole)
        self._outbox.published_soon(events)
        return result

    @staticmethod
    async def _load(connection: Connection, account_id: int, statement: str) -> tuple[Book, int] | None:
        place = (partition_of_account(account_id), account_id)
        book = await connection.fetchrow(statement, *place)
        owner = await connection.fetchrow(_OWNER, *place, int(State.ACTIVE))
        if owner is None:
            return None
        addresses = tuple(row["address"] for row in await connection.fetch(_ADDRESSES, account_id))
        rows = [_identity(row) for row in await connection.fetch(_ROWS, *place)]
        who = Owner(account_id, place[0], owner["tenant_id"], owner["display_name"], owner["guarded"], addresses)
        modseq, last_id, pruned = (0, 0, 0) if book is None else book.values()
        return Book(who, modseq, last_id, {row.identity_id: row for row in rows}), pruned

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Modseqs of the accounts whose identities were looked at before."""
        partitions = list({partition_of_account(account_id) for account_id in account_ids})
        rows = await self._pool.fetch(_STATES, partitions, list(account_ids))
        return {row["account_id"]: row["modseq"] for row in rows}


def _row(partition: int, account_id: int, one: Identity) -> tuple[Any, ...]:
    return (
        partition, account_id, one.identity_id, one.created_modseq, one.modseq, one.own, one.gone, one.email, one.name,
        _written(one.reply_to), _written(one.bcc), one.text_signature, one.html_signature,
    )  # fmt: skip
