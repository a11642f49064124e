"""The statements on shares: what an account shares, what is shared with it, and what was seen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.postgres import Executor

_VIEW: Final = """/* hot:store.share_view */ SELECT a.modseq, a.pruned_modseq, s.mailbox_id, s.rights, s.subscribed FROM account a
JOIN share s ON s.partition = $1 AND s.account_id = $2 AND s.grantee_id = $3
WHERE a.partition = $1 AND a.account_id = $2 AND a.shared AND NOT a.guarded AND a.wrapped_key IS NOT NULL"""

_PERSON: Final = """/* hot:store.share_person */ SELECT tenant_id, guarded FROM account
WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL"""

_OF_ACCOUNT: Final = """/* hot:store.shares_read */ SELECT mailbox_id, grantee_id, rights, subscribed FROM share
WHERE partition = $1 AND account_id = $2"""

_PUT: Final = """/* hot:store.shares_put */ INSERT INTO share (partition, account_id, grantee_id, mailbox_id, rights, subscribed)
SELECT $1, $2, v.grantee_id, v.mailbox_id, v.rights, v.subscribed
FROM unnest($3::bigint[], $4::bigint[], $5::integer[], $6::boolean[]) AS v (grantee_id, mailbox_id, rights, subscribed)
ON CONFLICT (partition, account_id, grantee_id, mailbox_id) DO UPDATE SET rights = excluded.rights, subscribed = excluded.subscribed"""

_END: Final = """/* hot:store.shares_end */ DELETE FROM share s USING unnest($3::bigint[], $4::bigint[]) AS v (grantee_id, mailbox_id)
WHERE s.partition = $1 AND s.account_id = $2 AND s.grantee_id = v.grantee_id AND s.mailbox_id = v.mailbox_id"""

_MARK: Final = """/* hot:store.share_mark */ UPDATE account SET shared = true WHERE partition = $1 AND account_id = $2 AND NOT shared"""

_RECEIVE: Final = """/* hot:store.share_receive */ INSERT INTO share_received (partition, grantee_id, account_id) VALUES ($1, $2, $3)
ON CONFLICT (partition, grantee_id, account_id) DO NOTHING"""

_LOSE: Final = """/* hot:store.share_lose */ DELETE FROM share_received WHERE partition = $1 AND grantee_id = $2 AND account_id = $3"""

_RECEIVED: Final = """/* hot:store.shares_received */ SELECT account_id FROM share_received WHERE partition = $1 AND grantee_id = $2
ORDER BY account_id LIMIT $3"""

_HISTORY: Final = """/* hot:store.share_history_insert */ INSERT INTO share_history (partition, account_id, grantee_id, modseq, before)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (partition, account_id, grantee_id, modseq) DO NOTHING"""

_BEFORE: Final = """/* hot:store.message_before_insert */ INSERT INTO message_before (partition, account_id, modseq, message_id, mailbox_ids)
SELECT $1, $2, v.modseq, v.message_id, v.mailbox_ids::bigint[]
FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS v (modseq, message_id, mailbox_ids)"""


async def view(executor: Executor, partition: int, account_id: int, grantee_id: int) -> list[asyncpg.Record]:
    """Return what an account shares with a grantee: modseq, pruned_modseq, mailbox_id, rights, subscribed; none when it is guarded."""
    rows: list[asyncpg.Record] = await executor.fetch(_VIEW, partition, account_id, grantee_id)
    return rows


async def person(executor: Executor, partition: int, account_id: int) -> asyncpg.Record | None:
    """Return tenant and guard of an account, None when there is none."""
    row: asyncpg.Record | None = await executor.fetchrow(_PERSON, partition, account_id)
    return row


async def of_account(executor: Executor, partition: int, account_id: int) -> list[asyncpg.Record]:
    """Return all that an account shares: mailbox_id, grantee_id, rights, subscribed."""
    rows: list[asyncpg.Record] = await executor.fetch(_OF_ACCOUNT, partition, account_id)
    return rows


async def put(
    connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[int, int, int, bool]]
) -> None:
    """Write shares: (grantee, mailbox, rights, subscribed)."""
    if rows:
        await connection.execute(_PUT, partition, account_id, *zip(*rows, strict=True))
        await connection.execute(_MARK, partition, account_id)


async def end(connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[int, int]]) -> None:
    """End shares: (grantee, mailbox)."""
    if rows:
        await connection.execute(_END, partition, account_id, *zip(*rows, strict=True))


async def receive(connection: Connection, partition: int, grantee_id: int, account_id: int) -> None:
    """Note in the grantee's partition that an account shares with it."""
    await connection.execute(_RECEIVE, partition, grantee_id, account_id)


async def lose(connection: Executor, partition: int, grantee_id: int, account_id: int) -> None:
    """Forget in the grantee's partition that an account shared with it."""
    await connection.execute(_LOSE, partition, grantee_id, account_id)


async def received(executor: Executor, partition: int, grantee_id: int, limit: int) -> list[int]:
    """Return the accounts that share with one."""
    return [row["account_id"] for row in await executor.fetch(_RECEIVED, partition, grantee_id, limit)]


async def saw(
    connection: Connection, partition: int, account_id: int, grantee_id: int, modseq: int, before: Sequence[int]
) -> None:
    """Note which mailboxes a grantee saw before a modseq."""
    await connection.execute(_HISTORY, partition, account_id, grantee_id, modseq, before)


async def moved(connection: Connection, partition: int, account_id: int, rows: Sequence[tuple[int, int, str]]) -> None:
    """Note the mailboxes that messages were in before: (modseq, message, array as text)."""
    if rows:
        await connection.execute(_BEFORE, partition, account_id, *zip(*rows, strict=True))
