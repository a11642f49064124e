"""Reading accounts: the directory's row and the person's, joined."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import asyncpg

from petitbleu_accounts.adapters.database import Pool
from petitbleu_accounts.domain.people import AccountInfo, Role, State
from petitbleu_kit.ids import partition_of_account

_INFO: Final = """c.account_id, c.tenant_id, c.state, c.guarded, p.display_name, p.language, p.quota_octets, p.roles,
ARRAY(SELECT a.address FROM address a WHERE a.account_id = c.account_id ORDER BY a.main DESC, a.address) AS addresses"""
_GET: Final = f"""/* hot:accounts.get_accounts */ SELECT {_INFO}
FROM account c JOIN person p ON p.account_id = c.account_id AND p.partition = c.partition
WHERE c.account_id = ANY($1::bigint[]) AND p.account_id = ANY($1::bigint[]) AND p.partition = ANY($2::smallint[])
AND c.state <> 0"""
_LIST: Final = f"""/* cold:accounts.list */ SELECT {_INFO}
FROM account c JOIN person p ON p.account_id = c.account_id AND p.partition = c.partition
WHERE c.account_id > $1 AND ($2::bigint IS NULL OR c.domain_id = $2) AND c.state <> 0 ORDER BY c.account_id LIMIT $3"""


def info_of(row: asyncpg.Record) -> AccountInfo:
    """Return an account from a row; one that is closing has no address any more."""
    addresses: Sequence[str] = row["addresses"]
    return AccountInfo(
        row["account_id"], row["tenant_id"], addresses[0] if addresses else "", row["display_name"],
        State(row["state"]), tuple(Role(number) for number in row["roles"]), row["quota_octets"], row["guarded"],
        tuple(addresses[1:]), row["language"],
    )  # fmt: skip


class PostgresAccounts:
    """Accounts by id and by page."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, account_ids: Collection[int]) -> list[AccountInfo]:
        """Accounts that exist among these ids; pending ones do not exist yet."""
        ids = list(set(account_ids))
        partitions = list({partition_of_account(account_id) for account_id in ids if account_id > 0})
        return [info_of(row) for row in await self._pool.fetch(_GET, ids, partitions)]

    async def page(self, domain_id: int | None, after: int, limit: int) -> list[AccountInfo]:
        """A page of accounts in order of id, of one domain or of all."""
        return [info_of(row) for row in await self._pool.fetch(_LIST, after, domain_id, limit)]
