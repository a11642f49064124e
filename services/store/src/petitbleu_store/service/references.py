"""Who still refers to a blob, and how many there are of what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from petitbleu_kit.ids import BlobId, partition_of_account
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.ports import MailboxCounts

_REFERRED: Final = """/* cold:store.still_referred */ SELECT o.origin_id AS blob_id FROM unnest($1::smallint[], $2::bigint[], $3::uuid[])
    AS v (partition, account_id, blob_id)
JOIN origin o ON o.partition = v.partition AND o.account_id = v.account_id AND o.origin_id = v.blob_id
    AND o.partition = ANY($1::smallint[]) AND o.state IN (0, 3)
UNION
SELECT h.accepted_id FROM unnest($1::smallint[], $2::bigint[], $3::uuid[]) AS v (partition, account_id, blob_id)
JOIN held h ON h.partition = v.partition AND h.account_id = v.account_id AND h.accepted_id = v.blob_id
    AND h.partition = ANY($1::smallint[])"""

_COUNTS: Final = """/* cold:store.counts */ SELECT count(*) AS accounts,
    (SELECT count(*) FROM held) AS held, coalesce(sum(removed_messages), 0)::bigint AS removed_messages,
    coalesce(sum(removed_octets), 0)::bigint AS removed_octets FROM account WHERE wrapped_key IS NOT NULL"""


async def still_referred(executor: Executor, blobs: Sequence[tuple[BlobId, Sequence[int]]]) -> set[BlobId]:
    """Return those of the blobs to which a message, one that can be brought back, or a held message of one of the named accounts refers."""
    pairs = [
        (partition_of_account(account_id), account_id, blob_id) for blob_id, ids in blobs for account_id in set(ids)
    ]
    if not pairs:
        return set()
    rows = await executor.fetch(_REFERRED, *zip(*pairs, strict=True))
    return {BlobId(UUID(int=row["blob_id"].int)) for row in rows}


async def counts(executor: Executor) -> MailboxCounts:
    """Count what there is."""
    (row,) = await executor.fetch(_COUNTS)
    return MailboxCounts(*row.values())
