"""The list of full accounts against a real PostgreSQL."""

from __future__ import annotations

import time

from tests.integration.mailing import faults, file_new, mail, new_account, parts_of

from petitbleu_store.bootstrap import Store
from petitbleu_store.ports import OverQuota
from petitbleu_store.service.full_accounts import FullAccounts


async def test_a_full_account_is_listed_from_the_next_read_on(store: Store) -> None:
    now = time.monotonic()
    full = FullAccounts(store.core.cold, lambda: now)
    account_id, other = await new_account(store, quota_octets=5000), await new_account(store)
    assert await full.listed() == OverQuota((), 0, complete=True)
    await file_new(store, account_id, *[mail(octets=2000) for _ in range(4)])
    await file_new(store, other, mail(octets=9000))
    now += 14
    assert await full.listed() == OverQuota((), 14, complete=True), "read at most every 15 s"
    now += 1
    assert await full.listed() == OverQuota((account_id,), 0, complete=True), "who has no quota is never full"
    await parts_of(store).accounts.update(account_id, quota_octets=50_000, guarded=None)
    now += 15
    assert await full.listed() == OverQuota((), 0, complete=True)
    await parts_of(store).accounts.update(account_id, quota_octets=1, guarded=None)
    now += 15
    assert (await full.listed()).account_ids == (account_id,)
    assert (await parts_of(store).full_accounts()).account_ids == (account_id,)
    assert await faults(store) == []


async def test_used_octets_are_in_no_index(store: Store) -> None:
    """Each filed mail updates them: in an index, no such update would be a HOT one."""
    indexed = await store.core.cold.fetch(
        """/* cold:test */ SELECT DISTINCT a.attname FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::smallint[])
        WHERE i.indrelid = 'account'::regclass"""
    )
    assert {row["attname"] for row in indexed} == {"partition", "account_id"}
