"""Which of some accounts are over their quota now, for the answer at RCPT; filing itself never refuses for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu_kit.ids import partition_of_account
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.service.account_book import AccountBook

_OVER: Final = """/* hot:store.over_quota */ SELECT a.account_id, a.tenant_id, a.guarded, a.words, a.wrapped_key,
    a.quota_octets > 0 AND a.used_octets >= a.quota_octets AS over
FROM unnest($1::smallint[], $2::bigint[]) AS v (partition, account_id)
JOIN account a ON a.partition = v.partition AND a.account_id = v.account_id AND a.partition = ANY($1::smallint[])"""


async def over_quota(executor: Executor, book: AccountBook, account_ids: Sequence[int]) -> list[int]:
    """Return those of the accounts whose used octets are at or over their quota.

    Their mail is about to be filed, so the book takes note of what the rows say besides: filing then need not read them again.
    """
    wanted = sorted(set(account_ids))
    if not wanted:
        return []
    rows = await executor.fetch(_OVER, [partition_of_account(account_id) for account_id in wanted], wanted)
    book.note(rows)
    return [row["account_id"] for row in rows if row["over"]]
