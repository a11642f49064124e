"""AccountService: store's own row of each account, from its creation to its erasure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from petitbleu.events.v1.events_pb2 import AccountChanged
from petitbleu.store.v1 import mailbox_pb2
from petitbleu_kit.ids import AccountId, partition_of_account
from petitbleu_kit.outbox import OutboxRow
from petitbleu_kit.postgres import in_transaction
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.core import Core
from petitbleu_store.domain.account_cipher import AccountCipher
from petitbleu_store.domain.change_log import Kind, Op
from petitbleu_store.domain.mailbox_names import name_hash, seal_name
from petitbleu_store.domain.standard_mailboxes import FIRST_FREE_ID, STANDARD, name_in
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import AccountBook
from petitbleu_store.service.share_ends import ShareEnds

MAX_ACCOUNTS: Final = 1000

_ERASED: Final = """/* cold:store.accounts_erased */ SELECT e.account_id FROM unnest($1::smallint[], $2::bigint[])
    AS v (partition, account_id) JOIN erasure e ON e.partition = v.partition AND e.account_id = v.account_id"""

_INSERT: Final = """/* cold:store.accounts_insert */ INSERT INTO account (partition, account_id, tenant_id, guarded, quota_octets, modseq,
    last_id, uid_validity, wrapped_key)
SELECT v.partition, v.account_id, v.tenant_id, v.guarded, v.quota_octets, $6, $7, $8, v.wrapped_key
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $9::bytea[])
    AS v (partition, account_id, tenant_id, guarded, quota_octets, wrapped_key)
ON CONFLICT (partition, account_id) DO NOTHING RETURNING account_id"""

_MAILBOXES: Final = """/* cold:store.mailboxes_insert */ INSERT INTO mailbox (partition, account_id, mailbox_id, parent_id, role, sort_order,
    subscribed, modseq, name_hash, name_sealed)
SELECT v.partition, v.account_id, v.mailbox_id, 0, v.role, v.sort_order, true, v.modseq, v.name_hash, v.name_sealed
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[], $7::bigint[], $8::bytea[])
    AS v (partition, account_id, mailbox_id, role, sort_order, modseq, name_hash, name_sealed)"""

_LOG: Final = """/* cold:store.mailboxes_log */ INSERT INTO change_log (partition, kind, op, account_id, modseq, entity_id, thread_id)
SELECT v.partition, $2, $3, v.account_id, v.modseq, v.mailbox_id, 0
FROM unnest($1::smallint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS v (partition, account_id, mailbox_id, modseq)"""

# A new limit has a modseq, so that clients hear of it (RFC 9425 §4.2); one that is as it was has none.
_UPDATE: Final = """/* cold:store.account_update */ UPDATE account SET guarded = coalesce($4, guarded),
    quota_octets = coalesce($3, quota_octets), modseq = modseq + CASE WHEN $3 <> quota_octets THEN 1 ELSE 0 END,
    limit_modseq = CASE WHEN $3 <> quota_octets THEN modseq + 1 ELSE limit_modseq END,
    limited_modseq = CASE WHEN $3 > 0 AND quota_octets = 0 THEN modseq + 1 ELSE limited_modseq END
WHERE partition = $1 AND account_id = $2 AND wrapped_key IS NOT NULL RETURNING modseq, limit_modseq"""


class AccountService:
    """Makes and changes accounts."""

    def __init__(self, core: Core, book: AccountBook, ends: ShareEnds) -> None:
        self._core = core
        self._ends = ends
        self._book = book

    async def create(self, accounts: Sequence[mailbox_pb2.NewStoreAccount]) -> None:
        """Make accounts with their keys and standard mailboxes; those that exist stay as they are.

        Raises:
            StoreError: INVALID for an id that is none; FORBIDDEN for an account that was erased.
        """
        if len(accounts) > MAX_ACCOUNTS:
            raise StoreError(Problem.INVALID, "too many accounts")
        wanted = {account.account_id: account for account in accounts}
        if any(
            account_id <= 0 or account.tenant_id <= 0 or account.quota_octets < 0
            for account_id, account in wanted.items()
        ):
            raise StoreError(Problem.INVALID, "an account needs an id, a tenant and a quota")
        new = sorted(
            wanted.values(), key=lambda account: (partition_of_account(account.account_id), account.account_id)
        )
        if new:
            await in_transaction(self._core.pool, lambda connection: self._create(connection, new))

    async def _create(self, connection: Connection, accounts: Sequence[mailbox_pb2.NewStoreAccount]) -> None:
        ids = [account.account_id for account in accounts]
        partitions = [partition_of_account(account_id) for account_id in ids]
        if await connection.fetch(_ERASED, partitions, ids):
            raise StoreError(Problem.FORBIDDEN, "an erased account is not made again")
        keys = [await self._core.account_keys.generate(AccountId(account_id)) for account_id in ids]
        made = await connection.fetch(
            _INSERT, partitions, ids, [account.tenant_id for account in accounts], [account.guarded for account in accounts],
            [account.quota_octets for account in accounts], len(STANDARD), FIRST_FREE_ID, int(time.time()), keys,
        )  # fmt: skip
        fresh = {row["account_id"] for row in made}
        rows = []
        for account, partition, wrapped in zip(accounts, partitions, keys, strict=True):
            if account.account_id not in fresh:
                continue
            cipher = AccountCipher(await self._core.account_keys.unwrap(AccountId(account.account_id), wrapped))
            for modseq, mailbox in enumerate(STANDARD, 1):
                name = name_in(mailbox, account.language)
                rows.append(
                    (partition, account.account_id, mailbox.mailbox_id, mailbox.role, mailbox.sort_order, modseq,
                     name_hash(cipher, name), seal_name(cipher, mailbox.mailbox_id, name))
                )  # fmt: skip
        if rows:
            columns = list(zip(*rows, strict=True))
            await connection.execute(_MAILBOXES, *columns)
            await connection.execute(_LOG, columns[0], Kind.MAILBOX, Op.CREATED, columns[1], columns[2], columns[5])

    async def update(self, account_id: int, *, quota_octets: int | None, guarded: bool | None) -> None:
        """Change quota or guard.

        Raises:
            StoreError: NOT_FOUND; INVALID for a negative quota.
        """
        if quota_octets is not None and quota_octets < 0:
            raise StoreError(Problem.INVALID, "a quota is not negative")
        partition = partition_of_account(account_id)
        if guarded is False:
            await self._ends.end(account_id)  # whatever a crash left of them does not come back

        async def work(connection: Connection) -> list[OutboxRow]:
            # The row lock that filing takes first makes this wait for a batch in flight, and a later batch see it.
            row = await connection.fetchrow(_UPDATE, partition, account_id, quota_octets, guarded)
            if row is None:
                raise StoreError(Problem.NOT_FOUND)
            if quota_octets is None or row["limit_modseq"] != row["modseq"]:
                return []
            event = AccountChanged(account_id=account_id, modseq=row["modseq"])
            events = [OutboxRow.make(partition, "mail.account.changed", event.SerializeToString())]
            await self._core.outbox.insert(connection, events)
            return events

        try:
            self._core.outbox.published_soon(await in_transaction(self._core.pool, work))
        finally:
            self._book.forget(account_id)
        if guarded:
            # nothing is seen through them any more; this is for the clients, and for the day when the guard ends
            await self._ends.end(account_id)
