"""What a person deleted can be brought back for 30 days, costs no more than its bounds, and then is gone for good (ADR 20)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.integration import mailing
from tests.integration.arriving import TRACE, accept, findings, message, settle, text
from tests.integration.conftest import Opener
from tests.integration.deleting import (
    purge,
    removed,
    removed_ids,
    removed_mailboxes,
    restore,
    restore_mailboxes,
)
from tests.integration.mailing import (
    PREFIX,
    Cache,
    change_mailboxes,
    faults,
    file,
    file_new,
    item,
    mail,
    new_account,
    parts_of,
    served,
    update,
)

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_kit.identity import Signer, Verifier
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.outcome import Outcome
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, INBOX, SENT, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.removal import now_ms

DAY = 86_400_000
OK = pb.RESTORE_STATUS_OK


async def destroy(store: Store, account_id: int, *ids: int) -> None:
    done = await update(store, account_id, *[mailbox_pb2.MessageUpdate(message_id=one, destroy=True) for one in ids])
    assert {result.status for result in done.results} == {mailbox_pb2.UPDATE_STATUS_OK}


async def statuses(store: Store, account_id: int, *ids: int) -> list[int]:
    return [result.status for result in (await restore(store, account_id, {one: [] for one in ids})).results]


async def state(store: Store, account_id: int) -> mailbox_pb2.GetStateResponse:
    return await parts_of(store).cases.reading.state(await mailing.known(store, account_id))


async def new_mailbox(store: Store, account_id: int, name: str, parent: int = 0, role: str = "") -> int:
    made = await change_mailboxes(store, account_id, mailbox_pb2.MailboxUpdate(name=name, parent_id=parent, role=role))
    return made.mailbox_ids[0]


async def drop(store: Store, account_id: int, *mailbox_ids: int) -> None:
    done = await change_mailboxes(
        store, account_id,
        *[mailbox_pb2.MailboxUpdate(mailbox_id=one, destroy=True, with_messages=True) for one in mailbox_ids],
    )  # fmt: skip
    assert {result.status for result in done.results} == {mailbox_pb2.UPDATE_STATUS_OK}


async def put(store: Store, account_id: int, message_id: int, *mailbox_ids: int) -> None:
    change = mailbox_pb2.MessageUpdate(message_id=message_id, replace_mailboxes=True, add_mailbox_ids=mailbox_ids)
    await update(store, account_id, change)


async def add(store: Store, account_id: int, body: bytes, key: bytes = bytes(16), mailbox: int = DRAFTS) -> int:
    request = mailbox_pb2.ImportMessageRequest(
        account_id=account_id, body=body, mailbox_ids=[mailbox], keywords=["$draft"], idempotency_key=key
    )
    made = await parts_of(store).cases.imports.add(await mailing.known(store, account_id), request)
    return made.message.message_id


async def test_a_destroyed_message_comes_back_as_it_was(store: Store) -> None:
    account_id = await new_account(store)
    root, other = await file_new(
        store,
        account_id,
        mail("Plan", message_id="r@x"),
        mail("Re: Plan", answers=["r@x"]),
        keywords=["work", "$flagged"],
    )
    threads = Cache(mailbox_pb2.CHANGE_KIND_THREAD)
    messages = Cache(mailbox_pb2.CHANGE_KIND_MESSAGE)
    before = await mailing.messages(store, account_id, [root, other])
    octets = await served(store, account_id, root)
    await destroy(store, account_id, root, other)
    for cache in (threads, messages):
        await cache.sync(store, account_id, 1000)
        assert cache.ids == set()
    with pytest.raises(StoreError) as gone:
        await served(store, account_id, root)
    assert gone.value.problem is Problem.NOT_FOUND
    told = await removed(store, account_id)
    assert {one.message.message_id for one in told} == {root, other}
    assert all(one.expires_at_ms - one.removed_at_ms == 30 * DAY for one in told)
    assert (await state(store, account_id)).used_octets == 0
    assert await statuses(store, account_id, other, root) == [OK, OK]
    after = await mailing.messages(store, account_id, [root, other])
    for one in (root, other):
        after[one].modseq = before[one].modseq
    assert after == before
    assert await served(store, account_id, root) == octets
    for cache in (threads, messages):
        await cache.sync(store, account_id, 1)  # RFC 8620 §5.2: what is there again is created, to who knew it gone
    assert messages.ids == {root, other}
    assert threads.ids == {root}
    # Once more is no error, and no change.
    again = await restore(store, account_id, {root: [INBOX], 4711: []})
    assert [result.status for result in again.results] == [OK, pb.RESTORE_STATUS_NOT_FOUND]
    assert again.old_modseq == again.new_modseq
    assert again.results[0].message.message_id == root
    assert await removed(store, account_id) == []
    assert await faults(store) == []


async def test_a_client_that_slept_through_it_sees_a_change_only(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, mail(), mail())
    cache = Cache(mailbox_pb2.CHANGE_KIND_MESSAGE)
    threads = Cache(mailbox_pb2.CHANGE_KIND_THREAD)
    for one in (cache, threads):
        await one.sync(store, account_id, 1000)
    await destroy(store, account_id, *ids)
    assert await statuses(store, account_id, ids[1]) == [OK]
    for one in (cache, threads):
        await one.sync(store, account_id, 1000)  # asserts that nothing known is told as created
        assert one.ids == {ids[1]}
        assert one.updated == {ids[1]}


async def test_filing_again_does_not_bring_back_what_can_be_brought_back(store: Store) -> None:
    account_id = await new_account(store)
    (blob_id,) = await accept(store, message(mail()))
    (result,) = await file(store, item(blob_id, account_id))
    await destroy(store, account_id, result.message_id)
    for number in range(2):
        (again,) = await file(store, item(blob_id, account_id, number))
        assert again.status == filing_pb2.FILE_STATUS_FILED
        assert await mailing.all_ids(store, account_id) == []
    assert await statuses(store, account_id, result.message_id) == [OK]
    await file(store, item(blob_id, account_id))
    assert await mailing.all_ids(store, account_id) == [result.message_id]
    assert await faults(store) == []


async def test_the_same_imported_again_meanwhile_is_another_message(store: Store) -> None:
    account_id = await new_account(store)
    body = mail()
    one = await add(store, account_id, body)
    await destroy(store, account_id, one)
    two = await add(store, account_id, body)
    await destroy(store, account_id, two)
    three = await add(store, account_id, body)
    assert len({one, two, three}) == 3
    assert await statuses(store, account_id, one, two) == [OK, OK]
    assert await add(store, account_id, body) == three
    assert sorted(await mailing.all_ids(store, account_id)) == [one, two, three]
    await destroy(store, account_id, one, two, three)
    assert await faults(store) == []


async def test_what_comes_back_must_fit_in_the_quota(store: Store) -> None:
    account_id = await new_account(store, quota_octets=5000)
    ids = await file_new(store, account_id, mail(octets=1500), mail(octets=1500))
    await destroy(store, account_id, *ids)
    await file_new(store, account_id, mail(octets=2000))
    done = await statuses(store, account_id, *ids)
    assert done == [OK, pb.RESTORE_STATUS_OVER_QUOTA]
    assert await removed_ids(store, account_id) == [ids[1]]
    box = await new_mailbox(store, account_id, "b")
    await put(store, account_id, ids[0], box)
    await drop(store, account_id, box)
    await file_new(store, account_id, mail(octets=2000))
    (result,) = (await restore_mailboxes(store, account_id, box)).results
    assert result.status == pb.RESTORE_STATUS_OVER_QUOTA
    assert await faults(store) == []


async def test_what_is_kept_is_bounded_and_drafts_go_before_mail(open_store: Opener) -> None:
    async with open_store(undo_messages=100, undo_octets=1 << 20) as store:
        account_id = await new_account(store, quota_octets=20_000)
        (small,) = await file_new(store, account_id, mail(octets=100))
        await destroy(store, account_id, small)
        for _ in range(40):
            await destroy(store, account_id, await add(store, account_id, mail(octets=1000)))
        kept = await removed(store, account_id)
        assert sum(one.message.size for one in kept) <= 20_000
        assert small in {one.message.message_id for one in kept}  # though it is the oldest
        # Mail drives out mail, the oldest first.
        ids = [(await file_new(store, account_id, mail(octets=5000)))[0] for _ in range(3)]
        for one in ids:
            await destroy(store, account_id, one)
        (large,) = await file_new(store, account_id, mail(octets=9000))
        await destroy(store, account_id, large)
        assert await removed_ids(store, account_id) == [large, ids[2]]
        assert await statuses(store, account_id, small) == [pb.RESTORE_STATUS_NOT_FOUND]
        free = await new_account(store)
        for _ in range(3):
            ids = await file_new(store, free, *[mail() for _ in range(50)])
            await destroy(store, free, *ids)
        assert len(await removed_ids(store, free)) == 90
        assert await faults(store) == []


async def test_nothing_is_kept_where_the_operator_keeps_nothing(open_store: Opener) -> None:
    async with open_store(undo_days=0) as store:
        account_id = await new_account(store)
        box = await new_mailbox(store, account_id, "b")
        ids = await file_new(store, account_id, mail(), mail())
        await put(store, account_id, ids[0], box)
        await drop(store, account_id, box)
        await destroy(store, account_id, ids[1])
        assert await removed(store, account_id) == []
        assert await removed_mailboxes(store, account_id) == []
        assert await faults(store) == []


async def test_a_kept_body_stays_until_its_time_is_over(open_store: Opener) -> None:
    async with open_store(segment_retention_days=0.0, compact_dead_percent=1) as store:
        account_id = await new_account(store)
        bodies = [text(3000, number) for number in range(4)]
        ids = await accept(store, *[message(body) for body in bodies])
        results = await file(store, *[item(one, account_id) for one in ids])
        for one in ids:
            await settle(store, one, Outcome.FILED, account_id)
        await store.packer.pack_now()
        numbers = [result.message_id for result in results]
        await destroy(store, account_id, *numbers[:2])
        # Somebody else let go of the bodies: whose the mail was needs them yet.
        await store.core.cold.execute(
            "/* cold:test */ INSERT INTO blob_release (partition, blob_id) SELECT partition, blob_id FROM blob_place"
        )
        assert await store.compaction.bury() == 0
        purging = parts_of(store).cases.purging
        assert await purging.expire(now_ms() + 29 * DAY) == 0
        assert await statuses(store, account_id, numbers[0]) == [OK]
        assert await served(store, account_id, numbers[0]) == PREFIX + TRACE + bodies[0]
        assert await purging.expire(now_ms() + 31 * DAY) == 1
        assert await statuses(store, account_id, numbers[1]) == [pb.RESTORE_STATUS_NOT_FOUND]
        assert await store.compaction.bury() == 1
        assert set(await store.core.bodies.places(store.core.cold, ids)) == {ids[0], *ids[2:]}
        done = await store.compaction.compact()
        assert done.rewritten == 1
        assert await served(store, account_id, numbers[0]) == PREFIX + TRACE + bodies[0]
        assert await findings(store) == []


async def test_mailboxes_that_are_over_go_too(store: Store) -> None:
    account_id = await new_account(store)
    box = await new_mailbox(store, account_id, "b")
    await drop(store, account_id, box)
    assert [one.mailbox.name for one in await removed_mailboxes(store, account_id)] == ["b"]
    assert await parts_of(store).cases.purging.expire(now_ms() + 31 * DAY) == 1
    (result,) = (await restore_mailboxes(store, account_id, box)).results
    assert result.status == pb.RESTORE_STATUS_NOT_FOUND


async def test_a_person_deletes_for_ever(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, mail(), mail())
    box = await new_mailbox(store, account_id, "b")
    await drop(store, account_id, box)
    await destroy(store, account_id, *ids)
    done = await purge(store, account_id, ids[0], 4711, mailboxes=[box])
    assert (list(done.message_ids), list(done.mailbox_ids)) == ([ids[0]], [box])
    assert done.new_state > done.old_state
    assert (await purge(store, account_id, 4711)).old_state == done.new_state
    with pytest.raises(StoreError) as refused:
        await purge(store, account_id, ids[1], if_state=done.old_state)
    assert refused.value.problem is Problem.STATE_MISMATCH
    assert await statuses(store, account_id, *ids) == [pb.RESTORE_STATUS_NOT_FOUND, OK]
    assert await removed_mailboxes(store, account_id) == []
    rows = await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM message_content")
    assert rows == 1
    assert await faults(store) == []


async def test_an_erased_account_keeps_nothing(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, mail(), mail())
    await drop(store, account_id, await new_mailbox(store, account_id, "b"))
    await destroy(store, account_id, ids[0])
    await store.core.cold.execute("/* cold:test */ TRUNCATE blob_release")
    await parts_of(store).erasure.erase(account_id)
    for table in ("removed_message", "removed_mailbox", "message_content", "origin", "account"):
        assert await store.core.cold.fetchval(f"/* cold:test */ SELECT count(*) FROM {table}") == 0, table
    assert await store.core.cold.fetchval("/* cold:test */ SELECT count(*) FROM blob_release") == 2


async def test_a_mailbox_comes_back_with_its_messages(store: Store) -> None:
    account_id = await new_account(store)
    parent = await new_mailbox(store, account_id, "Projets", role="important")
    child = await new_mailbox(store, account_id, "Été", parent)
    ids = await file_new(store, account_id, *[mail() for _ in range(5)])
    await put(store, account_id, ids[0], parent)
    await put(store, account_id, ids[1], parent, child)
    await put(store, account_id, ids[2], parent, INBOX)  # lives on
    await put(store, account_id, ids[3], child)
    await put(store, account_id, ids[4], child)
    await destroy(store, account_id, ids[4])  # by itself, before
    before = await mailing.messages(store, account_id, ids[:4])
    boxes = Cache(mailbox_pb2.CHANGE_KIND_MAILBOX)
    await boxes.sync(store, account_id, 1000)
    await drop(store, account_id, child, parent)
    assert {one.mailbox.name: one.messages for one in await removed_mailboxes(store, account_id)} == {
        "Projets": 3, "Été": 2,
    }  # fmt: skip
    # Others take its name and its role meanwhile.
    await new_mailbox(store, account_id, "Projets", role="important")
    results = (await restore_mailboxes(store, account_id, child, parent, 4711)).results
    assert [result.status for result in results] == [OK, OK, pb.RESTORE_STATUS_NOT_FOUND]
    assert (results[0].name, results[0].parent_id) == ("Été", parent)
    assert (results[1].name, results[1].parent_id, results[1].role) == ("Projets (2)", 0, "")
    after = await mailing.messages(store, account_id, ids[:4])
    assert {one: set(found.mailbox_ids) for one, found in after.items()} == {
        one: set(found.mailbox_ids) for one, found in before.items()
    }
    assert await removed_ids(store, account_id) == [ids[4]]
    await boxes.sync(store, account_id, 1000)
    assert {parent, child} <= boxes.ids
    (again,) = (await restore_mailboxes(store, account_id, parent)).results
    assert (again.status, again.name, again.messages) == (OK, "Projets (2)", 0)
    assert await faults(store) == []


async def test_a_message_goes_to_the_archive_until_its_mailbox_is_back(store: Store) -> None:
    account_id = await new_account(store)
    box = await new_mailbox(store, account_id, "b")
    (one,) = await file_new(store, account_id, mail())
    await put(store, account_id, one, box)
    await drop(store, account_id, box)
    assert await statuses(store, account_id, one) == [OK]
    assert list((await mailing.messages(store, account_id, [one]))[one].mailbox_ids) == [ARCHIVE]
    (result,) = (await restore_mailboxes(store, account_id, box)).results
    assert (result.status, result.messages) == (OK, 1)
    assert list((await mailing.messages(store, account_id, [one]))[one].mailbox_ids) == [ARCHIVE, box]
    await drop(store, account_id, box)
    (result,) = (await restore_mailboxes(store, account_id, box, without_messages=True)).results
    assert (result.status, result.messages) == (OK, 0)
    assert list((await mailing.messages(store, account_id, [one]))[one].mailbox_ids) == [ARCHIVE]
    assert await faults(store) == []


async def test_deleted_mailboxes_are_bounded(open_store: Opener) -> None:
    async with open_store(undo_mailboxes=3) as store:
        account_id = await new_account(store)
        for number in range(5):
            await drop(store, account_id, await new_mailbox(store, account_id, f"b{number}"))
        assert [one.mailbox.name for one in await removed_mailboxes(store, account_id)] == ["b4", "b3", "b2"]


async def test_messages_come_back_where_they_shall_be(store: Store) -> None:
    account_id = await new_account(store)
    (one,) = await file_new(store, account_id, mail())
    await destroy(store, account_id, one)
    done = await restore(store, account_id, {one: [4711]})
    assert done.results[0].status == pb.RESTORE_STATUS_INVALID_MAILBOX
    with pytest.raises(StoreError) as refused:
        await restore(store, account_id, {one: []}, if_modseq=done.new_modseq - 1)
    assert refused.value.problem is Problem.STATE_MISMATCH
    done = await restore(store, account_id, {one: [TRASH, ARCHIVE]}, if_modseq=done.new_modseq)
    assert list(done.results[0].message.mailbox_ids) == [TRASH, ARCHIVE]


async def test_deleted_mail_is_listed_by_time_size_and_mailbox(store: Store) -> None:
    account_id = await new_account(store)
    ids = await file_new(store, account_id, mail(octets=300), mail(octets=100), mail(octets=200))
    await put(store, account_id, ids[2], ARCHIVE)
    for one in ids:
        await destroy(store, account_id, one)
    assert await removed_ids(store, account_id) == ids[::-1]
    assert await removed_ids(store, account_id, ascending=1) == ids
    assert await removed_ids(store, account_id, sort=pb.REMOVED_SORT_SIZE) == [ids[0], ids[2], ids[1]]
    assert await removed_ids(store, account_id, in_mailbox=ARCHIVE) == [ids[2]]
    assert await removed_ids(store, account_id, position=1, limit=1) == [ids[1]]
    assert await removed_ids(store, account_id, position=-1) == [ids[0]]
    assert await removed_ids(store, account_id, position=-9) == ids[::-1]
    assert await removed_ids(store, account_id, anchor=ids[1], anchor_offset=1) == [ids[0]]
    assert await removed_ids(store, account_id, anchor=ids[1], anchor_offset=-5) == ids[::-1]
    at = [one.removed_at_ms for one in await removed(store, account_id)]
    assert await removed_ids(store, account_id, before_ms=at[0], after_ms=at[2]) == [
        one for one, time in zip(ids[::-1], at, strict=True) if at[2] <= time < at[0]
    ]
    request = pb.QueryRemovedRequest(account_id=account_id, anchor=4711, limit=5)
    found = await parts_of(store).cases.removed.query(await mailing.known(store, account_id), request)
    assert (found.anchor_not_found, found.total) == (True, 3)


@pytest.fixture
def guard(store: Store, tmp_path: Path) -> Signer:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "junior-guard.pub").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    object.__setattr__(store.core, "decisions", Verifier("store", tmp_path / "guard"))
    return Signer("junior-guard", key)


async def test_a_child_brings_back_what_it_saw_and_nothing_else(store: Store, guard: Signer) -> None:
    child = await new_account(store, guarded=True)
    ids = await accept(store, message(mail("seen")), message(mail("canary")))

    def token(number: int, verdict: str) -> str:
        claims = {"use": "decision", "account": child, "accepted": ids[number].hex, "verdict": verdict}
        return guard.sign("store", claims, 60)

    (seen,) = await file(store, item(ids[0], child, decision_token=token(0, "deliver")))
    await file(store, item(ids[1], child, decision_token=token(1, "hold")))
    decision = filing_pb2.DecideHeldRequest(
        account_id=child, accepted_id=ids[1].bytes, decision_token=token(1, "destroy")
    )
    await parts_of(store).held.decide(decision)
    assert await removed(store, child) == []  # what a guardian destroyed is nowhere
    await put(store, child, seen.message_id, TRASH)
    draft = await add(store, child, mail())
    await destroy(store, child, seen.message_id, draft)
    # What nobody decided on stays among the child's own.
    done = await restore(store, child, {draft: [INBOX], seen.message_id: []})
    assert [result.status for result in done.results] == [pb.RESTORE_STATUS_FORBIDDEN, OK]
    assert list(done.results[1].message.mailbox_ids) == [TRASH]
    done = await restore(store, child, {draft: [SENT]})
    assert list(done.results[0].message.mailbox_ids) == [SENT]
    assert sorted(await mailing.all_ids(store, child)) == sorted([seen.message_id, draft])
    assert await faults(store) == []


async def test_a_draft_of_before_the_guard_goes_among_the_drafts(store: Store) -> None:
    account_id = await new_account(store)
    box = await new_mailbox(store, account_id, "b")
    one = await add(store, account_id, mail(), mailbox=box)
    await destroy(store, account_id, one)
    await parts_of(store).accounts.update(account_id, quota_octets=None, guarded=True)
    done = await restore(store, account_id, {one: []})
    assert (done.results[0].status, list(done.results[0].message.mailbox_ids)) == (OK, [DRAFTS])


async def test_nobody_reaches_another_account_s_deleted_mail(store: Store) -> None:
    one, other = await new_account(store), await new_account(store)
    ids = await file_new(store, one, mail())
    await destroy(store, one, *ids)
    assert await statuses(store, other, *ids) == [pb.RESTORE_STATUS_NOT_FOUND]
    assert list((await purge(store, other, *ids)).message_ids) == []
    assert await removed_ids(store, one) == ids
