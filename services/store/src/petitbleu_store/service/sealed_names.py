"""Names and subjects by which messages are sorted (RFC 8621 §4.4.2). They are sealed: each must be opened, once, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
import zstandard

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_mail.sorted_by import SortedBy, decode_sorted_by
from petitbleu_mail.structure import MetaError
from petitbleu_store.core import Core
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.content import open_content
from petitbleu_store.errors import Problem, QueryRefusedError, StoreError
from petitbleu_store.service.account_book import KnownAccount

Result = TypeVar("Result")
MAX_SORTED: Final = 50_000
"""Most messages that are put in an order of names; some 20 µs each when they are read for the first time."""
_REMEMBERED: Final = 200_000
# Names leave memory after this long, as an account's key does.
_SECONDS: Final = 600.0
# Messages opened before the event loop has its turn
_BATCH: Final = 250
_MOST_WAITING: Final = 8
# No key needs more of a name or subject than this.
_LONGEST: Final = 255
_NOTHING: Final = SortedBy("", "", "")

_CONTENT: Final = """/* hot:store.content_read */ SELECT v.message_id, c.sealed FROM unnest($3::bigint[]) AS v (message_id)
    JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = v.message_id"""

Names = dict[int, SortedBy]


class SealedNames:
    """Reads names, one sort after the other, and remembers them for a while."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._thread = ThreadPoolExecutor(1, "names")
        self._decompressor = zstandard.ZstdDecompressor()
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        # account → when it was used last, names of its messages
        self._known: OrderedDict[int, tuple[float, Names]] = OrderedDict()

    async def of(self, account: KnownAccount, blobs: Mapping[int, UUID]) -> Mapping[int, SortedBy]:
        """Return the names of messages, by the ids of these and of their blobs; a message that is gone has none.

        Raises:
            QueryRefusedError: they are more than `MAX_SORTED`.
            StoreError: BUSY when too many wait for theirs; UNREADABLE when a row does not open.
        """
        if len(blobs) > MAX_SORTED:
            raise QueryRefusedError(mailbox_pb2.QUERY_REFUSAL_SORT)
        if self._waiting >= _MOST_WAITING:
            raise StoreError(Problem.BUSY)
        self._waiting += 1
        try:
            async with self._turn:
                return await self._read(account, blobs)
        finally:
            self._waiting -= 1

    async def apart(self, work: Callable[..., Result], *given: object) -> Result:
        """Do what takes long with names in their thread, one after the other.

        Raises:
            StoreError: BUSY when too many wait.
        """
        if self._waiting >= _MOST_WAITING:
            raise StoreError(Problem.BUSY)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
        finally:
            self._waiting -= 1

    async def _read(self, account: KnownAccount, blobs: Mapping[int, UUID]) -> Names:
        names = self._remembered(account.account_id)
        missing = [message_id for message_id in blobs if message_id not in names]
        for at in range(0, len(missing), _BATCH):
            wanted = missing[at : at + _BATCH]
            rows = await self._core.pool.fetch(_CONTENT, account.partition, account.account_id, wanted)
            names.update(
                await asyncio.get_running_loop().run_in_executor(self._thread, self._open, account, blobs, rows)
            )
        found = {message_id: names.get(message_id, _NOTHING) for message_id in blobs}
        self._remember(account.account_id, names)
        return found

    def _open(self, account: KnownAccount, blobs: Mapping[int, UUID], rows: Sequence[asyncpg.Record]) -> Names:
        found: Names = {}
        for message_id, sealed in rows:
            try:
                content = open_content(account.cipher, blobs[message_id], sealed, self._decompressor)
                names = decode_sorted_by(content.meta)
            except (SealBrokenError, MetaError):
                raise StoreError(Problem.UNREADABLE) from None
            found[message_id] = SortedBy(*[name[:_LONGEST] for name in names])
        return found

    def _remembered(self, account_id: int) -> Names:
        now = time.monotonic()
        while self._known and next(iter(self._known.values()))[0] < now - _SECONDS:
            self._known.popitem(last=False)
        _, names = self._known.pop(account_id, (now, {}))
        return names

    def _remember(self, account_id: int, names: Names) -> None:
        self._known[account_id] = (time.monotonic(), names)
        while sum([len(one) for _, one in self._known.values()]) > _REMEMBERED:
            self._known.popitem(last=False)
