"""Shared mailboxes: what a grantee sees, and all that a grantee must not reach (RFC 8621 §2 myRights, RFC 9670)."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.arriving import TENANT
from tests.integration.mailing import change_mailboxes, file_new, known, mail, mailboxes, new_account, parts_of, update
from tests.integration.sharing import (
    ALL,
    READ,
    as_grantee,
    boxes_as_grantee,
    file_in,
    give,
    seen,
    seen_ids,
    seen_mailboxes,
    seen_messages,
)

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import sharing_pb2
from petitbleu_kit.ids import AccountId, partition_of_account
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.sharing import Right
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service.account_book import KnownAccount

INBOX, DRAFTS, ARCHIVE = 1, 2, 6
OK, NOT_FOUND, FORBIDDEN, INVALID = (
    pb.UPDATE_STATUS_OK,
    pb.UPDATE_STATUS_NOT_FOUND,
    pb.UPDATE_STATUS_FORBIDDEN,
    pb.UPDATE_STATUS_INVALID_MAILBOX,
)


async def forbidden(store: Store, owner: int, grantee: int, tenant: int = TENANT) -> bool:
    try:
        await seen(store, owner, grantee, tenant)
    except StoreError as error:
        return error.problem is Problem.FORBIDDEN
    return False


async def test_a_grantee_sees_the_shared_mailbox_and_nothing_else(store: Store) -> None:
    owner, grantee, stranger = [await new_account(store) for _ in range(3)]
    private, shared = await file_new(store, owner, mail("private"), mail("shared"))
    await update(store, owner, pb.MessageUpdate(message_id=shared, add_mailbox_ids=[ARCHIVE]))
    assert await forbidden(store, owner, grantee)
    answer = await give(store, owner, ARCHIVE, (grantee, READ))
    assert answer.results[0].status == OK
    assert answer.new_modseq > answer.old_modseq
    boxes = await seen_mailboxes(store, owner, grantee)
    assert {number: box.rights for number, box in boxes.items()} == {ARCHIVE: READ}
    assert not boxes[ARCHIVE].shares
    assert [(share.account_id, share.rights) for share in (await mailboxes(store, owner))[ARCHIVE].shares] == [
        (grantee, READ)
    ]
    rows = await seen_messages(store, owner, grantee, [private, shared])
    assert {number: list(row.mailbox_ids) for number, row in rows.items()} == {shared: [ARCHIVE]}
    assert await seen_ids(store, owner, grantee) == [shared]
    assert await forbidden(store, owner, stranger)
    assert await forbidden(store, owner, grantee, TENANT + 1)
    assert await forbidden(store, grantee, owner), "a share goes one way"


@pytest.mark.parametrize(
    "wanted",
    [
        pb.MessageFilter(in_mailbox=INBOX),
        pb.MessageFilter(operator=pb.FILTER_OPERATOR_AND, conditions=[pb.MessageFilter(in_mailbox=INBOX)]),
        pb.MessageFilter(operator=pb.FILTER_OPERATOR_OR, conditions=[pb.MessageFilter(in_mailbox=INBOX)]),
        pb.MessageFilter(in_mailbox_other_than=[ARCHIVE]),
        pb.MessageFilter(in_mailbox=ARCHIVE, in_mailbox_other_than=[ARCHIVE]),
        pb.MessageFilter(
            operator=pb.FILTER_OPERATOR_NOT,
            conditions=[pb.MessageFilter(operator=pb.FILTER_OPERATOR_NOT, conditions=[pb.MessageFilter(in_mailbox=INBOX)])],
        ),
    ],
)  # fmt: skip
async def test_no_filter_tells_of_a_mailbox_that_is_not_shared(store: Store, wanted: pb.MessageFilter) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    _, both = await file_new(store, owner, mail(), mail())
    await update(store, owner, pb.MessageUpdate(message_id=both, add_mailbox_ids=[ARCHIVE]))
    await give(store, owner, ARCHIVE, (grantee, ALL))
    assert await seen_ids(store, owner, grantee, filter=wanted) == []
    turned = pb.MessageFilter(operator=pb.FILTER_OPERATOR_NOT, conditions=[wanted])
    assert await seen_ids(store, owner, grantee, filter=turned) == [both]


async def test_threads_and_blobs_are_seen_through_the_shared_mailbox_only(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    first, second = await file_new(
        store, owner, mail("plan", message_id="1@x.test"), mail("Re: plan", message_id="2@x.test", answers=["1@x.test"])
    )
    await update(store, owner, pb.MessageUpdate(message_id=second, add_mailbox_ids=[ARCHIVE]))
    await give(store, owner, ARCHIVE, (grantee, ALL))
    cases = parts_of(store).cases
    account = await seen(store, owner, grantee)
    row = (await seen_messages(store, owner, grantee, [second]))[second]
    threads = (await cases.reading.threads(account, [row.thread_id])).threads
    assert [list(thread.message_ids) for thread in threads] == [[second]]
    assert b"".join([piece async for piece in cases.blobs.read(account, second, 0, 0)])
    with pytest.raises(StoreError, match="not-found"):
        _ = [piece async for piece in cases.blobs.read(account, first, 0, 0)]
    assert await seen_ids(store, owner, grantee, collapse_threads=True) == [second]
    state = await cases.reading.state(account)
    assert (state.used_octets, state.quota_octets, state.messages) == (0, 0, 0)


@pytest.mark.parametrize(
    ("rights", "change", "expected"),
    [
        (READ, pb.MessageUpdate(add_keywords=["$seen"]), FORBIDDEN),
        (READ | Right.SET_SEEN, pb.MessageUpdate(add_keywords=["$seen"]), OK),
        (READ | Right.SET_SEEN, pb.MessageUpdate(add_keywords=["$flagged"]), FORBIDDEN),
        (READ | Right.SET_SEEN, pb.MessageUpdate(add_keywords=["$seen", "mine"]), FORBIDDEN),
        (READ | Right.SET_KEYWORDS, pb.MessageUpdate(add_keywords=["$flagged", "mine"]), OK),
        (READ | Right.SET_KEYWORDS, pb.MessageUpdate(replace_keywords=True, add_keywords=["$seen"]), FORBIDDEN),
        (READ | Right.ADD_ITEMS, pb.MessageUpdate(destroy=True), FORBIDDEN),
        (READ | Right.REMOVE_ITEMS, pb.MessageUpdate(destroy=True), OK),
        (READ | Right.REMOVE_ITEMS, pb.MessageUpdate(add_mailbox_ids=[INBOX]), INVALID),
        (READ | Right.REMOVE_ITEMS, pb.MessageUpdate(remove_mailbox_ids=[ARCHIVE]), INVALID),
        (READ, pb.MessageUpdate(replace_mailboxes=True, add_mailbox_ids=[ARCHIVE]), OK),
        (ALL & ~Right.REMOVE_ITEMS, pb.MessageUpdate(replace_mailboxes=True, add_mailbox_ids=[DRAFTS]), FORBIDDEN),
        (ALL & ~Right.ADD_ITEMS, pb.MessageUpdate(add_mailbox_ids=[DRAFTS]), FORBIDDEN),
        (ALL, pb.MessageUpdate(replace_mailboxes=True, add_mailbox_ids=[DRAFTS]), OK),
    ],
)
async def test_each_right_allows_what_it_says_and_no_more(
    store: Store, rights: int, change: pb.MessageUpdate, expected: int
) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    (message,) = await file_in(store, owner, [ARCHIVE], mail())
    await give(store, owner, ARCHIVE, (grantee, rights))
    await give(store, owner, DRAFTS, (grantee, rights))
    change.message_id = message
    assert await as_grantee(store, owner, grantee, change) == [expected]


async def test_what_is_also_elsewhere_stays_there_and_keeps_its_marks(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    private, both = await file_new(store, owner, mail(), mail())
    await update(store, owner, pb.MessageUpdate(message_id=both, add_mailbox_ids=[ARCHIVE]))
    await give(store, owner, ARCHIVE, (grantee, ALL))
    await give(store, owner, DRAFTS, (grantee, ALL))
    changes = [
        (pb.MessageUpdate(message_id=private, destroy=True), NOT_FOUND),
        (pb.MessageUpdate(message_id=private, add_mailbox_ids=[ARCHIVE]), NOT_FOUND),
        # RFC 8621 §2: on all mailboxes that the Email is in
        (pb.MessageUpdate(message_id=both, destroy=True), FORBIDDEN),
        (pb.MessageUpdate(message_id=both, add_keywords=["$seen"]), FORBIDDEN),
        (pb.MessageUpdate(message_id=both, remove_mailbox_ids=[INBOX]), OK),
        (pb.MessageUpdate(message_id=both, replace_mailboxes=True, add_mailbox_ids=[DRAFTS]), OK),
    ]
    for change, expected in changes:
        assert await as_grantee(store, owner, grantee, change) == [expected], change
    account = await known(store, owner)
    rows = (await parts_of(store).cases.reading.messages(account, [both], without_meta=True)).messages
    assert list(rows[0].mailbox_ids) == [INBOX, DRAFTS]


async def test_a_share_that_ends_ends_at_once_and_in_the_midst_of_what_is_under_way(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    (message,) = await file_in(store, owner, [ARCHIVE], mail())
    await give(store, owner, ARCHIVE, (grantee, ALL))
    before = await seen(store, owner, grantee)
    await give(store, owner, ARCHIVE, (grantee, 0))
    assert await forbidden(store, owner, grantee)
    request = pb.UpdateMessagesRequest(updates=[pb.MessageUpdate(message_id=message, destroy=True)])
    with pytest.raises(StoreError, match="forbidden"):
        await parts_of(store).cases.updates.update(before, request)
    with pytest.raises(StoreError, match="forbidden"):
        wanted = pb.ImportMessageRequest(body=mail(), mailbox_ids=[ARCHIVE], idempotency_key=b"k" * 16)
        await parts_of(store).cases.imports.add(before, wanted)
    with pytest.raises(StoreError, match="forbidden"):
        boxes = pb.UpdateMailboxesRequest(updates=[pb.MailboxUpdate(mailbox_id=ARCHIVE, name="mine")])
        await parts_of(store).cases.mailboxes.update(before, boxes)
    received = await parts_of(store).cases.views.received(await known(store, grantee))
    assert not received.shares


async def test_what_cannot_be_shared_is_refused(store: Store) -> None:
    owner, child = await new_account(store), await new_account(store, guarded=True)
    wrong = [(child, READ), (owner, READ), (1, READ), (-5, READ), (child + 1, READ)]
    for share in wrong:
        answer = await give(store, owner, ARCHIVE, share)
        assert list(answer.results[0].faults) == [pb.MAILBOX_FAULT_SHARES], share
    friend = await new_account(store)
    for rights in (int(Right.ADD_ITEMS), READ | 256, 1 << 20):
        assert (await give(store, owner, ARCHIVE, (friend, rights))).results[0].status == INVALID
    assert (await give(store, child, ARCHIVE, (friend, READ))).results[0].status == INVALID
    assert not (await mailboxes(store, owner))[ARCHIVE].shares


async def test_nobody_holds_up_accounts_of_another_tenant(store: Store) -> None:
    """A stranger's account is not locked, so that it being locked is nothing to wait for (promise 7)."""
    owner, stranger = await new_account(store), await new_account(store, TENANT + 1)
    async with store.core.pool.acquire() as connection, connection.transaction():
        held = "/* cold:test */ SELECT modseq FROM account WHERE partition = $1 AND account_id = $2 FOR UPDATE"
        assert await connection.fetchval(held, partition_of_account(AccountId(stranger)), stranger)
        async with asyncio.timeout(20):
            answer = await give(store, owner, ARCHIVE, (stranger, READ))
    assert list(answer.results[0].faults) == [pb.MAILBOX_FAULT_SHARES]


@pytest.mark.parametrize("who", ["owner", "grantee"])
async def test_an_account_that_becomes_guarded_neither_shares_nor_sees(store: Store, who: str) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    await file_in(store, owner, [ARCHIVE], mail())
    await give(store, owner, ARCHIVE, (grantee, ALL))
    before = await seen(store, owner, grantee)
    child = owner if who == "owner" else grantee
    await store.core.cold.execute("/* cold:test */ UPDATE account SET guarded = true WHERE account_id = $1", child)
    assert await forbidden(store, owner, grantee), "from the moment of the guard, before anything else is done"
    accounts = parts_of(store).accounts
    await accounts.update(child, quota_octets=None, guarded=True)
    with pytest.raises(StoreError, match="forbidden"):
        await parts_of(store).cases.updates.update(before, pb.UpdateMessagesRequest())
    await accounts.update(child, quota_octets=None, guarded=False)
    assert await forbidden(store, owner, grantee), "it does not come back"
    assert not (await mailboxes(store, owner))[ARCHIVE].shares
    await give(store, owner, ARCHIVE, (grantee, READ))
    assert list(await seen_mailboxes(store, owner, grantee)) == [ARCHIVE]


async def test_a_mailbox_made_while_shares_end_is_not_shared_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, child, friend = [await new_account(store) for _ in range(3)]
    await give(store, owner, ARCHIVE, (child, ALL), (friend, ALL))
    parts = parts_of(store)
    change = parts.cases.mailboxes.update
    made: list[int] = []

    async def in_between(account: KnownAccount, request: pb.UpdateMailboxesRequest) -> pb.UpdateMailboxesResponse:
        if not made:
            made.append(1)
            below = pb.MailboxUpdate(name="Below", parent_id=ARCHIVE)
            made.extend((await boxes_as_grantee(store, owner, friend, below)).mailbox_ids)
        return await change(account, request)

    monkeypatch.setattr(parts.cases.mailboxes, "update", in_between)
    await parts.accounts.update(child, quota_octets=None, guarded=True)
    monkeypatch.undo()
    shown = await mailboxes(store, owner)
    assert [[share.account_id for share in shown[one].shares] for one in (ARCHIVE, made[1])] == [[friend], [friend]]
    await parts.accounts.update(child, quota_octets=None, guarded=False)
    assert await forbidden(store, owner, child)


async def test_an_erased_account_leaves_no_share_behind(store: Store) -> None:
    owner, grantee, other = [await new_account(store) for _ in range(3)]
    await give(store, owner, ARCHIVE, (grantee, ALL), (other, READ))
    await parts_of(store).erasure.erase(grantee)
    assert [share.account_id for share in (await mailboxes(store, owner))[ARCHIVE].shares] == [other]
    await parts_of(store).erasure.erase(owner)
    assert await forbidden(store, owner, other)
    for table in ("share", "share_received", "share_history", "message_before"):
        assert not await store.core.cold.fetch(f"/* cold:test */ SELECT 1 FROM {table}"), table
    left = await store.core.cold.fetch("/* cold:test */ SELECT account_id FROM share_notification")
    assert {row["account_id"] for row in left} == {other}


async def test_mailboxes_are_changed_by_right(store: Store) -> None:
    owner, grantee, other = [await new_account(store) for _ in range(3)]
    made = await change_mailboxes(
        store,
        owner,
        pb.MailboxUpdate(name="team", parent_id=0, subscribed=True),
        pb.MailboxUpdate(name="own", parent_id=0),
    )
    team, own = made.mailbox_ids
    await give(store, owner, team, (grantee, ALL & ~Right.DELETE), (other, READ))
    refused = await boxes_as_grantee(
        store, owner, grantee,
        pb.MailboxUpdate(mailbox_id=own, name="seen"), pb.MailboxUpdate(mailbox_id=team, destroy=True),
        pb.MailboxUpdate(name="top", parent_id=0), pb.MailboxUpdate(name="in it", parent_id=own),
        pb.MailboxUpdate(mailbox_id=team, parent_id=own), pb.MailboxUpdate(mailbox_id=team, role="flagged"),
        pb.MailboxUpdate(mailbox_id=team, sort_order=7), pb.MailboxUpdate(mailbox_id=team, shares=[pb.MailboxShare(account_id=other)]),
        pb.MailboxUpdate(mailbox_id=team, replace_shares=True),
    )  # fmt: skip
    assert [result.status for result in refused.results] == [
        NOT_FOUND, FORBIDDEN, FORBIDDEN, INVALID, INVALID, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN,
    ]  # fmt: skip
    assert refused.new_modseq == refused.old_modseq
    done = await boxes_as_grantee(
        store, owner, grantee,
        pb.MailboxUpdate(mailbox_id=team, name="the team", subscribed=False), pb.MailboxUpdate(name="child", parent_id=team),
    )  # fmt: skip
    assert [result.status for result in done.results] == [OK, OK]
    child = done.mailbox_ids[1]
    theirs, mine = await seen_mailboxes(store, owner, grantee), await mailboxes(store, owner)
    assert (theirs[team].name, theirs[team].subscribed, mine[team].subscribed) == ("the team", False, True)
    assert theirs[child].parent_id == team
    assert {share.account_id: share.rights for share in mine[child].shares} == {
        grantee: ALL & ~Right.DELETE,
        other: READ,
    }
    assert (await boxes_as_grantee(store, owner, other, pb.MailboxUpdate(mailbox_id=child, name="x"))).results[
        0
    ].status == FORBIDDEN
    await give(store, owner, team, (grantee, 0), (other, 0))
    assert (await seen_mailboxes(store, owner, grantee))[child].parent_id == 0


async def test_a_grantee_s_imports_need_the_right_and_tell_nothing_of_the_owner_s(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    imports = parts_of(store).cases.imports
    wanted = pb.ImportMessageRequest(body=mail("same"), mailbox_ids=[INBOX], idempotency_key=b"k" * 32)
    first = await imports.add(await known(store, owner), wanted)
    await give(store, owner, ARCHIVE, (grantee, READ))
    account = await seen(store, owner, grantee)
    assert (await imports.add(account, wanted)).status == INVALID
    wanted.mailbox_ids[:] = [ARCHIVE]
    assert (await imports.add(account, wanted)).status == FORBIDDEN
    await give(store, owner, ARCHIVE, (grantee, READ | Right.ADD_ITEMS))
    made = await imports.add(account, wanted)
    assert (made.status, made.existed) == (OK, False)
    assert made.message.message_id != first.message.message_id
    again = await imports.add(account, wanted)
    assert (again.existed, again.message.message_id) == (True, made.message.message_id)


async def test_a_notification_tells_of_every_change_of_rights_and_is_dismissed(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    cases = parts_of(store).cases
    for rights in (READ, ALL, ALL, 0):
        await give(store, owner, ARCHIVE, (grantee, rights))
    account = await known(store, grantee)
    listed = await cases.notices.listed(account)
    told = [(one.owner_account_id, one.mailbox_id, one.old_rights, one.new_rights) for one in listed.notifications]
    assert told == [(owner, ARCHIVE, 0, READ), (owner, ARCHIVE, READ, ALL), (owner, ARCHIVE, ALL, 0)]
    assert {one.name for one in listed.notifications} == {(await mailboxes(store, owner))[ARCHIVE].name}
    ids = [one.notification_id for one in listed.notifications]
    gone = await cases.notices.dismiss(
        account, sharing_pb2.DismissNotificationsRequest(notification_ids=[ids[0], 99999])
    )
    assert list(gone.notification_ids) == ids[:1]
    changes = pb.GetChangesRequest(kind=pb.CHANGE_KIND_SHARE_NOTIFICATION, since_modseq=listed.modseq)
    assert list((await cases.changes.get(account, changes)).destroyed) == ids[:1]
    for _ in range(6):
        await give(store, owner, ARCHIVE, (grantee, READ))
        await give(store, owner, ARCHIVE, (grantee, 0))
    kept = [one.notification_id for one in (await cases.notices.listed(account)).notifications]
    assert len(kept) == 10
    assert min(kept) > max(ids)


async def test_what_is_asked_of_a_thread_is_asked_of_what_is_seen_of_it(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    (hidden,) = await file_new(store, owner, mail("plan", message_id="t1@x.test"))
    answers = [mail("Re: plan", message_id=f"t{at}@x.test", answers=["t1@x.test"]) for at in (2, 3)]
    plain, flagged = await file_in(store, owner, [ARCHIVE], *answers)
    (alone,) = await file_in(store, owner, [ARCHIVE], mail("alone"))
    await give(store, owner, ARCHIVE, (grantee, ALL))

    async def found(**condition: object) -> list[int]:
        return sorted(await seen_ids(store, owner, grantee, filter=pb.MessageFilter(**condition)))  # type: ignore[arg-type]

    await update(store, owner, pb.MessageUpdate(message_id=hidden, add_keywords=["$flagged", "$seen"]))
    assert await found(some_in_thread_have_keyword="$flagged") == [], "what is not seen counts for nothing"
    assert await found(none_in_thread_have_keyword="$flagged") == sorted([plain, flagged, alone])
    await update(store, owner, pb.MessageUpdate(message_id=flagged, add_keywords=["$flagged"]))
    assert await found(some_in_thread_have_keyword="$flagged") == sorted([plain, flagged])
    text = pb.TextCondition(scope=pb.TEXT_SCOPE_SUBJECT, text="plan")
    assert await found(some_in_thread_have_keyword="$flagged", texts=[text]) == sorted([plain, flagged])
    assert await found(none_in_thread_have_keyword="$flagged") == [alone]
    await update(
        store, owner, pb.MessageUpdate(message_id=plain, add_keywords=["$flagged"]),
        pb.MessageUpdate(message_id=hidden, remove_keywords=["$flagged"]),
    )  # fmt: skip
    assert await found(all_in_thread_have_keyword="$flagged") == sorted([plain, flagged])
    sort = pb.MessageSort(property=pb.SORT_PROPERTY_ALL_IN_THREAD_HAVE_KEYWORD, keyword="$flagged", ascending=True)
    assert (await seen_ids(store, owner, grantee, sort=[sort]))[0] == alone
    assert (
        await seen_ids(store, owner, grantee, filter=pb.MessageFilter(in_any_mailbox=pb.MailboxIds(mailbox_ids=[1])))
        == []
    )


async def test_a_search_finds_among_what_is_seen_only(store: Store) -> None:
    owner, grantee = [await new_account(store) for _ in range(2)]
    (shown,) = await file_in(store, owner, [ARCHIVE], mail("holidays in Brittany"))
    await file_new(store, owner, mail("holidays in secret"))
    await give(store, owner, ARCHIVE, (grantee, ALL))
    text = pb.TextCondition(scope=pb.TEXT_SCOPE_SUBJECT, text="holidays")
    wanted = [
        pb.MessageFilter(texts=[text]),
        pb.MessageFilter(texts=[text], in_mailbox=ARCHIVE),
        pb.MessageFilter(operator=pb.FILTER_OPERATOR_OR, conditions=[pb.MessageFilter(texts=[text])]),
    ]
    for one in wanted:
        assert await seen_ids(store, owner, grantee, filter=one) == [shown], one
        assert await seen_ids(store, owner, grantee, filter=one, calculate_total=True) == [shown], one
    secret = pb.MessageFilter(texts=[pb.TextCondition(scope=pb.TEXT_SCOPE_SUBJECT, text="secret")])
    assert await seen_ids(store, owner, grantee, filter=secret) == []
    assert await seen_ids(store, owner, grantee, filter=pb.MessageFilter(texts=[text], in_mailbox=INBOX)) == []
