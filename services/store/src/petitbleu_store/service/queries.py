"""QueryMessages (RFC 8620 §5.5, RFC 8621 §4.4).

A list of one mailbox by date walks the mailbox's index from its end and stops when it has what is shown: its cost follows
what is shown, not what the mailbox holds. Everything else is one statement over the narrow rows of the account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.query_sql import FilterSql, Parameters, conjuncts
from petitbleu_store.domain.sharing import View, filter_is_of_messages, order_is_of_messages
from petitbleu_store.domain.text_filter import has_texts
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.text_search import Known, TextSearch, TooMuchToReadError

MAX_LIMIT: Final = 1000
# Entries read beyond those asked, when threads are collapsed; doubled with each further page.
_PAGE: Final = 64
_LAST_PAGE: Final = 8192

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


@dataclass(frozen=True, slots=True)
class _Plain:
    """A query of one mailbox by date and nothing else."""

    mailbox_id: int
    ascending: bool


class Queries:
    """Finds messages."""

    def __init__(self, core: Core, texts: TextSearch) -> None:
        self._core = core
        self._texts = texts

    async def query(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return the ids of a query's window.

        Raises:
            StoreError: INVALID for what is not a query; NOT_FOUND for an account erased meanwhile.
        """
        if not 0 <= request.limit <= MAX_LIMIT:
            raise StoreError(Problem.INVALID, "limit is 0-1,000")
        if _has_unsupported(request.filter):
            return mailbox_pb2.QueryMessagesResponse(refusal=mailbox_pb2.QUERY_REFUSAL_FILTER, total=-1)
        if account.view is not None:
            return await self._for_another(account, account.view, request)
        return await self._find(account, request)

    async def _for_another(
        self, account: KnownAccount, view: View, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Find among what another sees of the account."""
        if not filter_is_of_messages(request.filter):
            return mailbox_pb2.QueryMessagesResponse(refusal=mailbox_pb2.QUERY_REFUSAL_FILTER, total=-1)
        if not order_is_of_messages(request.sort):
            return mailbox_pb2.QueryMessagesResponse(refusal=mailbox_pb2.QUERY_REFUSAL_SORT, total=-1)
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
            return await self._with_texts(account, request)
        plain = _plain(request)
        if plain is not None and not request.anchor:
            if not request.collapse_threads:
                return await self._list(account, request, plain)
            if not plain.ascending:
                return await self._walk(account, request, plain)
        return await self._general(account, request)

    async def changes(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessageChangesRequest
    ) -> mailbox_pb2.QueryMessageChangesResponse:
        """Return what became of a query's list (RFC 8620 §5.6).

        Raises:
            StoreError: CANNOT_CALCULATE when it cannot be known.
        """
        raise StoreError(Problem.CANNOT_CALCULATE, f"not known since {request.since_modseq} for {account.account_id}")

    async def _list(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest, plain: _Plain
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
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest, plain: _Plain
    ) -> mailbox_pb2.QueryMessagesResponse:
        """List one message a thread: walk the index from the newest, leaving out threads that were met (RFC 8621 §4.4.3)."""
        place = (account.partition, account.account_id, plain.mailbox_id)
        if request.position >= 0:
            # Most often one page has what is shown.
            wanted = position_end(request.position, request.limit)
            rows = await self._core.reads.fetch(_WALK_ONCE, *place, wanted + _PAGE)
            if not rows:
                raise StoreError(Problem.NOT_FOUND)
            heads = first_of_threads(
                [(row["message_id"], row["thread_id"]) for row in rows if row["message_id"] is not None]
            )
            if len(heads) >= wanted or len(rows) < wanted + _PAGE:
                return _collapsed(request, request.position, heads, rows[0]["modseq"], rows[0]["threads"] or 0)
        return await self._walk_on(request, place)

    async def _walk_on(
        self, request: mailbox_pb2.QueryMessagesRequest, place: tuple[int, int, int]
    ) -> mailbox_pb2.QueryMessagesResponse:
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
            wanted = position_end(position, request.limit)
            heads: dict[int, int] = {}
            last = _END
            page = wanted + _PAGE
            while len(heads) < wanted:
                rows = await connection.fetch(_WALK, *place, *last, page)
                for received_ms, message_id, thread_id in rows:
                    heads.setdefault(thread_id, message_id)
                    last = (received_ms, message_id)
                if len(rows) < page:
                    break
                page = min(2 * page, _LAST_PAGE)
        return _collapsed(request, position, list(heads.values()), counts["modseq"], threads)

    async def _with_texts(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Answer a query that looks for texts: newest first only as many are looked at as are shown."""
        await self._texts.prepare(account)
        hash_of = _keyword_hash(account)
        async with (
            self._core.cold.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            known = await self._texts.look_up(connection, account, request.filter)
            try:
                if _is_newest_first(request):
                    wanted = position_end(request.position, request.limit)
                    found = await self._texts.walk(
                        connection, account, request.filter, known, hash_of, wanted, collapse=request.collapse_threads
                    )
                    if found is not None:
                        return _collapsed(request, request.position, found, known.modseq, -1)
                await self._texts.settle(connection, account, request.filter, known, hash_of)
            except TooMuchToReadError:
                return mailbox_pb2.QueryMessagesResponse(refusal=mailbox_pb2.QUERY_REFUSAL_FILTER, total=-1)
            return await self._general(account, request, connection, known)

    async def _general(
        self,
        account: KnownAccount,
        request: mailbox_pb2.QueryMessagesRequest,
        executor: Executor | None = None,
        known: Known | None = None,
    ) -> mailbox_pb2.QueryMessagesResponse:
        parameters = Parameters(account.partition, account.account_id)
        sql = FilterSql(parameters, _keyword_hash(account), known.truth() if known is not None else None)
        where = sql.where(request.filter) if known is None else known.where(parameters, sql, request.filter)
        order = sql.order(list(request.sort))
        statement = _general_sql(parameters, request, where, order)
        row = await (executor or self._core.cold).fetchrow(statement, *parameters.values)
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        missing = bool(request.anchor) and row["anchor_rank"] is None
        return mailbox_pb2.QueryMessagesResponse(
            message_ids=[] if missing else row["ids"], position=0 if missing else row["start"], modseq=row["modseq"],
            total=row["matches"] if request.calculate_total else -1, anchor_not_found=missing,
        )  # fmt: skip


def _keyword_hash(account: KnownAccount) -> Callable[[str], int]:
    return lambda keyword: account.cipher.hash64(b"keyword", keyword.encode())


def _is_newest_first(request: mailbox_pb2.QueryMessagesRequest) -> bool:
    """Whether the window is counted from the newest message, and nothing else is asked."""
    newest = not request.sort or (
        request.sort[0].property == mailbox_pb2.SORT_PROPERTY_RECEIVED_AT and not request.sort[0].ascending
    )
    return (
        newest and len(request.sort) <= 1 and request.position >= 0 and not (request.anchor or request.calculate_total)
    )


def _has_unsupported(given: mailbox_pb2.MessageFilter) -> bool:
    return bool(
        given.all_in_thread_have_keyword or given.some_in_thread_have_keyword or given.none_in_thread_have_keyword
    ) or any(_has_unsupported(condition) for condition in given.conditions)


def position_end(position: int, limit: int) -> int:
    """Return how many entries must be known to show a window; none when nothing is asked for."""
    return position + limit if limit else 0


def first_of_threads(entries: list[tuple[int, int]]) -> list[int]:
    """Return the first message of each thread, of (message, thread) in order."""
    heads: dict[int, int] = {}
    for message_id, thread_id in entries:
        heads.setdefault(thread_id, message_id)
    return list(heads.values())


def _collapsed(
    request: mailbox_pb2.QueryMessagesRequest, position: int, heads: list[int], modseq: int, threads: int
) -> mailbox_pb2.QueryMessagesResponse:
    return mailbox_pb2.QueryMessagesResponse(
        message_ids=heads[position : position + request.limit], position=position, modseq=modseq,
        total=threads if request.calculate_total else -1,
    )  # fmt: skip


def _plain(request: mailbox_pb2.QueryMessagesRequest) -> _Plain | None:
    if len(request.sort) > 1 or (request.sort and request.sort[0].property != mailbox_pb2.SORT_PROPERTY_RECEIVED_AT):
        return None
    leaves = conjuncts(request.filter)
    if len(leaves) != 1:
        return None
    rest = mailbox_pb2.MessageFilter()
    rest.CopyFrom(leaves[0])
    mailbox_id = rest.in_mailbox
    rest.ClearField("in_mailbox")
    if not mailbox_id or rest.ByteSize():
        return None
    return _Plain(mailbox_id, bool(request.sort) and request.sort[0].ascending)


def _general_sql(parameters: Parameters, request: mailbox_pb2.QueryMessagesRequest, where: str, order: str) -> str:
    matched = f"SELECT m.message_id, m.thread_id, row_number() OVER (ORDER BY {order}) AS place FROM message m "
    matched += f"WHERE m.partition = $1 AND m.account_id = $2 AND {where}"
    if request.collapse_threads:
        matched = (
            "SELECT f.message_id, f.place FROM (SELECT x.message_id, x.place, "
            f"row_number() OVER (PARTITION BY x.thread_id ORDER BY x.place) AS nth FROM ({matched}) x) f WHERE f.nth = 1"
        )
    needs_total = request.calculate_total or (not request.anchor and request.position < 0)
    total = "(SELECT count(*) FROM ranked)" if needs_total else "-1"
    if request.anchor:
        anchor = f"(SELECT r.rank FROM ranked r WHERE r.message_id = {parameters.add(request.anchor, 'bigint')})"
        start = f"greatest(0, coalesce(w.anchor_rank, 0) + {parameters.add(request.anchor_offset, 'bigint')})"
    else:
        anchor = "NULL::bigint"
        position = parameters.add(request.position, "bigint")
        start = f"greatest(0, w.matches + {position})" if request.position < 0 else position
    limit = parameters.add(request.limit, "bigint")
    return (
        "/* cold:store.query */ WITH ranked AS MATERIALIZED ("
        f"SELECT g.message_id, row_number() OVER (ORDER BY g.place) - 1 AS rank FROM ({matched}) g), "
        f"whole AS MATERIALIZED (SELECT {total} AS matches, {anchor} AS anchor_rank), "
        f"bounds AS MATERIALIZED (SELECT w.matches, w.anchor_rank, {start} AS start FROM whole w) "
        "SELECT a.modseq, s.matches, s.anchor_rank, s.start, "
        "ARRAY(SELECT r.message_id FROM ranked r WHERE r.rank >= s.start "
        f"AND r.rank < s.start + {limit} ORDER BY r.rank) AS ids "
        "FROM account a CROSS JOIN bounds s WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"
    )
