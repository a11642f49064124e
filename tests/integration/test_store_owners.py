"""Whoever has a message keeps its body, whatever becomes of those who were to have it too; keys live as long as they are needed."""

from __future__ import annotations

from tests.integration.arriving import TRACE, accept, body_of, message, settle, text
from tests.integration.conftest import Opener
from tests.integration.mailing import PREFIX, file, item, new_account, parts_of, served, update

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.ids import AccountId, BlobId, partition_of_account
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.service.housekeeping import Housekeeping
from petitbleu_store.service.parked import ParkedRecipients


async def owners(store: Store, blob_id: BlobId) -> set[int]:
    found = await store.core.cold.fetchval(
        "/* cold:test */ SELECT account_ids FROM recipient WHERE accepted_id = $1", blob_id
    )
    return set(found or ())


async def test_a_dropped_member_of_a_group_takes_nobody_s_body_along(store: Store) -> None:
    body = text(900)
    (blob_id,) = await accept(store, message(body))
    account_id = await new_account(store)
    filed, unknown = await file(store, item(blob_id, account_id), item(blob_id, account_id + 1))
    assert (filed.status, unknown.status) == (filing_pb2.FILE_STATUS_FILED, filing_pb2.FILE_STATUS_NO_ACCOUNT)
    await settle(store, blob_id, Outcome.PARKED, reason="no-account")
    await store.packer.pack_now()
    assert await ParkedRecipients(store.core).drop([(blob_id, 0)]) == 1
    assert await store.compaction.bury() == 0
    assert await served(store, account_id, filed.message_id) == PREFIX + TRACE + body


async def test_a_member_who_left_a_group_between_two_attempts_keeps_the_body(store: Store) -> None:
    (blob_id,) = await accept(store, message())
    early, late = [await new_account(store) for _ in range(2)]
    await file(store, item(blob_id, early))
    await file(store, item(blob_id, late))
    await file(store, item(blob_id, late))
    await settle(store, blob_id, Outcome.FILED, late)
    assert await owners(store, blob_id) == {early, late}


async def test_a_guardian_s_decision_does_not_forget_the_other_accounts(store: Store) -> None:
    (blob_id,) = await accept(store, message())
    await settle(store, blob_id, Outcome.HELD, 5, 6)
    await settle(store, blob_id, Outcome.FILED, 5)
    assert await owners(store, blob_id) == {5, 6}


async def test_mail_of_a_quiet_server_is_not_pruned_before_it_is_packed(store: Store) -> None:
    body = text(900)
    (blob_id,) = await accept(store, message(body))
    one, other = [await new_account(store) for _ in range(2)]
    first, second = await file(store, item(blob_id, one), item(blob_id, other))
    await settle(store, blob_id, Outcome.FILED, one, other)
    await store.core.cold.execute("/* cold:test */ UPDATE accepted SET received_at = now() - interval '31 days'")
    housekeeping = Housekeeping(store.core, store.staging)
    await housekeeping.prune_accepted()
    await store.packer.pack_now()
    await housekeeping.prune_accepted()
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM accepted") == 0
    await update(store, one, mailbox_pb2.MessageUpdate(message_id=first.message_id, destroy=True))
    assert await store.compaction.bury() == 0
    assert await served(store, other, second.message_id) == PREFIX + TRACE + body


async def test_mail_parked_as_unreadable_keeps_its_intake_key(store: Store) -> None:
    body = text(300)
    (blob_id,) = await accept(store, message(body))
    flip = "/* cold:test */ UPDATE accepted SET envelope = set_byte(envelope, 20, get_byte(envelope, 20) # 1)"
    await store.core.cold.execute(flip)
    store.core.intake._known.clear()
    store.core.recipients._fresh.clear()
    assert await store.core.recipients.list_open(store.core.pool, [blob_id]) == []
    await store.core.cold.execute(flip)
    await store.core.cold.execute("/* cold:test */ UPDATE intake_key SET created_at = now() - interval '3 days'")
    for _ in range(2):
        assert await store.core.intake.destroy_spent() == 0
        later = "/* cold:test */ UPDATE intake_key SET created_at = now() - interval '1 hour' WHERE key_id = 2"
        await store.core.cold.execute(later)
    assert await ParkedRecipients(store.core).replay_all() == 1
    assert len(await store.core.recipients.list_open(store.core.pool, [blob_id])) == 1
    assert await body_of(store, blob_id) == TRACE + body


async def test_nothing_is_accepted_under_a_key_that_was_just_destroyed(open_store: Opener) -> None:
    body = text(300)
    async with open_store() as store:
        (gone,) = await accept(store, message())
        await settle(store, gone, Outcome.DISCARDED)
        # The machine slept for days, or its clock was put right: what this process knows of today is an old day's.
        await store.core.cold.execute("/* cold:test */ UPDATE intake_key SET created_at = now() - interval '3 days'")
        for _ in range(2):
            await store.core.intake.destroy_spent()
        (blob_id,) = await accept(store, message(body))
        later = "/* cold:test */ UPDATE intake_key SET created_at = now() - interval '1 hour' WHERE key_id = 2"
        await store.core.cold.execute(later)
        assert await store.core.intake.destroy_spent() == 1
    async with open_store() as store:
        assert await body_of(store, blob_id) == TRACE + body


async def test_mail_held_for_an_erased_child_has_an_outcome(store: Store) -> None:
    child = await new_account(store, guarded=True)
    (blob_id,) = await accept(store, message())
    await settle(store, blob_id, Outcome.HELD, child)
    await store.core.cold.execute(
        "/* cold:test */ INSERT INTO held (partition, account_id, accepted_id, size, sealed) VALUES ($1, $2, $3, 1, '')",
        partition_of_account(AccountId(child)), child, blob_id,
    )  # fmt: skip
    await parts_of(store).erasure.erase(child)
    await store.packer.pack_now()
    assert await store.core.cold.fetchval("/* cold:test */ SELECT outcome FROM recipient") == Outcome.DISCARDED.value
    assert await store.compaction.bury() == 1
