"""Random histories of an account: a client that follows GetChanges knows the truth, and every counter equals a recount."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict

import pytest
from tests.integration import mailing
from tests.integration.arriving import accept, message
from tests.integration.deleting import purge, removed, removed_mailboxes, restore, restore_mailboxes
from tests.integration.mailing import Cache, change_mailboxes, faults, file, item, mail, new_account, parts_of, update

from petitbleu.store.v1 import mailbox_pb2, removed_pb2
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, INBOX, JUNK, SENT, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import mailbox_upkeep

KEYWORDS = ("$seen", "$flagged", "$draft", "work", "maison")
STEPS = 60


class History:
    """Does random things to one account, and looks."""

    def __init__(self, store: Store, account_id: int, seed: int) -> None:
        self.store = store
        self.account_id = account_id
        self.chooser = random.Random(seed)
        self.sent: list[tuple[str, str]] = []
        self.accepted: list[tuple[object, tuple[str, ...]]] = []
        self.messages = Cache(mailbox_pb2.CHANGE_KIND_MESSAGE)
        self.mailboxes = Cache(mailbox_pb2.CHANGE_KIND_MAILBOX)
        self.threads = Cache(mailbox_pb2.CHANGE_KIND_THREAD)

    async def step(self) -> None:
        doing = self.chooser.choices(
            [self.file, self.refile, self.mark, self.move, self.destroy, self.add, self.remake_mailboxes, self.restore,
             self.restore_mailboxes, self.purge],
            [6, 2, 5, 5, 4, 2, 3, 3, 2, 1],
        )[0]  # fmt: skip
        await doing()

    def new_mail(self) -> bytes:
        answered = self.chooser.choice(self.sent) if self.sent and self.chooser.random() < 0.6 else None
        subject = (
            answered[1] if answered is not None and self.chooser.random() < 0.9 else f"s{self.chooser.randrange(5)}"
        )
        message_id = f"m{len(self.sent)}.{self.chooser.randrange(10**9)}@example.org"
        self.sent.append((message_id, subject))
        answers = [answered[0]] if answered is not None else []
        return mail("Re: " * bool(answers) + subject, message_id=message_id, answers=answers)

    async def file(self) -> None:
        bodies = [self.new_mail() for _ in range(self.chooser.randrange(1, 5))]
        ids = await accept(self.store, *[message(body, to=("a@demo.test", "b@demo.test")) for body in bodies])
        for blob_id in ids:
            self.accepted.append(
                (blob_id, tuple(self.chooser.sample(("inbox", "junk", "trash"), self.chooser.randrange(1, 3))))
            )
        await self._file(self.accepted[-len(ids) :])

    async def refile(self) -> None:
        if self.accepted:
            await self._file(self.chooser.choices(self.accepted, k=3), number=self.chooser.randrange(2))

    async def _file(self, wanted: list, number: int = 0) -> None:  # type: ignore[type-arg]
        keywords = self.chooser.sample(KEYWORDS, self.chooser.randrange(3))
        await file(
            self.store,
            *[item(one, self.account_id, number, mailbox_roles=roles, keywords=keywords) for one, roles in wanted],
        )

    async def some(self) -> list[int]:
        ids = await mailing.all_ids(self.store, self.account_id)
        return self.chooser.sample(ids, min(len(ids), self.chooser.randrange(1, 5)))

    async def mark(self) -> None:
        await update(self.store, self.account_id, *[
            mailbox_pb2.MessageUpdate(
                message_id=one, add_keywords=self.chooser.sample(KEYWORDS, 2), remove_keywords=self.chooser.sample(KEYWORDS, 1),
                replace_keywords=self.chooser.random() < 0.3,
            ) for one in await self.some()
        ])  # fmt: skip

    async def move(self) -> None:
        places = list(await mailing.mailboxes(self.store, self.account_id))
        await update(self.store, self.account_id, *[
            mailbox_pb2.MessageUpdate(
                message_id=one, add_mailbox_ids=self.chooser.sample(places, 1), remove_mailbox_ids=self.chooser.sample(places, 2),
                replace_mailboxes=self.chooser.random() < 0.5,
            ) for one in await self.some()
        ])  # fmt: skip

    async def destroy(self) -> None:
        await update(self.store, self.account_id, *[
            mailbox_pb2.MessageUpdate(message_id=one, destroy=True) for one in await self.some()
        ])  # fmt: skip

    async def kept(self) -> list[int]:
        return [one.message.message_id for one in await removed(self.store, self.account_id)]

    async def restore(self) -> None:
        """Some of what was destroyed comes back as it was, where it was or where it shall be."""
        kept = {one.message.message_id: one.message for one in await removed(self.store, self.account_id)}
        some = self.chooser.sample(sorted(kept), min(len(kept), self.chooser.randrange(1, 6)))
        places = sorted(await mailing.mailboxes(self.store, self.account_id))
        asked = {one: self.chooser.sample(places, self.chooser.randrange(3)) for one in some}
        done = await restore(self.store, self.account_id, asked)
        assert {result.status for result in done.results} <= {removed_pb2.RESTORE_STATUS_OK}
        there = await mailing.messages(self.store, self.account_id, some)
        for one in some:
            was, now = kept[one], there[one]
            assert (now.thread_id, now.keywords, now.meta, now.size) == (
                was.thread_id,
                was.keywords,
                was.meta,
                was.size,
            )
            assert set(now.mailbox_ids) == (set(asked[one]) or set(was.mailbox_ids) & set(places) or {
                DRAFTS if "$draft" in was.keywords else ARCHIVE
            })  # fmt: skip
        assert not set(some) & set(await self.kept())

    async def restore_mailboxes(self) -> None:
        kept = await removed_mailboxes(self.store, self.account_id)
        if kept:
            some = [one.mailbox.mailbox_id for one in self.chooser.sample(kept, min(len(kept), 2))]
            done = await restore_mailboxes(self.store, self.account_id, *some)
            assert {result.status for result in done.results} == {removed_pb2.RESTORE_STATUS_OK}
            there = await mailing.mailboxes(self.store, self.account_id)
            assert [there[one].name for one in some] == [result.name for result in done.results]

    async def purge(self) -> None:
        some = (await self.kept())[:3]
        done = await purge(self.store, self.account_id, *some)
        assert list(done.message_ids) == sorted(some)
        again = await restore(self.store, self.account_id, {one: [] for one in some})
        assert {result.status for result in again.results} <= {removed_pb2.RESTORE_STATUS_NOT_FOUND}

    async def add(self) -> None:
        request = mailbox_pb2.ImportMessageRequest(
            account_id=self.account_id, body=self.new_mail(), mailbox_ids=[self.chooser.choice([DRAFTS, SENT, ARCHIVE])],
            keywords=["$seen"], idempotency_key=self.chooser.randbytes(16),
            received_at_ms=self.chooser.randrange(1, 10**13),
        )  # fmt: skip
        imports = parts_of(self.store).cases.imports
        first = await imports.add(await mailing.known(self.store, self.account_id), request)
        again = await imports.add(await mailing.known(self.store, self.account_id), request)
        assert first.message == again.message
        assert again.old_modseq == again.new_modseq

    async def remake_mailboxes(self) -> None:
        own = [one for one in await mailing.mailboxes(self.store, self.account_id) if one > 6]
        updates = [
            mailbox_pb2.MailboxUpdate(name=f"box {self.chooser.randrange(6)}", parent_id=self.chooser.choice([0, *own]))
        ]
        if own:
            updates.append(
                mailbox_pb2.MailboxUpdate(mailbox_id=self.chooser.choice(own), parent_id=self.chooser.choice(own))
            )
            updates.append(
                mailbox_pb2.MailboxUpdate(
                    mailbox_id=self.chooser.choice(own), destroy=True, with_messages=self.chooser.random() < 0.5
                )
            )
        await change_mailboxes(self.store, self.account_id, *updates)

    async def look(self) -> None:
        """A client catches up, and what it knows is compared with what is there."""
        truth_before = getattr(self, "truth", None)
        most = self.chooser.choice([1, 2, 5, 1000])
        for cache in (self.messages, self.mailboxes, self.threads):
            await cache.sync(self.store, self.account_id, most)
        ids = await mailing.all_ids(self.store, self.account_id)
        messages = await mailing.messages(self.store, self.account_id, ids)
        mailboxes = await mailing.mailboxes(self.store, self.account_id)
        assert self.messages.ids == set(ids) == set(messages)
        assert self.mailboxes.ids == set(mailboxes)
        assert self.threads.ids == {one.thread_id for one in messages.values()}
        if truth_before is not None:
            # Nothing changes silently.
            old_messages, old_mailboxes, old_threads = truth_before
            assert {
                one for one, was in old_messages.items() if one in messages and messages[one] != was
            } <= self.messages.updated
            assert {
                one for one, was in old_mailboxes.items() if one in mailboxes and mailboxes[one] != was
            } <= self.mailboxes.updated
            threads = self.thread_members(messages)
            assert {
                one for one, was in old_threads.items() if one in threads and threads[one] != was
            } <= self.threads.updated
        self.truth = (messages, mailboxes, self.thread_members(messages))
        await self.recount(messages, mailboxes)

    @staticmethod
    def thread_members(messages: dict[int, mailbox_pb2.Message]) -> dict[int, set[int]]:
        threads: dict[int, set[int]] = defaultdict(set)
        for one in messages.values():
            threads[one.thread_id].add(one.message_id)
        return dict(threads)

    async def recount(
        self, messages: dict[int, mailbox_pb2.Message], mailboxes: dict[int, mailbox_pb2.Mailbox]
    ) -> None:
        """RFC 8621 §2, word by word, against the counters."""

        def unread(one: mailbox_pb2.Message) -> bool:
            return not {"$seen", "$draft"} & set(one.keywords)

        for mailbox in mailboxes.values():
            inside = [one for one in messages.values() if mailbox.mailbox_id in one.mailbox_ids]
            threads = {one.thread_id for one in inside}
            if mailbox.mailbox_id == TRASH:
                counted = [one for one in messages.values() if TRASH in one.mailbox_ids]
            else:
                counted = [one for one in messages.values() if list(one.mailbox_ids) != [TRASH]]
            unread_threads = {one.thread_id for one in counted if unread(one)} & threads
            assert (
                mailbox.total_messages, mailbox.unread_messages, mailbox.total_threads, mailbox.unread_threads,
            ) == (len(inside), len([one for one in inside if unread(one)]), len(threads), len(unread_threads))  # fmt: skip
        account = await mailing.known(self.store, self.account_id)
        state = await parts_of(self.store).cases.reading.state(account)
        assert state.messages == len(messages)
        assert state.used_octets == sum(one.size for one in messages.values())
        told = await parts_of(self.store).cases.reading.threads(account, [one.thread_id for one in messages.values()])
        assert {thread.thread_id: set(thread.message_ids) for thread in told.threads} == self.thread_members(messages)
        for thread in told.threads:
            ages = [(messages[one].received_at_ms, one) for one in thread.message_ids]
            assert ages == sorted(ages)


@pytest.mark.parametrize("seed", range(3))
async def test_a_client_that_follows_changes_knows_the_truth(store: Store, seed: int) -> None:
    histories = [History(store, await new_account(store), 100 * seed + number) for number in range(2)]
    for step in range(STEPS):
        for history in histories:
            await history.step()
            if step % 4 == 3:
                await history.look()
    for history in histories:
        await history.look()
    assert await faults(store) == []


async def test_threads_follow_references_and_subject_and_are_bounded(store: Store) -> None:
    account_id = await new_account(store)
    first = mail("Plan", message_id="root@x")
    answer = mail("Re: Plan", message_id="a1@x", answers=["root@x"])
    other_subject = mail("Autre", message_id="a2@x", answers=["root@x"])
    sibling = mail("RE: [liste] plan", message_id="a3@x", answers=["missing@x", "root@x"])
    late_parent = mail("Plan", message_id="missing@x")
    ids = await mailing.file_new(store, account_id, answer, other_subject, sibling, late_parent, first)
    threads = [(await mailing.messages(store, account_id, ids))[one].thread_id for one in ids]
    assert threads == [ids[0], ids[1], ids[0], ids[0], ids[0]]
    many = await mailing.file_new(store, account_id, *[mail("Plan", answers=["root@x"]) for _ in range(120)])
    sizes: dict[int, int] = defaultdict(int)
    for one in (await mailing.messages(store, account_id, [*ids, *many])).values():
        sizes[one.thread_id] += 1
    assert max(sizes.values()) == 100
    assert len(sizes) == 3
    assert await faults(store) == []


async def test_an_unseen_reply_makes_the_thread_unread_where_it_is_shown(store: Store) -> None:
    account_id = await new_account(store)
    (sent,) = await mailing.file_new(store, account_id, mail("x", message_id="r@x"), keywords=["$seen"])
    await update(
        store, account_id, mailbox_pb2.MessageUpdate(message_id=sent, replace_mailboxes=True, add_mailbox_ids=[SENT])
    )
    (reply,) = await mailing.file_new(store, account_id, mail("Re: x", answers=["r@x"]))
    shown = await mailing.mailboxes(store, account_id)
    assert (shown[SENT].unread_messages, shown[SENT].unread_threads) == (0, 1)
    await update(
        store, account_id, mailbox_pb2.MessageUpdate(message_id=reply, replace_mailboxes=True, add_mailbox_ids=[TRASH])
    )
    shown = await mailing.mailboxes(store, account_id)
    assert (shown[SENT].unread_threads, shown[TRASH].unread_threads, shown[INBOX].total_threads) == (0, 1, 0)


async def test_updates_are_refused_whole_when_the_state_is_another(store: Store) -> None:
    account_id = await new_account(store)
    (one,) = await mailing.file_new(store, account_id, mail())
    account = await mailing.known(store, account_id)
    state = (await parts_of(store).cases.reading.state(account)).modseq
    request = mailbox_pb2.UpdateMessagesRequest(
        account_id=account_id,
        updates=[mailbox_pb2.MessageUpdate(message_id=one, add_keywords=["$seen"])],
        if_modseq=state - 1,
    )
    with pytest.raises(StoreError) as refused:
        await parts_of(store).cases.updates.update(account, request)
    assert refused.value.problem is Problem.STATE_MISMATCH
    request.if_modseq = state
    done = await parts_of(store).cases.updates.update(account, request)
    assert (done.old_modseq, done.new_modseq) == (state, state + 1)
    request.if_modseq = 0
    same = await parts_of(store).cases.updates.update(account, request)
    assert same.new_modseq == state + 1  # what is so already is no change


async def test_updates_at_the_same_time_all_take_effect(store: Store) -> None:
    """Who finds the account changed since it looked waits for the lock and does it then."""
    account_id = await new_account(store)
    ids = await mailing.file_new(store, account_id, *[mail() for _ in range(3)])
    answers = await asyncio.gather(
        *[
            update(
                store, account_id,
                mailbox_pb2.MessageUpdate(message_id=ids[0], add_keywords=[f"k{number}"]),
                mailbox_pb2.MessageUpdate(message_id=ids[1 + number % 2], add_keywords=["$seen"], add_mailbox_ids=[ARCHIVE]),
            )
            for number in range(12)
        ]
    )  # fmt: skip
    assert {result.status for answer in answers for result in answer.results} == {mailbox_pb2.UPDATE_STATUS_OK}
    rows = await mailing.messages(store, account_id, ids)
    assert set(rows[ids[0]].keywords) == {f"k{number}" for number in range(12)}
    assert all(set(rows[one].mailbox_ids) == {INBOX, ARCHIVE} for one in ids[1:])
    spans = sorted((answer.old_modseq, answer.new_modseq) for answer in answers)
    assert all(after <= before for (_, after), (before, _) in itertools.pairwise(spans))
    shown = await mailing.mailboxes(store, account_id)
    assert (shown[ARCHIVE].total_messages, shown[INBOX].unread_messages) == (2, 1)
    assert await faults(store) == []


async def test_each_update_has_its_own_answer(store: Store) -> None:
    account_id = await new_account(store)
    ids = await mailing.file_new(store, account_id, *[mail() for _ in range(5)])
    response = await update(
        store, account_id,
        mailbox_pb2.MessageUpdate(message_id=ids[0], add_keywords=["Projet-X"]),
        mailbox_pb2.MessageUpdate(message_id=ids[1], add_keywords=["not a keyword"]),
        mailbox_pb2.MessageUpdate(message_id=ids[2], remove_mailbox_ids=[INBOX]),
        mailbox_pb2.MessageUpdate(message_id=ids[3], add_mailbox_ids=[4711]),
        mailbox_pb2.MessageUpdate(message_id=999_999, destroy=True),
        mailbox_pb2.MessageUpdate(message_id=ids[4], add_keywords=[f"k{number}" for number in range(101)]),
    )  # fmt: skip
    assert [result.status for result in response.results] == [
        mailbox_pb2.UPDATE_STATUS_OK, mailbox_pb2.UPDATE_STATUS_INVALID_KEYWORD, mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX,
        mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX, mailbox_pb2.UPDATE_STATUS_NOT_FOUND, mailbox_pb2.UPDATE_STATUS_INVALID_KEYWORD,
    ]  # fmt: skip
    assert list((await mailing.messages(store, account_id, [ids[0]]))[ids[0]].keywords) == ["projet-x"]
    assert await faults(store) == []


async def test_mailboxes_keep_their_rules(store: Store) -> None:
    account_id = await new_account(store)
    make = mailbox_pb2.MailboxUpdate
    made = await change_mailboxes(
        store, account_id, make(name="Projets"), make(name="Cafe\u0301"), make(name="Caf\u00e9"), make(name="inbox"), make(name="a\x00b"),
        make(name="x", parent_id=4711), make(name="  "), make(name="wichtig", role="important"), make(name="auch", role="important"),
        make(name="fremd", role="inbox"), make(mailbox_id=INBOX, name="Mine"), make(mailbox_id=JUNK, destroy=True),
        make(mailbox_id=JUNK, name="Pourriel"), make(mailbox_id=SENT, role="archive"), make(mailbox_id=4711, name="y"),
    )  # fmt: skip
    ok, bad, twice, forbidden, missing = (
        mailbox_pb2.UPDATE_STATUS_OK, mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX, mailbox_pb2.UPDATE_STATUS_CONFLICT,
        mailbox_pb2.UPDATE_STATUS_FORBIDDEN, mailbox_pb2.UPDATE_STATUS_NOT_FOUND,
    )  # fmt: skip
    assert [result.status for result in made.results] == [
        ok, ok, twice, twice, bad, bad, bad, ok, twice, twice, forbidden, forbidden, ok, forbidden, missing,
    ]  # fmt: skip
    top = made.mailbox_ids[0]
    chain = [top]
    for level in range(19):
        chain += (await change_mailboxes(store, account_id, make(name=f"l{level}", parent_id=chain[-1]))).mailbox_ids
    deep = await change_mailboxes(
        store, account_id, make(name="too deep", parent_id=chain[-1]), make(mailbox_id=top, parent_id=chain[3]),
        make(mailbox_id=top, parent_id=made.mailbox_ids[1]), make(mailbox_id=top, destroy=True, with_messages=True),
    )  # fmt: skip
    assert [result.status for result in deep.results] == [bad, bad, bad, twice]
    await mailing.file_new(store, account_id, mail(), mail())
    both, only = await mailing.all_ids(store, account_id)
    leaf = chain[-1]
    await update(
        store, account_id, mailbox_pb2.MessageUpdate(message_id=both, add_mailbox_ids=[leaf]),
        mailbox_pb2.MessageUpdate(message_id=only, add_mailbox_ids=[leaf], replace_mailboxes=True),
    )  # fmt: skip
    gone = await change_mailboxes(
        store, account_id, make(mailbox_id=leaf, destroy=True), make(mailbox_id=leaf, destroy=True, with_messages=True)
    )
    assert [result.status for result in gone.results] == [twice, ok]
    assert await mailing.all_ids(store, account_id) == [both]
    assert await faults(store) == []


async def test_mailboxes_are_changed_at_once(store: Store) -> None:
    account_id = await new_account(store)
    make = mailbox_pb2.MailboxUpdate
    made = await change_mailboxes(
        store, account_id, make(name="leaf", parent_created_by=1), make(name="root"), make(name="a"), make(name="b"),
        make(name="short-lived"), make(created_by=4, destroy=True), make(name="nowhere", parent_id=4711), make(created_by=2, sort_order=5),
    )  # fmt: skip
    assert [result.status for result in made.results] == [
        *[mailbox_pb2.UPDATE_STATUS_OK] * 6, mailbox_pb2.UPDATE_STATUS_INVALID_MAILBOX, mailbox_pb2.UPDATE_STATUS_OK,
    ]  # fmt: skip
    assert list(made.results[6].faults) == [mailbox_pb2.MAILBOX_FAULT_PARENT]
    leaf, root, one, other, short, _, none, again = made.mailbox_ids
    assert (none, again) == (0, one)
    shown = await mailing.mailboxes(store, account_id)
    assert {shown[leaf].parent_id: shown[leaf].name} == {root: "leaf"}
    assert (shown[one].sort_order, short in shown) == (5, False)
    # Names are exchanged, one that leaves makes room, what goes goes with all that is in it.
    moved = await change_mailboxes(
        store, account_id, make(mailbox_id=one, name="b"), make(mailbox_id=other, name="a"), make(name="root"),
        make(mailbox_id=root, destroy=True), make(mailbox_id=leaf, destroy=True),
    )  # fmt: skip
    assert {result.status for result in moved.results} == {mailbox_pb2.UPDATE_STATUS_OK}
    shown = await mailing.mailboxes(store, account_id)
    assert (shown[one].name, shown[other].name, shown[moved.mailbox_ids[2]].name) == ("b", "a", "root")
    assert not {leaf, root} & set(shown)
    assert len({mailbox.modseq for mailbox in shown.values() if mailbox.mailbox_id > 6}) == 3
    account = await mailing.known(store, account_id)
    changes = parts_of(store).cases.changes
    request = mailbox_pb2.GetChangesRequest(
        account_id=account_id, kind=mailbox_pb2.CHANGE_KIND_MAILBOX, since_modseq=made.new_modseq
    )
    told = await changes.get(account, request)
    assert (list(told.created), set(told.updated), list(told.destroyed)) == (
        [moved.mailbox_ids[2]], {one, other}, [leaf, root],
    )  # fmt: skip
    # The same again changes nothing, and nothing is told of it.
    same = await change_mailboxes(store, account_id, make(mailbox_id=one, name="b", parent_id=0, sort_order=5))
    assert (same.old_modseq, same.new_modseq) == (moved.new_modseq, moved.new_modseq)
    assert await faults(store) == []


async def test_only_counts_is_told_only_when_it_is_so(store: Store) -> None:
    account_id = await new_account(store)
    account = await mailing.known(store, account_id)
    since = (await parts_of(store).cases.reading.state(account)).modseq
    await mailing.file_new(store, account_id, mail())
    request = mailbox_pb2.GetChangesRequest(
        account_id=account_id, kind=mailbox_pb2.CHANGE_KIND_MAILBOX, since_modseq=since
    )
    told = await parts_of(store).cases.changes.get(account, request)
    assert (list(told.updated), told.only_counts, list(told.counted)) == ([INBOX], True, [INBOX])
    await change_mailboxes(store, account_id, mailbox_pb2.MailboxUpdate(mailbox_id=JUNK, sort_order=3))
    told = await parts_of(store).cases.changes.get(account, request)
    assert (list(told.updated), told.only_counts, list(told.counted)) == ([INBOX, JUNK], False, [INBOX])
    await change_mailboxes(store, account_id, mailbox_pb2.MailboxUpdate(mailbox_id=INBOX, sort_order=3))
    told = await parts_of(store).cases.changes.get(account, request)
    assert (list(told.updated), told.only_counts, list(told.counted)) == ([INBOX, JUNK], False, [])


async def test_a_client_behind_the_log_is_told_to_begin_anew(store: Store) -> None:
    account_id = await new_account(store)
    await mailing.file_new(store, account_id, *[mail() for _ in range(30)])
    account = await mailing.known(store, account_id)
    assert await mailbox_upkeep.prune_changes(store.core.cold, keep=10) > 0
    changes = parts_of(store).cases.changes
    modseq = (await parts_of(store).cases.reading.state(account)).modseq
    for since in (0, modseq - 11, modseq + 1):
        with pytest.raises(StoreError) as refused:
            await changes.get(
                account,
                mailbox_pb2.GetChangesRequest(
                    account_id=account_id, kind=mailbox_pb2.CHANGE_KIND_MESSAGE, since_modseq=since
                ),
            )
        assert refused.value.problem is Problem.CANNOT_CALCULATE
    told = await changes.get(
        account,
        mailbox_pb2.GetChangesRequest(
            account_id=account_id, kind=mailbox_pb2.CHANGE_KIND_MESSAGE, since_modseq=modseq - 10
        ),
    )
    assert len(told.created) == 10


async def test_an_import_over_quota_is_not_kept(store: Store) -> None:
    account_id = await new_account(store, quota_octets=1000)
    account = await mailing.known(store, account_id)
    request = mailbox_pb2.ImportMessageRequest(
        account_id=account_id, body=mail(octets=2000), mailbox_ids=[DRAFTS], idempotency_key=bytes(16)
    )
    made = await parts_of(store).cases.imports.add(account, request)
    assert made.over_quota
    assert made.message.message_id == 0
    request.body = mail(octets=100)
    assert not (await parts_of(store).cases.imports.add(account, request)).over_quota
    assert await faults(store) == []


async def test_a_large_import_goes_to_s3(store: Store) -> None:
    account_id = await new_account(store)
    account = await mailing.known(store, account_id)
    body = mail() + random.Random(1).randbytes(1_500_000)
    request = mailbox_pb2.ImportMessageRequest(
        account_id=account_id, body=body, mailbox_ids=[DRAFTS], idempotency_key=bytes(16)
    )
    made = await parts_of(store).cases.imports.add(account, request)
    assert made.status == mailbox_pb2.UPDATE_STATUS_OK
    assert await mailing.served(store, account_id, made.message.message_id) == body
    assert await faults(store) == []
