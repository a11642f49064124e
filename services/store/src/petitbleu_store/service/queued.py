"""Keys of mail in the outbound queue: the submitter's account key opens it, or the operations key where nobody submitted it.

The key is written in the commit that queues the first recipient, beside the intake key's, and goes when none is queued any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from petitbleu_kit.ids import BlobId, partition_of_blob
from petitbleu_store.adapters.filing_rows import shifted
from petitbleu_store.adapters.postgres import Executor, Pool
from petitbleu_store.adapters.recipient_rows import SETTLE
from petitbleu_store.domain.account_cipher import SealBrokenError
from petitbleu_store.domain.keys import Wrapper, WrongKeyError
from petitbleu_store.service.account_book import AccountBook

_ROWS: Final = 5000

_KEYS: Final = (
    "UPDATE accepted a SET queued_key = w.queued_key "
    "FROM unnest($1::smallint[], $2::uuid[], $3::bytea[]) AS w (partition, accepted_id, queued_key) "
    "WHERE a.partition = w.partition AND a.accepted_id = w.accepted_id AND a.partition = ANY($1::smallint[]) "
    "AND a.queued_key IS NULL"
)
KEYS: Final = f"/* hot:store.accepted_queued */ {_KEYS}"
# Key and outcomes in one commit and one round trip.
KEYS_AND_SETTLE: Final = f"/* hot:store.settle_queued */ WITH keyed AS ({_KEYS}) " + shifted(SETTLE, 3)

_SPENT: Final = """/* cold:store.queued_spent */ WITH spent AS (
    SELECT a.partition, a.accepted_id FROM accepted a WHERE a.queued_key IS NOT NULL
    AND a.received_at <= now() - make_interval(hours => $1) AND NOT EXISTS (
        SELECT 1 FROM recipient r WHERE r.partition = a.partition AND r.accepted_id = a.accepted_id
        AND (r.outcome IN (1, 4) OR r.settled_at > now() - make_interval(hours => $1))) LIMIT $2),
released AS (INSERT INTO blob_release (partition, blob_id) SELECT partition, accepted_id FROM spent ON CONFLICT DO NOTHING)
UPDATE accepted a SET queued_key = NULL FROM spent s WHERE a.partition = s.partition AND a.accepted_id = s.accepted_id"""


def _place(accepted_id: BlobId) -> bytes:
    return b"queued" + accepted_id.bytes


class QueuedKeys:
    """Seals and opens the keys of queued mail.

    Args:
        book: Accounts.
    """

    def __init__(self, book: AccountBook) -> None:
        self._book = book

    async def seal(
        self, executor: Executor, operations: Wrapper, messages: Sequence[tuple[BlobId, bytes, int]]
    ) -> list[bytes]:
        """Seal the keys of messages (id, key, submitter or 0), in their order.

        What an account submitted that is closed by now gets a key that nobody opens.
        """
        accounts = await self._book.many(executor, {submitter for _, _, submitter in messages if submitter})
        sealed = []
        for accepted_id, key, submitter in messages:
            if not submitter:
                sealed.append(operations.wrap(key, accepted_id.bytes))
            elif submitter in accounts:
                sealed.append(accounts[submitter].cipher.seal(key, _place(accepted_id)))
            else:
                sealed.append(b"")
        return sealed

    async def open(
        self, executor: Executor, operations: Wrapper, accepted_id: BlobId, sealed: bytes, submitter: int
    ) -> bytes | None:
        """Return a message's key; None when it does not open, as that of a closed account."""
        if not submitter:
            try:
                return operations.unwrap(sealed, accepted_id.bytes)
            except WrongKeyError:
                return None
        account = (await self._book.many(executor, (submitter,))).get(submitter)
        if account is None:
            return None
        try:
            return account.cipher.open(sealed, _place(accepted_id))
        except SealBrokenError:
            return None

    async def alive(self, executor: Executor, submitters: Collection[int]) -> set[int]:
        """Return those of the accounts that exist."""
        return set(await self._book.many(executor, submitters)) if submitters else set()


def key_arrays(ids: Sequence[BlobId], sealed: Sequence[bytes]) -> list[Sequence[Any]]:
    """Return the arrays of `KEYS`."""
    return [[partition_of_blob(blob_id) for blob_id in ids], ids, sealed]


async def destroy_spent(pool: Pool, keep_hours: int) -> int:
    """Destroy the keys of mail of which no recipient is queued or open and the last was settled so long ago; return how many.

    Compaction then looks whether anybody still has the body. The time is for whoever reports on it.
    """
    destroyed = 0
    while True:
        status = await pool.execute(_SPENT, keep_hours, _ROWS)
        count = int(status.rpartition(" ")[2])
        destroyed += count
        if count < _ROWS:
            return destroyed
