"""Filing against a real PostgreSQL: exactly once, in order, for the right account only."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration import mailing
from tests.integration.arriving import TRACE, accept, message
from tests.integration.mailing import (
    PREFIX,
    faults,
    file,
    file_new,
    item,
    mail,
    mailboxes,
    new_account,
    parts_of,
    update,
)

from petitbleu.events.v1.events_pb2 import AccountChanged
from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_kit.identity import Signer, Verifier
from petitbleu_kit.ids import BlobId, new_blob_id
from petitbleu_store import mailbox_parts
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, INBOX, JUNK, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import mailbox_upkeep
from petitbleu_store.service.removal import now_ms

FILED = filing_pb2.FILE_STATUS_FILED
HELD = filing_pb2.FILE_STATUS_HELD
REQUIRED = filing_pb2.FILE_STATUS_DECISION_REQUIRED


@pytest.fixture
def guard(store: Store, tmp_path: Path) -> Signer:
    """A junior-guard whose decisions this store believes."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "junior-guard.pub").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    store.core.decisions.__init__("store", tmp_path)  # type: ignore[misc]
    assert isinstance(store.core.decisions, Verifier)
    return Signer("junior-guard", key)


def decision(guard: Signer, account_id: int, blob_id: BlobId, verdict: str) -> str:
    claims = {"use": "decision", "account": account_id, "accepted": blob_id.hex, "verdict": verdict}
    return guard.sign("store", claims, 60)


async def test_what_was_accepted_is_served_byte_for_byte(store: Store) -> None:
    account_id = await new_account(store)
    body = mail(octets=300_000)
    (message_id,) = await file_new(store, account_id, body)
    whole = PREFIX + TRACE + body
    assert await mailing.served(store, account_id, message_id) == whole
    for offset, length in (
        (0, 10),
        (len(PREFIX) - 5, 20),
        (len(PREFIX), 1),
        (70_000, 100_000),
        (len(whole) - 3, 50),
        (len(whole), 5),
    ):
        assert await mailing.served(store, account_id, message_id, offset, length) == whole[offset : offset + length]
    found = (await mailing.messages(store, account_id, [message_id]))[message_id]
    assert (found.size, found.prefix_octets) == (len(whole), len(PREFIX))
    assert list(found.mailbox_ids) == [INBOX]


async def test_filing_again_changes_nothing(store: Store) -> None:
    account_id = await new_account(store)
    ids = await accept(store, *[message(mail()) for _ in range(5)])
    first = await file(store, *[item(blob_id, account_id) for blob_id in ids])
    before = await parts_of(store).cases.reading.state(await mailing.known(store, account_id))
    async with mailing.counting_events(store) as events:
        again = await file(store, *[item(blob_id, account_id) for blob_id in [*ids, *ids]])
    assert [result.message_id for result in again] == [result.message_id for result in first] * 2
    assert {result.status for result in again} == {FILED}
    assert await parts_of(store).cases.reading.state(await mailing.known(store, account_id)) == before
    assert events == []
    assert await faults(store) == []


async def test_a_destroyed_message_does_not_come_back(store: Store) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    (result,) = await file(store, item(blob_id, account_id))
    await update(store, account_id, mailbox_pb2.MessageUpdate(message_id=result.message_id, destroy=True))
    (again,) = await file(store, item(blob_id, account_id))
    assert again.status == FILED
    assert await mailing.all_ids(store, account_id) == []
    assert await faults(store) == []
    # Once it cannot be brought back and nobody can file it any more, it is forgotten.
    assert await parts_of(store).cases.purging.expire(now_ms() + 31 * 86_400_000) == 1
    await store.core.cold.execute(
        "/* cold:test */ UPDATE origin SET gone_at = now() - interval '41 days' WHERE gone_at IS NOT NULL"
    )
    assert await mailbox_upkeep.forget_gone(store.core.cold) == 1


async def test_two_recipients_of_one_account_give_one_message_in_both_mailboxes(store: Store) -> None:
    one, other = await new_account(store), await new_account(store)
    (blob_id,) = await accept(store, message(mail(), to=("a@demo.test", "b@demo.test")))
    together = await file(store, item(blob_id, one, 0), item(blob_id, one, 1, mailbox_roles=["junk"]))
    assert together[0].message_id == together[1].message_id
    (first,) = await file(store, item(blob_id, other, 0))
    (second,) = await file(store, item(blob_id, other, 1, mailbox_roles=["junk"]))
    assert first.message_id == second.message_id
    for account_id in (one, other):
        (found,) = (await mailing.messages(store, account_id, [first.message_id])).values()
        assert list(found.mailbox_ids) == [INBOX, JUNK]
    # A recipient counts once: its owner's change stands.
    move = mailbox_pb2.MessageUpdate(message_id=first.message_id, replace_mailboxes=True, add_mailbox_ids=[ARCHIVE])
    await update(store, other, move)
    await file(store, item(blob_id, other, 0), item(blob_id, other, 1, mailbox_roles=["junk"]))
    (found,) = (await mailing.messages(store, other, [first.message_id])).values()
    assert list(found.mailbox_ids) == [ARCHIVE]
    assert await faults(store) == []


async def test_overlapping_batches_at_once_file_each_message_once(store: Store) -> None:
    accounts = [await new_account(store) for _ in range(6)]
    ids = await accept(store, *[message(mail()) for _ in range(40)])
    chooser = random.Random(5)
    items = [item(blob_id, account_id) for blob_id in ids for account_id in chooser.sample(accounts, 3)]
    batches = [chooser.sample(items, 60) for _ in range(12)]
    results = await asyncio.gather(*(file(store, *batch) for batch in batches))
    assert {result.status for batch in results for result in batch} == {FILED}
    filed: dict[tuple[bytes, int], set[int]] = {}
    for batch, answers in zip(batches, results, strict=True):
        for one, answer in zip(batch, answers, strict=True):
            filed.setdefault((one.recipient.accepted_id, one.account_id), set()).add(answer.message_id)
    assert all(len(given) == 1 for given in filed.values())
    for account_id in accounts:
        assert len(await mailing.all_ids(store, account_id)) == len([key for key in filed if key[1] == account_id])
    assert await faults(store) == []


async def test_the_order_of_commits_is_the_order_of_modseq(store: Store) -> None:
    account_id = await new_account(store)
    bodies = await accept(store, *[message(mail()) for _ in range(60)])
    cache = mailing.Cache(mailbox_pb2.CHANGE_KIND_MESSAGE)
    done = asyncio.Event()

    async def watch() -> None:
        # A client that asks in the midst of it must never be told less than it will be told that it knew.
        while not done.is_set():
            await cache.sync(store, account_id, 7)
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(
        *(file(store, *[item(one, account_id) for one in bodies[at : at + 3]]) for at in range(0, 60, 3))
    )
    done.set()
    await watcher
    await cache.sync(store, account_id, 7)
    assert cache.ids == set(await mailing.all_ids(store, account_id))
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT uid, message_id FROM mailbox_message ORDER BY message_id"
    )
    assert [row["uid"] for row in rows] == sorted({row["uid"] for row in rows})


async def test_a_large_batch_for_many_accounts_is_one_commit(store: Store) -> None:
    accounts = [await new_account(store) for _ in range(70)]
    ids = await accept(store, *[message(mail(answers=["root@x"])) for _ in range(90)])
    items = [item(blob_id, account_id) for blob_id in ids[:3] for account_id in accounts]
    items += [item(blob_id, accounts[0]) for blob_id in ids]
    results = await file(store, *items)
    assert {result.status for result in results} == {FILED}
    rows = await store.core.cold.fetch("/* cold:test */ SELECT DISTINCT xmin::text FROM message")
    assert len(rows) == 1
    assert [len(await mailing.all_ids(store, account_id)) for account_id in accounts] == [90] + [3] * 69
    assert await faults(store) == []


async def test_accounts_are_made_once_and_changed_at_once(store: Store) -> None:
    service = parts_of(store).accounts
    account_id = await new_account(store, quota_octets=10)
    again = mailbox_pb2.NewStoreAccount(account_id=account_id, tenant_id=99, quota_octets=20, language="en")
    english = mailbox_pb2.NewStoreAccount(account_id=account_id + 1, tenant_id=99, language="en-GB")
    await service.create([again, english])
    shown = await mailboxes(store, account_id)
    assert [(one.mailbox_id, one.role, one.name) for one in shown.values()] == [
        (1, "inbox", "Boîte de réception"), (2, "drafts", "Brouillons"), (3, "sent", "Envoyés"), (6, "archive", "Archives"),
        (5, "junk", "Indésirables"), (4, "trash", "Corbeille"),
    ]  # fmt: skip
    assert (await mailboxes(store, account_id + 1))[INBOX].name == "Inbox"
    assert len({one.uid_validity for one in shown.values()}) == 6
    (blob_id,) = await accept(store, message(mail()))
    await service.update(account_id, quota_octets=None, guarded=True)
    assert [result.status for result in await file(store, item(blob_id, account_id))] == [REQUIRED]
    await service.update(account_id, quota_octets=77, guarded=False)
    assert [result.status for result in await file(store, item(blob_id, account_id))] == [FILED]
    state = await parts_of(store).cases.reading.state(await mailing.known(store, account_id))
    assert state.quota_octets == 77
    with pytest.raises(StoreError) as refused:
        await service.update(5, quota_octets=1, guarded=None)
    assert refused.value.problem is Problem.NOT_FOUND
    for wrong in (
        mailbox_pb2.NewStoreAccount(account_id=0, tenant_id=1),
        mailbox_pb2.NewStoreAccount(account_id=1, tenant_id=0),
    ):
        with pytest.raises(StoreError) as refused:
            await service.create([wrong])
        assert refused.value.problem is Problem.INVALID
    assert await faults(store) == []


async def test_a_new_limit_has_a_modseq_of_its_own_and_is_told(store: Store) -> None:
    account_id = await new_account(store)
    service, known = parts_of(store).accounts, await mailing.known(store, account_id)

    async def told() -> set[int]:
        query = "/* cold:test */ SELECT payload FROM outbox WHERE subject LIKE 'mail.account.changed.%'"
        events = [AccountChanged.FromString(row["payload"]) for row in await store.core.cold.fetch(query)]
        return {event.modseq for event in events if event.account_id == account_id}

    reading = parts_of(store).cases.reading
    first = await reading.state(known)
    await service.update(account_id, quota_octets=0, guarded=False)
    same = await reading.state(known)
    assert (same.modseq, same.limit_modseq, same.limited_modseq) == (first.modseq, 0, 0)
    assert await told() == set()
    for octets in (1000, 2000, 2000):
        await service.update(account_id, quota_octets=octets, guarded=None)
    state = await reading.state(known)
    assert state.modseq == state.limit_modseq == first.modseq + 2
    assert state.limited_modseq == first.modseq + 1
    assert await told() == {first.modseq + 1, first.modseq + 2}
    await service.update(account_id, quota_octets=0, guarded=None)
    state = await reading.state(known)
    assert (state.limit_modseq, state.limited_modseq) == (first.modseq + 3, first.modseq + 1)
    assert await faults(store) == []


async def test_quota_is_counted_and_never_refuses_filing(store: Store) -> None:
    account_id = await new_account(store, quota_octets=5000)
    assert await parts_of(store).over_quota([account_id]) == []
    ids = await file_new(store, account_id, *[mail(octets=2000) for _ in range(4)])
    state = await parts_of(store).cases.reading.state(await mailing.known(store, account_id))
    sizes = [found.size for found in (await mailing.messages(store, account_id, ids)).values()]
    assert (state.used_octets, state.messages) == (sum(sizes), 4)
    assert await parts_of(store).over_quota([account_id, 1]) == [account_id]
    await update(store, account_id, *[mailbox_pb2.MessageUpdate(message_id=one, destroy=True) for one in ids[:3]])
    assert await parts_of(store).over_quota([account_id]) == []
    assert await faults(store) == []


async def test_unknown_accounts_and_unreadable_bodies_are_told_apart(store: Store) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    results = await file(store, item(blob_id, 12345), item(new_blob_id(3, 0), account_id), item(blob_id, account_id))
    assert [result.status for result in results] == [
        filing_pb2.FILE_STATUS_NO_ACCOUNT, filing_pb2.FILE_STATUS_UNREADABLE, FILED,
    ]  # fmt: skip
    assert await faults(store) == []


async def test_nothing_enters_a_guarded_account_without_a_decision(store: Store, guard: Signer) -> None:
    child = await new_account(store, guarded=True)
    (blob_id,) = await accept(store, message(mail()))
    others = await accept(store, message(mail()))
    wrong = [
        "", "no token", decision(guard, child + 1, blob_id, "deliver"), decision(guard, child, others[0], "deliver"),
        decision(guard, child, blob_id, "destroy"), decision(guard, child, blob_id, "perhaps"),
        Signer("junior-guard", Ed25519PrivateKey.generate()).sign("store", {"use": "decision", "account": child,
                                                                         "accepted": blob_id.hex, "verdict": "deliver"}, 60),
        guard.sign("store", {"use": "service", "account": child, "accepted": blob_id.hex, "verdict": "deliver"}, 60),
        guard.sign("store", {"use": "decision", "account": child, "accepted": blob_id.hex, "verdict": "deliver"}, -60),
    ]  # fmt: skip
    for token in wrong:
        (result,) = await file(store, item(blob_id, child, decision_token=token))
        assert result.status == REQUIRED
    assert await mailing.all_ids(store, child) == []
    (result,) = await file(store, item(blob_id, child, decision_token=decision(guard, child, blob_id, "deliver")))
    assert result.status == FILED
    assert await mailing.all_ids(store, child) == [result.message_id]


async def test_an_account_that_becomes_guarded_is_guarded_for_what_comes_next(store: Store) -> None:
    account_id = await new_account(store)
    await file_new(store, account_id, mail())
    # Another process of the store guards it: this one still remembers it as it was.
    await store.core.cold.execute("/* cold:test */ UPDATE account SET guarded = true WHERE account_id = $1", account_id)
    (blob_id,) = await accept(store, message(mail()))
    (result,) = await file(store, item(blob_id, account_id))
    assert result.status == REQUIRED


async def test_held_mail_is_seen_by_nobody_and_is_filed_or_destroyed_by_a_decision(store: Store, guard: Signer) -> None:
    child = await new_account(store, guarded=True)
    ids = await accept(store, message(mail("canary held")), message(mail()), message(mail()))
    async with mailing.counting_events(store) as events:
        for _ in range(2):
            results = await file(
                store,
                *[
                    item(one, child, keywords=["$flagged", "Cours"], decision_token=decision(guard, child, one, "hold"))
                    for one in ids
                ],
            )
            assert {result.status for result in results} == {HELD}
    assert events == ["mail.message.held"] * 3
    account = await mailing.known(store, child)
    assert await mailing.all_ids(store, child) == []
    assert all(mailbox.total_messages == 0 for mailbox in (await mailboxes(store, child)).values())
    state = await parts_of(store).cases.reading.state(account)
    assert (state.messages, state.used_octets) == (0, 0)
    assert (await parts_of(store).counts())[:2] == (1, 3)
    assert await parts_of(store).still_referred([(ids[0], [child])]) == {ids[0]}

    held = parts_of(store).held
    for verdict in ("hold", ""):
        with pytest.raises(StoreError) as refused:
            await held.decide(
                filing_pb2.DecideHeldRequest(
                    account_id=child, accepted_id=ids[0].bytes, decision_token=decision(guard, child, ids[0], verdict)
                )
            )
        assert refused.value.problem is Problem.FORBIDDEN
    for blob_id, verdict in ((ids[0], "deliver"), (ids[1], "destroy")):
        for _ in range(2):
            await held.decide(
                filing_pb2.DecideHeldRequest(
                    account_id=child, accepted_id=blob_id.bytes, decision_token=decision(guard, child, blob_id, verdict)
                )
            )
    (message_id,) = await mailing.all_ids(store, child)
    found = (await mailing.messages(store, child, [message_id]))[message_id]
    assert list(found.keywords) == ["$flagged", "cours"]
    assert (await mailing.served(store, child, message_id)).startswith(PREFIX + TRACE)
    # delivery may not have settled yet: filing again neither brings back what was destroyed nor doubles what was filed.
    results = await file(
        store, *[item(one, child, decision_token=decision(guard, child, one, "deliver")) for one in ids]
    )
    assert [result.status for result in results] == [FILED, HELD, FILED]
    assert len(await mailing.all_ids(store, child)) == 2
    assert (await parts_of(store).counts())[:2] == (1, 0)
    assert await parts_of(store).still_referred([(ids[1], [child])]) == set()
    assert await faults(store) == []


async def _outcomes(store: Store, blob_id: BlobId) -> list[tuple[int, list[int] | None]]:
    rows = await store.core.cold.fetch(
        "/* cold:test */ SELECT outcome, account_ids FROM recipient WHERE accepted_id = $1 ORDER BY recipient_no",
        blob_id,
    )
    return [(row["outcome"], row["account_ids"]) for row in rows]


async def test_the_commit_that_files_records_the_outcome_of_a_sole_item(store: Store, guard: Signer) -> None:
    account_id, child = await new_account(store), await new_account(store, guarded=True)
    (blob_id,) = await accept(store, message(mail(), to=("a@demo.test", "b@demo.test", "c@demo.test", "d@demo.test")))
    for _ in range(2):
        results = await file(
            store,
            item(blob_id, account_id, 0, sole=True),
            item(blob_id, account_id, 1),  # a group: others must be filed before it is settled
            item(blob_id, child, 2, sole=True, decision_token=decision(guard, child, blob_id, "hold")),
            item(blob_id, 99, 3, sole=True),
        )
        assert [result.settled for result in results] == [True, False, True, False]
    assert await _outcomes(store, blob_id) == [(2, [account_id]), (1, [account_id]), (3, [child]), (1, None)]


async def test_nothing_is_settled_that_was_not_filed(store: Store) -> None:
    child = await new_account(store, guarded=True)
    (blob_id,) = await accept(store, message(mail()))
    (result,) = await file(store, item(blob_id, child, 0, sole=True))
    assert (result.status, result.settled) == (REQUIRED, False)
    assert await _outcomes(store, blob_id) == [(1, None)]


@pytest.mark.parametrize(("verdict", "outcome"), [("deliver", 2), ("destroy", 5)])
async def test_a_decision_on_held_mail_is_its_recipient_s_outcome(
    store: Store, guard: Signer, verdict: str, outcome: int
) -> None:
    child = await new_account(store, guarded=True)
    (blob_id,) = await accept(store, message(mail()))
    await file(store, item(blob_id, child, 0, sole=True, decision_token=decision(guard, child, blob_id, "hold")))
    assert [found[0] for found in await _outcomes(store, blob_id)] == [3]
    token = decision(guard, child, blob_id, verdict)
    request = filing_pb2.DecideHeldRequest(account_id=child, accepted_id=blob_id.bytes, decision_token=token)
    await parts_of(store).held.decide(request)
    assert [found[0] for found in await _outcomes(store, blob_id)] == [outcome]


async def test_a_child_imports_drafts_and_sent_copies_only(store: Store) -> None:
    child = await new_account(store, guarded=True)
    for mailbox_id, status in ((DRAFTS, mailbox_pb2.UPDATE_STATUS_OK), (INBOX, mailbox_pb2.UPDATE_STATUS_FORBIDDEN)):
        made = await parts_of(store).cases.imports.add(
            await mailing.known(store, child),
            mailbox_pb2.ImportMessageRequest(
                account_id=child, body=mail(), mailbox_ids=[mailbox_id], idempotency_key=b"%016d" % mailbox_id
            ),
        )
        assert made.status == status


async def test_an_account_s_rows_open_for_nobody_else(store: Store) -> None:
    one, other = await new_account(store), await new_account(store)
    (message_id,) = await file_new(store, one, mail())
    await file_new(store, other, mail())
    # A thief who can write rows puts one account's content in another's row.
    await store.core.cold.execute(
        "/* cold:test */ UPDATE message_content SET sealed = (SELECT sealed FROM message_content WHERE account_id = $1) "
        "WHERE account_id = $2", one, other,
    )  # fmt: skip
    with pytest.raises(StoreError) as refused:
        await mailing.messages(store, other, [message_id])
    assert refused.value.problem is Problem.UNREADABLE
    assert len(await faults(store)) == 2


async def test_an_erased_account_leaves_nothing(store: Store) -> None:
    account_id, other = await new_account(store), await new_account(store)
    ids = await file_new(store, account_id, *[mail() for _ in range(30)])
    await file_new(store, other, mail())
    await update(
        store, account_id, mailbox_pb2.MessageUpdate(message_id=ids[0], add_mailbox_ids=[TRASH], add_keywords=["mine"])
    )
    blobs = [
        row["blob_id"]
        for row in await store.core.cold.fetch(
            "/* cold:test */ SELECT blob_id FROM message WHERE account_id = $1", account_id
        )
    ]
    for _ in range(2):
        await parts_of(store).erasure.erase(account_id)
    tables = ("account", "mailbox", "message", "message_content", "mailbox_message", "thread_message", "thread_ref", "change_log",
              "origin", "keyword", "held")  # fmt: skip
    for table in tables:
        assert (
            await store.core.cold.fetchval(
                f"/* cold:test */ SELECT count(*) FROM {table} WHERE account_id = $1", account_id
            )
            == 0
        )
    released = await store.core.cold.fetch("/* cold:test */ SELECT blob_id FROM blob_release")
    assert {row["blob_id"] for row in released} == set(blobs)
    assert await parts_of(store).still_referred([(BlobId(one), [account_id]) for one in blobs]) == set()
    with pytest.raises(StoreError):
        await mailing.known(store, account_id)
    (blob_id,) = await accept(store, message(mail()))
    assert [result.status for result in await file(store, item(blob_id, account_id))] == [
        filing_pb2.FILE_STATUS_NO_ACCOUNT
    ]
    with pytest.raises(StoreError):
        await parts_of(store).accounts.create([mailbox_pb2.NewStoreAccount(account_id=account_id, tenant_id=1)])
    assert len(await mailing.all_ids(store, other)) == 1
    assert await faults(store) == []


async def test_a_restored_account_that_was_erased_is_closed_before_anybody_asks(store: Store) -> None:
    account_id, other = await new_account(store), await new_account(store)
    await file_new(store, account_id, mail())
    await file_new(store, other, mail())
    # The ledger is newer than the back-up that the rows come from.
    await store.core.cold.execute(
        "/* cold:test */ INSERT INTO erasure (partition, account_id, tenant_id, finished_at) "
        "SELECT partition, account_id, tenant_id, now() FROM account WHERE account_id = $1", account_id,
    )  # fmt: skip
    restored = await mailbox_parts.make(store.core)
    with pytest.raises(StoreError):
        await restored.cases.account(account_id)
    await restored.upkeep()
    assert (
        await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM message WHERE account_id = $1", account_id)
        == 0
    )
    assert len(await mailing.all_ids(store, other)) == 1


async def test_nothing_personal_is_in_clear_in_the_rows(store: Store) -> None:
    account_id = await new_account(store)
    await file_new(
        store,
        account_id,
        mail("canary-subject"),
        keywords=["canary-keyword"],
        prefix=b"Delivered-To: canary-to@demo.test\r\n",
    )
    await mailing.change_mailboxes(store, account_id, mailbox_pb2.MailboxUpdate(name="canary-name"))
    tables = ("account", "mailbox", "message", "message_content", "mailbox_message", "thread_message", "thread_ref", "change_log",
              "origin", "keyword", "held", "outbox")  # fmt: skip
    for table in tables:
        rows = await store.core.cold.fetch(f"/* cold:test */ SELECT * FROM {table}")
        seen = b"".join(
            value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row.values()
        )
        assert b"canary" not in seen, table


async def test_what_a_child_wrote_never_becomes_received_mail(store: Store, guard: Signer) -> None:
    child = await new_account(store, guarded=True)
    made = await parts_of(store).cases.imports.add(
        await mailing.known(store, child),
        mailbox_pb2.ImportMessageRequest(
            account_id=child, body=mail(), mailbox_ids=[DRAFTS], idempotency_key=b"forged-from-anyone"
        ),
    )
    (blob_id,) = await accept(store, message(mail()))
    (got,) = await file(store, item(blob_id, child, decision_token=decision(guard, child, blob_id, "deliver")))
    for mailbox_id, message_id, status in (
        (INBOX, made.message.message_id, mailbox_pb2.UPDATE_STATUS_FORBIDDEN),
        (ARCHIVE, made.message.message_id, mailbox_pb2.UPDATE_STATUS_FORBIDDEN),
        (TRASH, made.message.message_id, mailbox_pb2.UPDATE_STATUS_OK),
        (INBOX, made.message.message_id, mailbox_pb2.UPDATE_STATUS_FORBIDDEN),
        (TRASH, got.message_id, mailbox_pb2.UPDATE_STATUS_OK),
        (INBOX, got.message_id, mailbox_pb2.UPDATE_STATUS_OK),
    ):
        change = mailbox_pb2.MessageUpdate(message_id=message_id, replace_mailboxes=True, add_mailbox_ids=[mailbox_id])
        (result,) = (await update(store, child, change)).results
        assert result.status == status
