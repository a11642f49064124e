"""QueryMessages (RFC 8620 §5.5, RFC 8621 §4.4).

A list of one mailbox by date walks the mailbox's index from its end and stops when it has what is shown: its cost follows
what is shown, not what the mailbox holds. Everything else is of `query_lists`.
"""

from __future__ import annotations

from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.core import Core
from petitbleu_store.domain.plain_lists import Plain, plain_of
from petitbleu_store.domain.query_windows import collapsed_window, first_of_threads, position_end
from petitbleu_store.domain.sharing import View, filter_is_of_what_is_seen, order_is_of_what_is_seen
from petitbleu_store.domain.text_filter import has_texts
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.query_changes import QueryChanges
from petitbleu_store.service.query_lists import Lists
from petitbleu_store.service.text_lists import TextLists
from petitbleu_store.service.text_search import TextSearch

MAX_LIMIT: Final = 1000
# Entries read beyond those asked, when threads are collapsed; doubled with each further page.
_PAGE: Final = 64
_LAST_PAGE: Final = 8192
# Threads that a walk remembers; for a window further down PostgreSQL makes the list, which has disk for it.
_MOST_WALKED: Final = 20_000

_WHERE: Final = "b.partition = $1 AND b.account_id = $2 AND b.mailbox_id = $3"
_HEAD: Final = """SELECT a.modseq, c.total, c.threads, {} AS ids FROM account a
LEFT JOIN mailbox c ON c.partition = $1 AND c.account_id = $2 AND c.mailbox_id = $3
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"""
_LIST: Final = "ARRAY(SELECT b.message_id FROM mailbox_message b WHERE " + _WHERE + " ORDER BY {} OFFSET $4 LIMIT $5)"
_NEWEST: Final = "/* hot:store.query_newest */ " + _HEAD.format(_LIST.format("b.received_ms DESC, b.message_id DESC"))
_OLDEST: Final = "/* hot:store.query_oldest */ " + _HEAD.format(_LIST.format("b.received_ms, b.message_id"))
_COUNTS: Final = "/* hot:store.query_counts */ " + _HEAD.format("NULL::bigint[]")
_WALK_SOME: Final = (
    "SELECT b.received_ms, b.message_id, b.thread_id FROM mailbox_message b WHERE " + _WHERE
    + " {} ORDER BY b.received_ms DESC, b.message_id DESC LIMIT {}"
)  # fmt: skip
_WALK: Final = "/* hot:store.query_walk */ " + _WALK_SOME.format("AND (b.received_ms, b.message_id) < ($4, $5)", "$6")
_WALK_ONCE: Final = (
    "/* hot:store.query_walk_once */ SELECT a.modseq, c.threads, w.message_id, w.thread_id FROM account a "
    "LEFT JOIN mailbox c ON c.partition = $1 AND c.account_id = $2 AND c.mailbox_id = $3 "
    "LEFT JOIN LATERAL (" + _WALK_SOME.format("", "$4") + ") w ON true "
    "WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL ORDER BY w.received_ms DESC, w.message_id DESC"
)
_END: Final = (1 << 62, 1 << 62)


class Queries:
    """Finds messages."""

    def __init__(self, core: Core, texts: TextSearch) -> None:
        self._core = core
        self._lists = Lists(core)
        self._texts = TextLists(core, texts, self._lists)
        self._changes = QueryChanges(core, self._lists, self._texts)

    async def query(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return the ids of a query's window.

        Raises:
            StoreError: INVALID for what is not a query; NOT_FOUND for an account erased meanwhile.
        """
        if not 0 <= request.limit <= MAX_LIMIT:
            raise StoreError(Problem.INVALID, "limit is 0-1,000")
        try:
            if account.view is not None:
                return await self._for_another(account, account.view, request)
            response = await self._find(account, request)
        except QueryRefusedError as refused:
            return mailbox_pb2.QueryMessagesResponse(refusal=refused.refusal, total=-1)
        response.can_calculate_changes = True
        return response

    async def _for_another(
        self, account: KnownAccount, view: View, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Find among what another sees of the account."""
        if not filter_is_of_what_is_seen(request.filter):
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER)
        if not order_is_of_what_is_seen(request.sort):
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_SORT)
        narrowed = mailbox_pb2.QueryMessagesRequest()
        narrowed.CopyFrom(request)
        narrowed.filter.CopyFrom(view.filtered(request.filter))
        response = await self._find(account, narrowed)
        response.modseq = min(response.modseq, view.modseq)
        return response

    async def _find(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        if has_texts(request.filter):
            return await self._texts.window(account, request)
        plain = plain_of(request)
        if plain is not None and not request.anchor:
            if not request.collapse_threads:
                return await self._list(account, request, plain)
            if not plain.ascending:
                walked = await self._walk(account, request, plain)
                if walked is not None:
                    return walked
        return await self._lists.window(account, request)

    async def changes(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessageChangesRequest
    ) -> mailbox_pb2.QueryMessageChangesResponse:
        """Return what became of a query's list (RFC 8620 §5.6).

        Raises:
            StoreError: CANNOT_CALCULATE when it cannot be known; INVALID, NOT_FOUND as `query`.
        """
        try:
            return await self._changes.since(account, request)
        except QueryRefusedError as refused:
            return mailbox_pb2.QueryMessageChangesResponse(refusal=refused.refusal, total=-1)

    async def _list(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest, plain: Plain
    ) -> mailbox_pb2.QueryMessagesResponse:
        position = request.position
        if position < 0:
            counts = await self._core.reads.fetchrow(_COUNTS, account.partition, account.account_id, plain.mailbox_id)
            if counts is None:
                raise StoreError(Problem.NOT_FOUND)
            position = max(0, (counts["total"] or 0) + position)
        row = await self._core.reads.fetchrow(
            _OLDEST if plain.ascending else _NEWEST,
            account.partition,
            account.account_id,
            plain.mailbox_id,
            position,
            request.limit,
        )
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        return mailbox_pb2.QueryMessagesResponse(
            message_ids=row["ids"], position=position, modseq=row["modseq"],
            total=(row["total"] or 0) if request.calculate_total else -1,
        )  # fmt: skip

    async def _walk(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest, plain: Plain
    ) -> mailbox_pb2.QueryMessagesResponse | None:
        """List one message a thread: walk the index from the newest, leaving out threads that were met (RFC 8621 §4.4.3).

        None for a window so far from the newest that it is not walked to.
        """
        place = (account.partition, account.account_id, plain.mailbox_id)
        if request.position >= 0:
            # Most often one page has what is shown.
            wanted = position_end(request.position, request.limit)
            page = min(wanted + _PAGE, _LAST_PAGE)
            rows = await self._core.reads.fetch(_WALK_ONCE, *place, page)
            if not rows:
                raise StoreError(Problem.NOT_FOUND)
            heads = first_of_threads(
                [(row["message_id"], row["thread_id"]) for row in rows if row["message_id"] is not None]
            )
            if len(heads) >= wanted or len(rows) < page:
                return collapsed_window(request, request.position, heads, rows[0]["modseq"], rows[0]["threads"] or 0)
        return await self._walk_on(request, place)

    async def _walk_on(
        self, request: mailbox_pb2.QueryMessagesRequest, place: tuple[int, int, int]
    ) -> mailbox_pb2.QueryMessagesResponse | None:
        # One snapshot for all pages, so that the window and modseq are of one instant.
        async with (
            self._core.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            counts = await connection.fetchrow(_COUNTS, *place)
            if counts is None:
                raise StoreError(Problem.NOT_FOUND)
            threads = counts["threads"] or 0
            position = request.position if request.position >= 0 else max(0, threads + request.position)
            wanted = position_end(position, request.limit) if position < threads else 0
            if wanted > _MOST_WALKED:
                return None
            heads: dict[int, int] = {}
            last = _END
            page = min(wanted + _PAGE, _LAST_PAGE)
            while len(heads) < wanted:
                rows = await connection.fetch(_WALK, *place, *last, page)
                for received_ms, message_id, thread_id in rows:
                    heads.setdefault(thread_id, message_id)
                    last = (received_ms, message_id)
                if len(rows) < page:
                    break
                page = min(2 * page, _LAST_PAGE)
        return collapsed_window(request, position, list(heads.values()), counts["modseq"], threads)
