"""Who still refers to a blob, and how many there are of what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from petitbleu_kit.ids import BlobId, partition_of_account
from petitbleu_store.adapters.postgres import Executor

_REFERRED: Final = """/* cold:store.still_referred */ SELECT o.origin_id AS blob_id FROM unnest($1::smallint[], $2::bigint[], $3::uuid[])
    AS v (partition, account_id, blob_id)
JOIN origin o ON o.partition = v.partition AND o.account_id = v.account_id AND o.origin_id = v.blob_id
    AND o.partition = ANY($1::smallint[]) AND o.state = 0
UNION
SELECT h.accepted_id FROM unnest($1::smallint[], $2::bigint[], $3::uuid[]) AS v (partition, account_id, blob_id)
JOIN held h ON h.partition = v.partition AND h.account_id = v.account_id AND h.accepted_id = v.blob_id
    AND h.partition = ANY($1::smallint[])"""

_COUNTS: Final = """/* cold:store.counts */ SELECT (SELECT count(*) FROM account WHERE wrapped_key IS NOT NULL) AS accounts,
    (SELECT count(*) FROM held) AS held"""


async def still_referred(executor: Executor, blobs: Sequence[tuple[BlobId, Sequence[int]]]) -> set[BlobId]:
    """Return those of the blobs to which a message, or a held message, of one of the named accounts refers."""
    pairs = [
        (partition_of_account(account_id), account_id, blob_id) for blob_id, ids in blobs for account_id in set(ids)
    ]
    if not pairs:
        return set()
    rows = await executor.fetch(_REFERRED, *zip(*pairs, strict=True))
    return {BlobId(UUID(int=row["blob_id"].int)) for row in rows}


async def counts(executor: Executor) -> tuple[int, int]:
    """Return the number of accounts, and of messages held for a guardian."""
    (row,) = await executor.fetch(_COUNTS)
    return row["accounts"], row["held"]
