"""Lists of messages by any filter and order (RFC 8621 §4.4): one statement over the narrow rows of the account.

Orders by names and subjects, which are sealed, are made here of the rows that the filter finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_mail.collations import COLLATIONS, DEFAULT
from petitbleu_mail.sorted_by import SortedBy
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.known_texts import Known
from petitbleu_store.domain.query_scope import Entry, Touched
from petitbleu_store.domain.query_sql import NAMED, FilterSql, Parameters, checked, is_named, oldest_first
from petitbleu_store.domain.query_windows import entries_of, whole_window
from petitbleu_store.domain.text_filter import text_leaves
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.sealed_names import MAX_SORTED, SealedNames

Asked = mailbox_pb2.QueryMessagesRequest | mailbox_pb2.QueryMessageChangesRequest

Result = TypeVar("Result")
_COLLATIONS: Final = {
    mailbox_pb2.COLLATION_UNICODE_CASEMAP: COLLATIONS["i;unicode-casemap"],
    mailbox_pb2.COLLATION_ASCII_CASEMAP: COLLATIONS["i;ascii-casemap"],
    mailbox_pb2.COLLATION_OCTET: COLLATIONS["i;octet"],
}
_DEFAULT: Final = next(number for number, collate in _COLLATIONS.items() if collate is COLLATIONS[DEFAULT])
_NAME_OF: Final[dict[int, Callable[[SortedBy], str]]] = {
    mailbox_pb2.SORT_PROPERTY_FROM: lambda names: names.from_,
    mailbox_pb2.SORT_PROPERTY_TO: lambda names: names.to,
    mailbox_pb2.SORT_PROPERTY_SUBJECT: lambda names: names.subject,
}
_OF_ACCOUNT: Final = "m.partition = $1 AND m.account_id = $2"


@dataclass(frozen=True, slots=True)
class Listing:
    """Of a list: how long it is, the entries asked for in order, and where one message is in it."""

    total: int
    entries: list[Entry]
    index: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """All that a filter finds, and the account's modseq of that instant."""

    modseq: int
    found: list[asyncpg.Record]


class Lists:
    """Makes lists. `known` is what is known of a filter's texts, when it has any."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._names = SealedNames(core)

    async def window(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return the ids of a query's window.

        Raises:
            StoreError: INVALID for what is no query; NOT_FOUND for an account erased meanwhile.
            QueryRefusedError: it is not answered.
        """
        if is_named(request.sort):
            return await self.named_window(account, request, await self.rows(self._core.cold, account, request))
        return await self.unnamed_window(self._core.cold, account, request)

    async def named_window(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest, rows: Rows
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return a window of what `rows` found, in an order of names."""
        return await self.ordered(account, request, rows, lambda entries: whole_window(entries, request, rows.modseq))

    async def unnamed_window(
        self,
        executor: Executor,
        account: KnownAccount,
        request: mailbox_pb2.QueryMessagesRequest,
        known: Known | None = None,
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return a window of a list that is in no order of names."""
        parameters = Parameters(account.partition, account.account_id)
        statement = _window_sql(parameters, request, _matched(account, parameters, request, known))
        row = await executor.fetchrow(statement, *parameters.values)
        if row is None:
            raise StoreError(Problem.NOT_FOUND)
        missing = bool(request.anchor) and row["anchor_rank"] is None
        return mailbox_pb2.QueryMessagesResponse(
            message_ids=[] if missing else row["ids"], position=0 if missing else row["start"], modseq=row["modseq"],
            total=row["matches"] if request.calculate_total else -1, anchor_not_found=missing,
        )  # fmt: skip

    async def rows(self, executor: Executor, account: KnownAccount, request: Asked, known: Known | None = None) -> Rows:
        """Return all that a filter finds, with what of an order is not sealed.

        Raises:
            QueryRefusedError: it finds more than can be sorted.
        """
        parameters = Parameters(account.partition, account.account_id)
        sql = _filter_sql(account, parameters, known)
        where = _condition(parameters, sql, request, known)
        keys = [
            f"{sql.key(sort) or 'NULL::bigint'} AS key_{number}" for number, sort in enumerate(checked(request.sort))
        ]
        columns = ", ".join(["m.message_id", "m.thread_id", "m.received_ms", "m.blob_id", *keys])
        found = await executor.fetch(
            f"/* cold:store.query_rows */ SELECT a.modseq, f.* FROM account a LEFT JOIN (SELECT {columns} FROM {sql.source()} "
            f"WHERE {_OF_ACCOUNT} AND {where} LIMIT {MAX_SORTED + 1}) f ON true "
            "WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL",
            *parameters.values,
        )
        if not found:
            raise StoreError(Problem.NOT_FOUND)
        rows = [row for row in found if row["message_id"] is not None]
        if len(rows) > MAX_SORTED:
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_SORT)
        return Rows(found[0]["modseq"], rows)

    async def ordered(
        self, account: KnownAccount, request: Asked, rows: Rows, then: Callable[[list[Entry]], Result]
    ) -> Result:
        """Put what `rows` found in order, and return what `then` makes of it, which is done where it holds up nobody."""
        names = await self._names.of(account, {row["message_id"]: row["blob_id"] for row in rows.found})

        def work() -> Result:
            found = in_order(rows.found, list(request.sort), names)
            ids = [(row["message_id"], row["thread_id"]) for row in found]
            return then(entries_of(ids, collapsed=request.collapse_threads))

        # 50,000 names take seconds to compare, in which mail must be accepted
        return await self._names.apart(work)

    async def listing(
        self,
        executor: Executor,
        account: KnownAccount,
        request: mailbox_pb2.QueryMessageChangesRequest,
        touched: Touched,
        known: Known | None = None,
    ) -> Listing:
        """Return what `query_scope.difference` needs of a list that is in no order of names."""
        parameters = Parameters(account.partition, account.account_id)
        matched = _matched(account, parameters, request, known)
        ids = parameters.add([*touched.before, *touched.made], "bigint[]")
        threads = parameters.add(list(touched.threads) if request.collapse_threads else [], "bigint[]")
        last = parameters.add(request.up_to, "bigint")
        rows = await executor.fetch(
            f"/* cold:store.query_listing */ WITH ranked AS MATERIALIZED ({matched}) "
            "SELECT t.total, t.last, r.message_id, r.thread_id, r.rank "
            f"FROM (SELECT count(rank) AS total, max(rank) FILTER (WHERE message_id = {last}) AS last FROM ranked) t "
            "LEFT JOIN (SELECT message_id, thread_id, rank, place FROM ranked "
            f"WHERE message_id IN (SELECT unnest({ids})) OR thread_id IN (SELECT unnest({threads}))) r ON true "
            "ORDER BY r.place",
            *parameters.values,
        )
        entries = [
            Entry(row["message_id"], row["thread_id"], row["rank"]) for row in rows if row["message_id"] is not None
        ]
        return Listing(rows[0]["total"], entries, rows[0]["last"])


def in_order(rows: Sequence[Any], sorts: Sequence[mailbox_pb2.MessageSort], names: Mapping[int, SortedBy]) -> list[Any]:
    """Return rows in an order of names. What an order asks for a second time was decided the first time, and costs nothing."""
    found = sorted(rows, key=lambda row: (row["received_ms"], row["message_id"]), reverse=not oldest_first(sorts))
    first = {
        (sort.property, sort.collation or _DEFAULT, sort.keyword): number
        for number, sort in reversed(list(enumerate(sorts)))
    }
    for number in sorted(first.values(), reverse=True):
        found.sort(key=_key(number, sorts[number], names), reverse=not sorts[number].ascending)
    return found


def keyword_hash(account: KnownAccount) -> Callable[[str], int]:
    """Return what gives the keyed hash of a keyword that has no flag."""
    return lambda keyword: account.cipher.hash64(b"keyword", keyword.encode())


def check(account: KnownAccount, request: Asked) -> None:
    """See that a query is one, before anything is read for it.

    Raises:
        StoreError: INVALID for what is no query.
        QueryRefusedError: it is too complex.
    """
    text_leaves(request.filter)
    sql = FilterSql(
        Parameters(account.partition, account.account_id), keyword_hash(account), lambda _leaf, _negated: None,
        seen=account.seen,
    )  # fmt: skip
    sql.where(request.filter)
    for sort in checked(request.sort):
        sql.key(sort)
    sql.source()


def _filter_sql(account: KnownAccount, parameters: Parameters, known: Known | None) -> FilterSql:
    return FilterSql(parameters, keyword_hash(account), None if known is None else known.truth(), seen=account.seen)


def _condition(parameters: Parameters, sql: FilterSql, request: Asked, known: Known | None) -> str:
    return sql.where(request.filter) if known is None else known.where(parameters, sql, request.filter)


def _key(
    number: int, sort: mailbox_pb2.MessageSort, names: Mapping[int, SortedBy]
) -> Callable[[Mapping[str, Any]], Any]:
    if sort.property not in NAMED:
        return lambda row: row[f"key_{number}"]
    name_of = _NAME_OF[sort.property]
    collate = _COLLATIONS[sort.collation or _DEFAULT]
    return lambda row: collate(name_of(names[row["message_id"]]))


def _matched(account: KnownAccount, parameters: Parameters, request: Asked, known: Known | None) -> str:
    """Return a query of all that matches: message_id, thread_id, place, and rank, which is NULL where another stands for the thread."""
    sql = _filter_sql(account, parameters, known)
    where = _condition(parameters, sql, request, known)
    order = sql.order(request.sort)
    matched = (
        f"SELECT m.message_id, m.thread_id, row_number() OVER (ORDER BY {order}) AS place FROM {sql.source()} "
        f"WHERE {_OF_ACCOUNT} AND {where}"
    )
    if not request.collapse_threads:
        return f"SELECT x.message_id, x.thread_id, x.place, x.place - 1 AS rank FROM ({matched}) x"
    # RFC 8621 §4.4.3: the first of each thread
    firsts = f"SELECT x.*, row_number() OVER (PARTITION BY x.thread_id ORDER BY x.place) AS nth FROM ({matched}) x"
    return (
        "SELECT f.message_id, f.thread_id, f.place, "
        "CASE WHEN f.nth = 1 THEN count(*) FILTER (WHERE f.nth = 1) OVER (ORDER BY f.place) - 1 END AS rank "
        f"FROM ({firsts}) f"
    )


def _window_sql(parameters: Parameters, request: mailbox_pb2.QueryMessagesRequest, matched: str) -> str:
    needs_total = request.calculate_total or (not request.anchor and request.position < 0)
    total = "(SELECT count(rank) FROM ranked)" if needs_total else "-1"
    if request.anchor:
        anchor = f"(SELECT r.rank FROM ranked r WHERE r.message_id = {parameters.add(request.anchor, 'bigint')})"
        start = f"greatest(0, coalesce(w.anchor_rank, 0) + {parameters.add(request.anchor_offset, 'bigint')})"
    else:
        anchor = "NULL::bigint"
        position = parameters.add(request.position, "bigint")
        start = f"greatest(0, w.matches + {position})" if request.position < 0 else position
    limit = parameters.add(request.limit, "bigint")
    return (
        f"/* cold:store.query */ WITH ranked AS MATERIALIZED ({matched}), "
        f"whole AS MATERIALIZED (SELECT {total} AS matches, {anchor} AS anchor_rank), "
        f"bounds AS MATERIALIZED (SELECT w.matches, w.anchor_rank, {start} AS start FROM whole w) "
        "SELECT a.modseq, s.matches, s.anchor_rank, s.start, "
        "ARRAY(SELECT r.message_id FROM ranked r WHERE r.rank >= s.start "
        f"AND r.rank < s.start + {limit} ORDER BY r.rank) AS ids "
        "FROM account a CROSS JOIN bounds s WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL"
    )
