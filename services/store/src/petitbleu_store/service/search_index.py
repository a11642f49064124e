"""The search index: built off the way of the mail, and caught up before a search.

Filing writes nothing for it. One number an account tells how far it is indexed; whoever has the account's lease goes on from there,
in the order of ids, so that any process may be killed at any moment and another goes on. Mail that was just filed is indexed once
the store has been idle for a while, or slowly when it never is; a sweep finds what no process remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client import Counter

from petitbleu_kit.lifecycle import forever
from petitbleu_kit.logs import get_logger
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters import search_rows
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.mail_reader.process import MailReader, ReaderError
from petitbleu_store.adapters.mail_reader.requests import Mail, Terms
from petitbleu_store.adapters.search_rows import Entry
from petitbleu_store.core import Core
from petitbleu_store.errors import StoreError
from petitbleu_store.service.account_book import AccountBook, KnownAccount
from petitbleu_store.service.mail_loading import HEADER_ONLY, UNREAD, Loaded, MailLoader, groups

_log = get_logger(__name__)
_indexed = Counter("petitbleu_store_search_indexed_total", "Messages indexed, by how: whole, header, unread", ["state"])
_BATCH: Final = 64
_TICK_SECONDS: Final = 1.0
# A turn for one account, before others have theirs.
_TURN_SECONDS: Final = 1.0
# While mail comes: how long it may wait, and how much of the time is for it then.
_PATIENCE_SECONDS: Final = 120.0
_PAUSE: Final = 4.0
_REMEMBERED: Final = 100_000
_SWEPT: Final = 1000
_POLL_SECONDS: Final = 0.05
_OTHERS_SECONDS: Final = 1.0
# A partition is checked at each step: all of them in a month.
_CHECK_SECONDS: Final = 2500.0
_PARTITIONS: Final = 1024
_CHECKED: Final = 1000
_STATES: Final = ("whole", "header", "unread")


class SearchIndex:
    """Keeps the index.

    Args:
        core: The shared parts.
        book: Accounts.
        loader: Opens messages.
        reader: Reads for those who wait; `hasty`.
    """

    def __init__(self, core: Core, book: AccountBook, loader: MailLoader, reader: MailReader) -> None:
        self._core = core
        self._book = book
        self._loader = loader
        self._idle_seconds = core.settings.search_idle_seconds
        self._sweep_seconds = core.settings.search_sweep_seconds
        self._reader = MailReader(19)
        self.hasty = reader
        self.patience = _PATIENCE_SECONDS
        """How long mail waits to be indexed while other mail comes, in seconds."""
        # Accounts with new mail, oldest first, each with when it was noted.
        self._waiting: dict[int, float] = {}
        self._noted = 0.0
        self._next_partition = random.randrange(_PARTITIONS)  # noqa: S311 - any will do

    @property
    def waiting(self) -> int:
        """Accounts known to have mail that is not indexed."""
        return len(self._waiting)

    def note(self, account_ids: Iterable[int]) -> None:
        """Hear of accounts in which mail was filed just now."""
        self._noted = time.monotonic()
        for account_id in account_ids:
            if len(self._waiting) < _REMEMBERED:
                self._waiting.setdefault(account_id, self._noted)

    async def run(self) -> None:
        """Index in the background, until cancelled."""
        await asyncio.gather(
            forever("store.search", _TICK_SECONDS, self.turn),
            forever("store.search_sweep", self._sweep_seconds, self.sweep),
            forever("store.search_check", _CHECK_SECONDS, self._check_next),
        )

    async def close(self) -> None:
        """End the process of its own."""
        await self._reader.close()

    async def sweep(self) -> None:
        """Remember the accounts that have mail that is not indexed, whoever filed it."""
        if len(self._waiting) < _SWEPT:
            for account_id in await search_rows.waiting(self._core.cold, _SWEPT):
                self._waiting.setdefault(account_id, time.monotonic())

    async def check(self, partition: int) -> int:
        """Have what is missing in the index of a partition's accounts indexed; return how many messages."""
        return await search_rows.note_missing(self._core.cold, partition, _CHECKED)

    async def catch_up(self, account: KnownAccount, seconds: float) -> None:
        """Index what an account has, for somebody who waits at most so many seconds; less for another process that is at it.

        Raises:
            ObjectsAwayError: S3 does not answer.
        """
        until = time.monotonic() + seconds
        others = time.monotonic() + _OTHERS_SECONDS
        while True:
            state = await search_rows.state(self._core.cold, account.partition, account.account_id)
            if state is None or (state["through"] >= state["last_id"] and not state["again"]):
                return
            claimed = await search_rows.claim(self._core.pool, account.partition, account.account_id)
            if claimed is not None:
                # What takes long, such as many attachments, is left to the background.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until - time.monotonic()):
                        await self._claimed(account, claimed, self.hasty, lambda: time.monotonic() > until)
            if time.monotonic() >= (until if claimed is not None else others):
                return
            if claimed is None:
                await asyncio.sleep(_POLL_SECONDS)

    async def _check_next(self) -> None:
        await self.check(self._next_partition)
        self._next_partition = (self._next_partition + 1) % _PARTITIONS

    async def turn(self) -> None:
        """Give each waiting account its turn, while the store is idle or they waited for long."""
        await self._reader.rest()
        await self.hasty.rest()
        await self._loader.rest()
        for account_id, noted in list(self._waiting.items()):
            now = time.monotonic()
            idle = now - self._noted >= self._idle_seconds
            if not idle and now - noted < self.patience:
                return
            del self._waiting[account_id]
            if not await self._served(account_id, yields=idle):
                self._waiting[account_id] = noted
            if not idle:
                await asyncio.sleep(_PAUSE * (time.monotonic() - now))

    async def _served(self, account_id: int, *, yields: bool) -> bool:
        """Index an account for a turn, or until mail comes when it yields to that; whether it needs no other."""
        try:
            account = await self._book.one(self._core.pool, account_id)
        except StoreError:
            return True
        # An account that another process works on is that one's, or the next sweep's.
        claimed = await search_rows.claim(self._core.pool, account.partition, account_id)
        noted, end = self._noted, time.monotonic() + _TURN_SECONDS
        return claimed is None or await self._claimed(
            account, claimed, self._reader, lambda: time.monotonic() > end or (yields and self._noted != noted)
        )

    async def _claimed(
        self, account: KnownAccount, claimed: Any, reader: MailReader, enough: Callable[[], bool]
    ) -> bool:
        """Index an account whose lease one has, and give it back; whether all is indexed that was there."""
        place = (account.partition, account.account_id)
        through, last = claimed["indexed_through"], claimed["last_id"]
        try:
            while rows := await search_rows.again(self._core.pool, *place, _BATCH):
                for group in groups(rows):
                    await self._write(account, await self._entries(account, group, reader), None)
                    if enough():
                        return False
            while through < last:
                # What was committed when `last` was read is seen from now on: ids rise with the commits of an account.
                rows = await search_rows.following(self._core.pool, *place, through, _BATCH)
                for group in groups(rows):
                    through = group[-1]["message_id"]
                    await self._write(account, await self._entries(account, group, reader), through)
                    if enough():
                        return False
                if len(rows) < _BATCH:
                    through = max(through, last)
                    await self._write(account, (), through)
            return True
        finally:
            await search_rows.release(self._core.pool, *place)

    async def _write(self, account: KnownAccount, entries: Sequence[Entry], through: int | None) -> None:
        async def work(connection: Connection) -> None:
            await search_rows.write(connection, account.partition, account.account_id, entries, through)

        await in_transaction(self._core.pool, work)
        for entry in entries:
            _indexed.labels(_STATES[entry.state]).inc()

    async def _entries(self, account: KnownAccount, rows: Sequence[Any], reader: MailReader) -> list[Entry]:
        loaded = await self._loader.load(account, rows)
        mails = [one.mail for one in loaded if one.mail is not None]
        try:
            answers = iter(await _terms(account, mails, reader))
        except ReaderError:
            # One of them may be at fault: each alone.
            return [await self._entry(account, one, reader) for one in loaded]
        return [
            Entry(one.message_id, one.received_ms, one.state, () if one.mail is None else next(answers), one.attached)
            for one in loaded
        ]

    async def _entry(self, account: KnownAccount, one: Loaded, reader: MailReader) -> Entry:
        """Index one message; what ends its reader is found by its header at least, and is in nobody's way."""
        if one.mail is not None:
            header = Mail(one.mail.meta, one.mail.prefix, None, [])
            for mail, state in ((one.mail, one.state), (header, HEADER_ONLY)):
                try:
                    (terms,) = await _terms(account, [mail], reader)
                except ReaderError as error:
                    _log.warning(
                        "message not indexed whole", account_id=account.account_id, message_id=one.message_id,
                        reason=str(error),
                    )  # fmt: skip
                else:
                    return Entry(one.message_id, one.received_ms, state, terms, one.attached)
        return Entry(one.message_id, one.received_ms, UNREAD, (), None)


async def _terms(account: KnownAccount, mails: list[Mail], reader: MailReader) -> list[tuple[int, ...]]:
    if not mails:
        return []
    answer = await reader.ask(Terms(account.cipher.search_key, mails))
    return [struct.unpack(f">{len(octets) // 8}q", octets) for octets in answer.terms]
