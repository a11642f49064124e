"""ReadBlob: a message as served is its prefix and then its blob, with the header that a rule gave it where one did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from petitbleu_kit.ids import BlobId
from petitbleu_store.core import Core
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.content import open_content
from petitbleu_store.domain.frames import DamagedError
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount
from petitbleu_store.service.bodies import BodyMissingError

PIECE_OCTETS: Final = 256 << 10

_READ: Final = """/* hot:store.blob_find */ SELECT m.blob_id, m.size, m.mailbox_ids, c.sealed FROM message m
JOIN message_content c ON c.partition = $1 AND c.account_id = $2 AND c.message_id = m.message_id
WHERE m.partition = $1 AND m.account_id = $2 AND m.message_id = $3"""


class Blobs:
    """Reads messages as served."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def read(self, account: KnownAccount, message_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield a range in pieces of at most 256 KiB.

        Args:
            account: Whose message.
            message_id: Which.
            offset: First octet, the prefix included.
            length: How many; 0 means to the end.

        Raises:
            StoreError: NOT_FOUND; INVALID for a negative range; UNREADABLE when row or body does not open.
        """
        if offset < 0 or length < 0:
            raise StoreError(Problem.INVALID, "no range")
        row = await self._core.pool.fetchrow(_READ, account.partition, account.account_id, message_id)
        if row is None or (account.view is not None and not account.view.sees(row["mailbox_ids"])):
            raise StoreError(Problem.NOT_FOUND)
        blob_id = BlobId(row["blob_id"])
        try:
            content = open_content(account.cipher, blob_id, row["sealed"])
            end = row["size"] if length == 0 else min(row["size"], offset + length)
            if offset < len(content.prefix):
                yield content.prefix[offset:end]
            start, stop = max(0, offset - len(content.prefix)), end - len(content.prefix)
            if start >= stop:
                return
            own, start, length = content.pieces(start, stop)
            if own:
                yield own
            if not length:
                return
            async for piece in self._core.bodies.stream(blob_id, content.blob_key, start, length):
                for at in range(0, len(piece), PIECE_OCTETS):
                    yield piece[at : at + PIECE_OCTETS]
        except (SealBrokenError, DamagedError, BodyMissingError):
            raise StoreError(Problem.UNREADABLE) from None
