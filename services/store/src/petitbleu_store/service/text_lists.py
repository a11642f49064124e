"""Lists by filters that look for texts: newest first, only as many messages are looked at as are shown."""

from __future__ import annotations

import contextlib

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.known_texts import Known
from petitbleu_store.domain.query_sql import is_named
from petitbleu_store.domain.query_windows import collapsed_window, position_end
from petitbleu_store.errors import QueryRefusedError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.query_lists import Lists, keyword_hash
from petitbleu_store.service.text_search import TextSearch, TooMuchToReadError


class TextLists:
    """Makes lists of what has texts."""

    def __init__(self, core: Core, texts: TextSearch, lists: Lists) -> None:
        self._core = core
        self._texts = texts
        self._lists = lists

    async def window(
        self, account: KnownAccount, request: mailbox_pb2.QueryMessagesRequest
    ) -> mailbox_pb2.QueryMessagesResponse:
        """Return the ids of a query's window.

        Raises:
            StoreError: as `Lists.window`; AWAY while the account is being indexed.
            QueryRefusedError: too many messages would have to be read, or it is not answered for another reason.
        """
        await self.prepare(account)
        async with self._texts.snapshot(account) as connection:
            known = await self._texts.look_up(connection, account, request.filter)
            try:
                if _is_newest_first(request):
                    found = await self._texts.walk(
                        connection, account, request.filter, known, keyword_hash(account),
                        position_end(request.position, request.limit), collapse=request.collapse_threads,
                    )  # fmt: skip
                    if found is not None:
                        return collapsed_window(request, request.position, found, known.modseq, -1)
                await self._settle(connection, account, request.filter, known)
            except TooMuchToReadError:
                raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_FILTER) from None
            if not is_named(request.sort):
                return await self._lists.unnamed_window(connection, account, request, known)
            rows = await self._lists.rows(connection, account, request, known)
        return await self._lists.named_window(account, request, rows)

    def snapshot(self, account: KnownAccount) -> contextlib.AbstractAsyncContextManager[Executor]:
        """Return the transaction of a query with texts; it waits for its turn."""
        return self._texts.snapshot(account)

    async def prepare(self, account: KnownAccount) -> None:
        """Have the index caught up, before the transaction.

        Raises:
            StoreError: AWAY when that takes longer than one waits.
        """
        await self._texts.prepare(account)

    async def known(self, connection: Executor, account: KnownAccount, given: mailbox_pb2.MessageFilter) -> Known:
        """Return all that a filter needs to be answered as a whole, in a transaction (repeatable read).

        Raises:
            TooMuchToReadError: it cannot be.
            StoreError: as `TextSearch.look_up`.
        """
        known = await self._texts.look_up(connection, account, given)
        await self._settle(connection, account, given, known)
        return known

    async def _settle(
        self, connection: Executor, account: KnownAccount, given: mailbox_pb2.MessageFilter, known: Known
    ) -> None:
        await self._texts.settle(connection, account, given, known, keyword_hash(account))


def _is_newest_first(request: mailbox_pb2.QueryMessagesRequest) -> bool:
    """Whether the window is counted from the newest message, and nothing else is asked."""
    newest = not request.sort or (
        request.sort[0].property == mailbox_pb2.SORT_PROPERTY_RECEIVED_AT and not request.sort[0].ascending
    )
    return (
        newest and len(request.sort) <= 1 and request.position >= 0 and not (request.anchor or request.calculate_total)
    )
