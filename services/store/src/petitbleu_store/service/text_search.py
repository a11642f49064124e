"""The texts of a query: looked up in the index, and read in the mail itself where the index does not know for sure.

The index says of each text which messages have it for sure and which may (a phrase, words in a row, a header field's text, mail that
came this instant). A filter is first asked what it could find; of that, what only may be is opened and read; then what is true is
known. So the index can be wrong in one direction only, and what it does not know yet is never missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.logs import get_logger
from petitbleu_store.adapters import search_rows
from petitbleu_store.adapters.mail_reader.process import MailReader, ReaderError
from petitbleu_store.adapters.mail_reader.requests import Leaf, Mail, Match
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.core import Core
from petitbleu_store.domain.header_names import header_term
from petitbleu_store.domain.known_texts import Found, Known
from petitbleu_store.domain.query_sql import FilterSql, Parameters, TextIds
from petitbleu_store.domain.text_filter import TextLeaf, text_leaves
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.mail_loading import MailLoader, groups
from petitbleu_store.service.search_index import SearchIndex
from petitbleu_store.service.turns import Turns
from petitbleu_text.terms import TermKey, candidates

_log = get_logger(__name__)
# Messages that one query reads, and for how long. What would need more is refused (RFC 8621 §4.4: unsupportedFilter).
MAX_READ: Final = 5000
READ_SECONDS: Final = 8.0
CATCH_UP_SECONDS: Final = 4.0
# Messages not indexed that one query reads besides
MAX_OPEN: Final = 256
_READ_AT_ONCE: Final = 64
_FIRST_LOOK: Final = 64
_LAST_LOOK: Final = 1024
_MOST_LOOK: Final = 8192


class TooMuchToReadError(Exception):
    """Too many messages would have to be read to answer."""


class TextSearch:
    """Finds out about texts.

    Args:
        core: The shared parts.
        index: The index.
        loader: Opens messages.
        reader: Reads what the index does not know for sure.
        turns: Of all that searches and shows what is found: a search holds a connection, and others have work for those too.
    """

    def __init__(self, core: Core, index: SearchIndex, loader: MailLoader, reader: MailReader, turns: Turns) -> None:
        self._core = core
        self._index = index
        self._loader = loader
        self.reader = reader
        self._turns = turns

    @contextlib.asynccontextmanager
    async def snapshot(self, account: KnownAccount) -> AsyncIterator[Executor]:
        """Give the transaction of a query with texts (repeatable read), when it is the account's turn.

        Raises:
            StoreError: BUSY when too many of the account wait.
        """
        async with (
            self._turns.turn(account.account_id),
            self._core.cold.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def prepare(self, account: KnownAccount) -> None:
        """Have the index caught up, as far as that is done soon; before the transaction of the query."""
        await self._index.catch_up(account, CATCH_UP_SECONDS)

    async def look_up(self, connection: Executor, account: KnownAccount, given: mailbox_pb2.MessageFilter) -> Known:
        """Return what the index knows of a filter's texts, in the transaction of the query (repeatable read).

        Raises:
            StoreError: INVALID; AWAY for an account with too much that is not indexed; NOT_FOUND.
        """
        leaves = text_leaves(given)
        await search_rows.prepare(connection)
        place = (account.partition, account.account_id)
        state = await search_rows.state(connection, *place)
        if state is None:
            raise StoreError(Problem.NOT_FOUND)
        known = Known({}, {}, state["modseq"], time.monotonic() + READ_SECONDS)
        unindexed: set[int] = set()
        if state["again"] or state["through"] < state["last_id"]:
            rows = await search_rows.unindexed(connection, *place, state["through"], MAX_OPEN + 1)
            if len(rows) > MAX_OPEN:
                raise StoreError(Problem.AWAY, "the account is being indexed")
            known.dates.update({message_id: received_ms for received_ms, message_id in rows})
            unindexed.update(known.dates)
        key = TermKey(account.cipher.search_key)
        for leaf in leaves:
            required, exact = _required(key, account.cipher.search_key, leaf)
            if not required:
                known.texts[leaf] = Found(None, set())
                continue
            ids, dates = await search_rows.find(connection, *place, required) if all(required) else ([], [])
            known.dates.update(zip(ids, dates, strict=True))
            sure = set(ids) - unindexed if exact else set()
            known.texts[leaf] = Found(sure, unindexed.union(() if exact else ids))
        return known

    async def settle(
        self,
        connection: Executor,
        account: KnownAccount,
        given: mailbox_pb2.MessageFilter,
        known: Known,
        hash_of: Callable[[str], int],
    ) -> None:
        """Find out all that a filter needs to be answered by `known.truth()` and without `known.excluded`.

        Raises:
            TooMuchToReadError: it cannot be.
        """
        unsure = known.unsure
        if unsure:
            could = await self.survivors(connection, account, given, unsure, known.at_most(), hash_of)
            await self.read(account, known, could)
            known.excluded = unsure.difference(could)

    async def walk(
        self,
        connection: Executor,
        account: KnownAccount,
        given: mailbox_pb2.MessageFilter,
        known: Known,
        hash_of: Callable[[str], int],
        wanted: int,
        *,
        collapse: bool,
    ) -> list[int] | None:
        """Return the newest so many that a filter finds, one a thread with `collapse`; None when there is no short way.

        What is found by a common word is thus not all looked at to show some of it.

        Raises:
            TooMuchToReadError: they are not found without reading too many.
        """
        order = known.newest(given)
        if order is None:
            return None
        heads: dict[int, int] = {}
        at, step = 0, min(max(_FIRST_LOOK, wanted), _MOST_LOOK)
        while at < len(order) and len(heads) < wanted:
            some = order[at : at + step]
            at, step = at + step, min(2 * step, max(_LAST_LOOK, min(wanted, _MOST_LOOK)))
            threads = await self.survivors(connection, account, given, some, known.at_most(some), hash_of)
            if not known.unsure.isdisjoint(threads):
                await self.read(account, known, threads)
                threads = await self.survivors(connection, account, given, threads, known.truth(threads), hash_of)
            for message_id in some:
                if message_id in threads:
                    heads.setdefault(threads[message_id] if collapse else message_id, message_id)
        return list(heads.values())

    async def survivors(
        self,
        connection: Executor,
        account: KnownAccount,
        given: mailbox_pb2.MessageFilter,
        among: Collection[int],
        texts: TextIds,
        hash_of: Callable[[str], int],
    ) -> dict[int, int]:
        """Return those of some messages that a filter finds, with their threads."""
        parameters = Parameters(account.partition, account.account_id)
        some = parameters.add(list(among), "bigint[]")
        sql = FilterSql(parameters, hash_of, texts, seen=account.seen)
        where = sql.where(given)
        rows = await connection.fetch(
            f"/* cold:store.search_survivors */ SELECT m.message_id, m.thread_id FROM {sql.source()} "
            f"WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id = ANY({some}) AND {where}",
            *parameters.values,
        )
        return {row["message_id"]: row["thread_id"] for row in rows}

    async def read(self, account: KnownAccount, known: Known, message_ids: Iterable[int]) -> None:
        """Read messages: what is unsure of them is sure then.

        Raises:
            TooMuchToReadError: there are too many.
            StoreError: AWAY when messages cannot be read.
        """
        leaves = list(known.texts)
        wanted = sorted(known.unsure.intersection(message_ids), reverse=True)
        known.read += len(wanted)
        if known.read > MAX_READ:
            raise TooMuchToReadError
        try:
            async with asyncio.timeout(known.until - time.monotonic()):
                for start in range(0, len(wanted), _READ_AT_ONCE):
                    await self._read(account, known, leaves, wanted[start : start + _READ_AT_ONCE])
        except TimeoutError:
            raise TooMuchToReadError from None

    async def _read(
        self, account: KnownAccount, known: Known, leaves: Sequence[TextLeaf], message_ids: Sequence[int]
    ) -> None:
        rows = await search_rows.some(self._core.pool, account.partition, account.account_id, message_ids)
        for group in groups(rows):
            for message_id, has in await self._matched(account, leaves, group):
                for leaf, there in zip(leaves, has, strict=True):
                    found = known.texts[leaf]
                    if there and message_id in found.maybe and found.sure is not None:
                        found.sure.add(message_id)
        for found in known.texts.values():
            found.maybe.difference_update(message_ids)

    async def _matched(
        self, account: KnownAccount, leaves: Sequence[TextLeaf], rows: Sequence[Any]
    ) -> list[tuple[int, list[bool]]]:
        loaded = {one.message_id: one.mail for one in await self._loader.load(account, rows) if one.mail is not None}
        asked = [Leaf([int(one) for one in leaf.fields], leaf.text, leaf.header) for leaf in leaves]
        try:
            answer = await self.reader.ask(Match(asked, list(loaded.values())))
            return list(zip(loaded, answer.found, strict=True))
        except ReaderError:
            # One of them may be at fault: each alone, and what ends its reader by its header, as the index has it.
            return [pair for number, mail in loaded.items() for pair in await self._alone(account, asked, number, mail)]

    async def _alone(
        self, account: KnownAccount, asked: list[Leaf], message_id: int, mail: Mail
    ) -> list[tuple[int, list[bool]]]:
        for one in (mail, Mail(mail.meta, mail.prefix, None, [])):
            with contextlib.suppress(ReaderError):
                return [(message_id, (await self.reader.ask(Match(asked, [one]))).found[0])]
        _log.warning("message not searched", account_id=account.account_id, message_id=message_id)
        return []


def _required(key: TermKey, secret: bytes, leaf: TextLeaf) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Return the groups of terms of which a message must have one each, and whether that is enough."""
    if leaf.header:
        return ((header_term(secret, leaf.header.encode()),),), not leaf.text
    told = candidates(key, leaf.query, leaf.fields)
    return told.required, told.exact
