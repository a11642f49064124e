"""Names of keywords that have no flag: sealed in their table, remembered here, for a hash stands for one name for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.service.account_book import KnownAccount

_REMEMBERED: Final = 50_000

_READ: Final = """/* hot:store.keywords_read */ SELECT k.keyword_hash, k.name_sealed FROM unnest($3::bigint[]) AS v (keyword_hash)
JOIN keyword k ON k.partition = $1 AND k.account_id = $2 AND k.keyword_hash = v.keyword_hash"""


class KeywordNames:
    """Opens names of keywords."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], str] = OrderedDict()

    async def of(self, executor: Executor, account: KnownAccount, numbers: Sequence[int]) -> dict[int, str]:
        """Return the names that hashes stand for, in this account."""
        if not numbers:
            return {}
        names: dict[int, str] = {}
        missing: set[int] = set()
        for number in numbers:
            name = self._known.get((account.account_id, number))
            if name is None:
                missing.add(number)
            else:
                names[number] = name
        if missing:
            for row in await executor.fetch(_READ, account.partition, account.account_id, sorted(missing)):
                name = account.cipher.open(row["name_sealed"], b"keyword").decode()
                names[row["keyword_hash"]] = self._known[account.account_id, row["keyword_hash"]] = name
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return names

    def forget(self, account_id: int) -> None:
        """Forget an account's names: it was erased."""
        for key in [key for key in self._known if key[0] == account_id]:
            del self._known[key]
