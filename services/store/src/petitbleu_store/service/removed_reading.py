"""Reads of what an account deleted and may bring back; each with the state of it at the same instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_store.adapters import removed_rows
from petitbleu_store.core import Core
from petitbleu_store.domain.mailbox_names import open_name
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.reading import MAX_IDS, message_of
from petitbleu_store.service.removal import Keeping

_ORDERS: Final = {
    pb.REMOVED_SORT_UNSPECIFIED: "removed_ms",
    pb.REMOVED_SORT_REMOVED_AT: "removed_ms",
    pb.REMOVED_SORT_RECEIVED_AT: "received_ms",
    pb.REMOVED_SORT_SIZE: "size",
}

# RFC 8620 §5.5: a negative position counts from the end; an anchor is found among the results, and its offset may lead before them.
_QUERY: Final = """/* hot:store.removed_query */ WITH matched AS (
    SELECT message_id, row_number() OVER (ORDER BY {order}) - 1 AS place FROM removed_message
    WHERE partition = $1 AND account_id = $2 AND ($3::bigint = 0 OR removed_ms < $3) AND removed_ms >= $4
    AND ($5::bigint = 0 OR $5 = ANY(mailbox_ids))),
facts AS (SELECT count(*) AS total, max(place) FILTER (WHERE message_id = $7::bigint) AS anchor FROM matched),
began AS (SELECT total, anchor, greatest(0, CASE WHEN $7 <> 0 THEN anchor + $8::bigint WHEN $6::bigint < 0 THEN total + $6 ELSE $6 END) AS first FROM facts)
SELECT a.removed_state AS state, b.total, b.anchor, b.first, ARRAY(SELECT m.message_id FROM matched m
    WHERE m.place >= b.first AND m.place < b.first + $9::bigint ORDER BY m.place) AS message_ids
FROM account a, began b WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_GET: Final = """/* hot:store.removed_get */ SELECT a.removed_state AS state, m.message_id, m.thread_id, m.mailbox_ids, m.flags, m.keywords,
    m.size, m.received_ms, 0::bigint AS modseq, m.blob_id, m.removed_ms, m.with_mailbox, c.sealed
FROM account a LEFT JOIN (unnest($3::bigint[]) AS v (message_id)
    JOIN removed_message m ON m.partition = $1 AND m.account_id = $2 AND m.message_id = v.message_id
    JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = v.message_id) ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""

_WENT: Final = """/* hot:store.removed_went */ SELECT one AS mailbox_id, count(*) AS messages FROM removed_message, unnest(mailbox_ids) AS one
WHERE partition = $1 AND account_id = $2 AND with_mailbox GROUP BY one"""


class RemovedReading:
    """Shows what can be brought back. Held mail is in none of the tables that it reads."""

    def __init__(self, core: Core, names: KeywordNames) -> None:
        self._core = core
        self._names = names
        self._keeping = Keeping.of(core.settings)

    async def query(self, account: KnownAccount, request: pb.QueryRemovedRequest) -> pb.QueryRemovedResponse:
        """Find deleted messages.

        Raises:
            StoreError: INVALID for a limit or an order that is none; NOT_FOUND.
        """
        column = _ORDERS.get(request.sort)
        if column is None or not 0 <= request.limit <= MAX_IDS:
            raise StoreError(Problem.INVALID, "no limit, or no order")
        way = "ASC" if request.ascending else "DESC"
        row = await self._core.pool.fetchrow(
            _QUERY.format(order=f"{column} {way}, message_id {way}"), account.partition, account.account_id, request.before_ms,
            request.after_ms, request.in_mailbox, request.position, request.anchor, request.anchor_offset, request.limit,
        )  # fmt: skip
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        if request.anchor and row["anchor"] is None:
            return pb.QueryRemovedResponse(total=row["total"], state=row["state"], anchor_not_found=True)
        return pb.QueryRemovedResponse(
            message_ids=row["message_ids"], position=row["first"], total=row["total"], state=row["state"]
        )

    async def messages(self, account: KnownAccount, message_ids: Sequence[int]) -> pb.GetRemovedResponse:
        """Return deleted messages in the order of the ids; those that are not kept are left out.

        Raises:
            StoreError: INVALID for too many ids; NOT_FOUND; UNREADABLE when a row does not open.
        """
        if len(message_ids) > MAX_IDS:
            raise StoreError(Problem.INVALID, "too many messages")
        wanted = list(dict.fromkeys(message_ids))
        rows = await self._core.pool.fetch(_GET, account.partition, account.account_id, wanted)
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        response = pb.GetRemovedResponse(state=rows[0]["state"])
        found = {row["message_id"]: row for row in rows}
        numbers = [number for row in rows for number in row["keywords"] or ()]
        names = await self._names.of(self._core.pool, account, numbers)
        for row in [found[one] for one in wanted if one in found]:
            response.messages.add(
                message=message_of(account, row, names), removed_at_ms=row["removed_ms"], with_mailbox=row["with_mailbox"],
                expires_at_ms=row["removed_ms"] + self._keeping.milliseconds,
            )  # fmt: skip
        return response

    async def mailboxes(self, account: KnownAccount) -> pb.ListRemovedMailboxesResponse:
        """Return all deleted mailboxes, the last deleted first.

        Raises:
            StoreError: NOT_FOUND.
        """
        place = (account.partition, account.account_id)
        async with self._core.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            state = await removed_rows.state(connection, place)
            rows = await removed_rows.mailboxes(connection, place)
            went = {row["mailbox_id"]: row["messages"] for row in await connection.fetch(_WENT, *place)} if rows else {}
        if state is None:
            raise StoreError(Problem.NOT_FOUND)
        response = pb.ListRemovedMailboxesResponse(state=state)
        for row in rows:
            told = response.mailboxes.add(
                removed_at_ms=row["removed_ms"], expires_at_ms=row["removed_ms"] + self._keeping.milliseconds,
                messages=went.get(row["mailbox_id"], 0) + row["members"],
            )  # fmt: skip
            told.mailbox.mailbox_id, told.mailbox.parent_id = row["mailbox_id"], row["parent_id"]
            told.mailbox.name = open_name(account.cipher, row["mailbox_id"], row["name_sealed"])
            told.mailbox.role, told.mailbox.sort_order = row["role"], row["sort_order"]
            told.mailbox.subscribed = row["subscribed"]
        return response
