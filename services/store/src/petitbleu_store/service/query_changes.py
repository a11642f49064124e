"""QueryMessageChanges (RFC 8620 §5.6, RFC 8621 §4.5): the change log says what was touched, the list says where it is now."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.change_log import Kind
from petitbleu_store.domain.known_texts import Known
from petitbleu_store.domain.plain_lists import plain_of
from petitbleu_store.domain.query_scope import Entry, Touched, difference, scope_of, touched_by
from petitbleu_store.domain.query_sql import is_named
from petitbleu_store.domain.text_filter import has_texts
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.plain_listing import plain_listing
from petitbleu_store.service.query_lists import Listing, Lists, check
from petitbleu_store.service.text_lists import TextLists
from petitbleu_store.service.text_search import TooMuchToReadError

MAX_STEPS: Final = 20_000
"""Steps of the log that are read; a client further behind asks for the list, which then is cheaper."""

_LOG: Final = """/* cold:store.query_log */ SELECT a.modseq AS account_modseq, a.pruned_modseq, l.modseq, l.entity_id, l.thread_id, l.op
FROM account a LEFT JOIN LATERAL (SELECT c.modseq, c.entity_id, c.thread_id, c.op FROM change_log c
    WHERE c.partition = $1 AND c.account_id = $2 AND c.kind = $3 AND c.modseq > $4 ORDER BY c.modseq LIMIT $5) l ON true
WHERE a.partition = $1 AND a.account_id = $2 AND a.wrapped_key IS NOT NULL ORDER BY l.modseq"""

_MEMBERS: Final = """/* cold:store.query_members */ SELECT t.message_id, t.thread_id FROM thread_message t
WHERE t.partition = $1 AND t.account_id = $2 AND t.thread_id = ANY($3::bigint[]) LIMIT $4"""


class QueryChanges:
    """Tells what became of lists."""

    def __init__(self, core: Core, lists: Lists, texts: TextLists) -> None:
        self._core = core
        self._lists = lists
        self._texts = texts

    async def since(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessageChangesRequest
    ) -> mailbox_pb2.QueryMessageChangesResponse:
        """Return what became of a list since a modseq.

        Raises:
            StoreError: CANNOT_CALCULATE when it is another's account, the log does not reach back that far, the modseq was never
                given, or too much has happened; NOT_FOUND for an account erased meanwhile.
            QueryRefusedError: it is not answered.
        """
        if account.view is not None:
            # What another sees changes with what is shared, too, and the log names what is not seen.
            raise StoreError(Problem.CANNOT_CALCULATE)
        scope = scope_of(request.filter, request.sort)
        check(account, request)
        searched = has_texts(request.filter)
        if searched:
            await self._texts.prepare(account)
        # One snapshot: what the log tells and where messages are is of one instant.
        async with self._texts.snapshot(account) if searched else self._snapshot() as connection:
            modseq, steps = await self._log(connection, account, request.since_modseq)
            touched = touched_by(steps, scope)
            if not (touched.before or touched.made or request.calculate_total):
                # What most clients hear that ask after each push: nothing of their list was touched, whatever else was.
                return mailbox_pb2.QueryMessageChangesResponse(modseq=modseq, total=-1)
            if scope.threads and touched.threads:
                await self._add_members(connection, account, touched)
            known = await self._known(connection, account, request.filter) if searched else None
            if is_named(request.sort):
                rows = await self._lists.rows(connection, account, request, known)
                listing = None
            else:
                listing = await self._listing(connection, account, request, touched, known)
        if listing is None:
            listing = await self._lists.ordered(
                account, request, rows, lambda entries: _listing(entries, request, touched)
            )
        found = difference(touched, listing.entries, collapsed=request.collapse_threads)
        # RFC 8620 §5.6: upToId is ignored unless filter and sort are only on what never changes
        if not scope.mutable and listing.index is not None:
            found = found.until(listing.index)
        if request.HasField("max_changes") and len(found) > request.max_changes:
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_TOO_MANY_CHANGES)
        return mailbox_pb2.QueryMessageChangesResponse(
            removed=[message_id for message_id, _ in found.removed],
            added=[mailbox_pb2.AddedMessage(message_id=message_id, index=index) for message_id, index in found.added],
            total=listing.total if request.calculate_total else -1,
            modseq=modseq,
        )

    @contextlib.asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Executor]:
        async with (
            self._core.cold.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def _listing(
        self,
        connection: Executor,
        account: KnownAccount,
        request: mailbox_pb2.QueryMessageChangesRequest,
        touched: Touched,
        known: Known | None,
    ) -> Listing:
        plain = plain_of(request)
        if plain is not None and not plain.ascending:
            listing = await plain_listing(
                connection, account, plain.mailbox_id, touched, collapsed=request.collapse_threads
            )
            if listing is not None:
                return listing
        return await self._lists.listing(connection, account, request, touched, known)

    async def _known(self, connection: Executor, account: KnownAccount, given: mailbox_pb2.MessageFilter) -> Known:
        try:
            return await self._texts.known(connection, account, given)
        except TooMuchToReadError:
            raise StoreError(Problem.CANNOT_CALCULATE) from None

    async def _log(
        self, connection: Executor, account: KnownAccount, since: int
    ) -> tuple[int, list[tuple[int, int, int, int]]]:
        place = (account.partition, account.account_id)
        rows = await connection.fetch(_LOG, *place, Kind.MESSAGE, since, MAX_STEPS + 1)
        if not rows:
            raise StoreError(Problem.NOT_FOUND)
        modseq = rows[0]["account_modseq"]
        if not rows[0]["pruned_modseq"] <= since <= modseq or len(rows) > MAX_STEPS:
            raise StoreError(Problem.CANNOT_CALCULATE)
        return modseq, [
            (row["modseq"], row["entity_id"], row["thread_id"], row["op"]) for row in rows if row["modseq"] is not None
        ]

    async def _add_members(self, connection: Executor, account: KnownAccount, touched: Touched) -> None:
        """One message of a thread decides on the places of all."""
        place = (account.partition, account.account_id)
        rows = await connection.fetch(_MEMBERS, *place, list(touched.threads), MAX_STEPS + 1)
        if len(rows) > MAX_STEPS:
            raise StoreError(Problem.CANNOT_CALCULATE)
        touched.add_members([(row["message_id"], row["thread_id"]) for row in rows])


def _listing(entries: list[Entry], request: mailbox_pb2.QueryMessageChangesRequest, touched: Touched) -> Listing:
    """Return what is needed of a list that is there as a whole."""
    wanted = [
        entry
        for entry in entries
        if entry.message_id in touched or (request.collapse_threads and entry.thread_id in touched.threads)
    ]
    total = sum([entry.index is not None for entry in entries])
    last = next((entry.index for entry in entries if entry.message_id == request.up_to), None)
    return Listing(total, wanted, last)
