"""Where a few messages are in a list of one mailbox, newest first: counted in the mailbox's index, not by making the list."""

from __future__ import annotations

from typing import Final

from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.domain.query_scope import Entry, Touched
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.query_lists import Listing

MOST: Final = 16
"""Places that are counted one by one; for more the list is made."""

_ENTRIES: Final = """/* cold:store.plain_entries */ SELECT m.message_id, m.thread_id, m.received_ms FROM message m
WHERE m.partition = $1 AND m.account_id = $2 AND $3 = ANY(m.mailbox_ids) AND m.message_id = ANY(ARRAY(
    SELECT unnest($4::bigint[]) UNION SELECT t.message_id FROM thread_message t
    WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = ANY($5::bigint[])))
ORDER BY m.received_ms DESC, m.message_id DESC"""

_PLACES: Final = """/* cold:store.plain_places */ SELECT ARRAY(SELECT (SELECT count({}) FROM mailbox_message b
        WHERE b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = $3 AND (b.received_ms, b.message_id) > (v.received_ms, v.message_id))
    FROM unnest($4::bigint[], $5::bigint[]) WITH ORDINALITY AS v (received_ms, message_id, number) ORDER BY v.number) AS places,
    (SELECT c.{} FROM mailbox c WHERE c.partition = $1 AND c.account_id = $2 AND c.mailbox_id = $3) AS total"""
_OF_MESSAGES: Final = _PLACES.format("*", "total")
# RFC 8621 §4.4.3: as many stand before a thread's first message as other threads have a newer one
_OF_THREADS: Final = _PLACES.format("DISTINCT b.thread_id", "threads")


async def plain_listing(
    connection: Executor, account: KnownAccount, mailbox_id: int, touched: Touched, *, collapsed: bool
) -> Listing | None:
    """Return what `query_scope.difference` needs of a list of one mailbox, newest first; None when too much was touched."""
    ids = [*touched.before, *touched.made]
    if len(ids) > MOST:
        return None
    place = (account.partition, account.account_id, mailbox_id)
    rows = await connection.fetch(_ENTRIES, *place, ids, list(touched.threads) if collapsed else [])
    heads = rows
    if collapsed:
        heads = list({row["thread_id"]: row for row in reversed(rows)}.values())
    counted = await connection.fetchrow(
        _OF_THREADS if collapsed else _OF_MESSAGES,
        *place,
        [row["received_ms"] for row in heads],
        [row["message_id"] for row in heads],
    )
    if counted is None:
        return None
    index_of = {row["message_id"]: index for row, index in zip(heads, counted["places"], strict=True)}
    entries = [Entry(row["message_id"], row["thread_id"], index_of.get(row["message_id"])) for row in rows]
    return Listing(counted["total"] or 0, entries, None)
