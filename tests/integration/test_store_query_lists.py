"""Lists in any order, and what becomes of them, against what is said naively (RFC 8620 §5.5, §5.6; RFC 8621 §4.4, §4.5)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tests.conformance import jmap_lists
from tests.conformance.jmap_lists import Kept
from tests.integration import mailing
from tests.integration.mailing import file_new, mail, new_account, parts_of, update
from tests.integration.test_store_histories import KEYWORDS, History

from petitbleu.store.v1 import mailbox_pb2
from petitbleu_mail.structure import decode_meta
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, INBOX, JUNK, SENT, TRASH
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.service import mailbox_upkeep, query_changes, query_lists, sealed_names

Filter = mailbox_pb2.MessageFilter
Request = mailbox_pb2.QueryMessagesRequest
AND, OR, NOT = mailbox_pb2.FILTER_OPERATOR_AND, mailbox_pb2.FILTER_OPERATOR_OR, mailbox_pb2.FILTER_OPERATOR_NOT
SORTS = range(1, 10)
NAMES = ("Zoé", "anna", "Émile", "bob", "", "ANNA")
BOXES = [INBOX, DRAFTS, SENT, TRASH, JUNK, ARCHIVE]


def letter(chooser: random.Random, number: int, answers: Sequence[str] = ()) -> bytes:
    """A message with names and a subject of a few, so that many compare alike."""
    fields = [
        f"Message-ID: <l{number}@x.test>",
        f"Subject: {chooser.choice(['Re: ', '', '[a] '])}{chooser.choice(NAMES)}",
    ]
    people = [f"{name}: {chooser.choice(NAMES)} <{chooser.choice('abcXYZ')}@x.test>" for name in ("From", "To")]
    fields += [one for one in people if chooser.random() < 0.8]
    if answers:
        fields.append(f"References: <{answers[-1]}>")
    return "\r\n".join([*fields, "", "x" * chooser.randrange(300), ""]).encode()


def random_filter(chooser: random.Random, depth: int = 0) -> Filter:
    if depth < 2 and chooser.random() < 0.3:
        conditions = [random_filter(chooser, depth + 1) for _ in range(chooser.randrange(4))]
        return Filter(operator=chooser.choice([AND, OR, NOT]), conditions=conditions)
    given = Filter()
    for name, value in {
        "in_mailbox": chooser.choice(BOXES), "before_ms": chooser.randrange(10**13), "min_size": chooser.randrange(300, 600),
        "has_keyword": chooser.choice(KEYWORDS), "not_keyword": chooser.choice(KEYWORDS),
        "all_in_thread_have_keyword": chooser.choice(KEYWORDS), "some_in_thread_have_keyword": chooser.choice(KEYWORDS),
        "none_in_thread_have_keyword": chooser.choice(KEYWORDS),
    }.items():  # fmt: skip
        if chooser.random() < (0.4 if name == "in_mailbox" else 0.08):
            setattr(given, name, value)
    if chooser.random() < 0.1:
        given.in_mailbox_other_than.extend(chooser.sample(BOXES, 2))
    if chooser.random() < 0.15:
        scope = chooser.choice(
            [mailbox_pb2.TEXT_SCOPE_TEXT, mailbox_pb2.TEXT_SCOPE_SUBJECT, mailbox_pb2.TEXT_SCOPE_FROM]
        )
        given.texts.add(scope=scope, text=chooser.choice(["anna", "emile", "bob", "s1", '"s2"', "zoe"]))
    return given


def random_list(chooser: random.Random, account_id: int) -> Request:
    request = Request(
        account_id=account_id, filter=random_filter(chooser), limit=1000, calculate_total=True,
        collapse_threads=chooser.random() < 0.5,
    )  # fmt: skip
    for _ in range(chooser.choice([0, 1, 1, 2])):
        request.sort.add(
            property=mailbox_pb2.SortProperty.ValueType(chooser.choice(SORTS)), ascending=chooser.random() < 0.5,
            keyword=chooser.choice(KEYWORDS), collation=mailbox_pb2.Collation.ValueType(chooser.randrange(4)),
        )  # fmt: skip
    return request


async def kept(store: Store, account_id: int) -> dict[int, Kept]:
    """All messages, as the naive lists look at them."""
    found = await mailing.messages(store, account_id, await mailing.all_ids(store, account_id))
    messages = {}
    for message_id, row in found.items():
        meta = decode_meta(row.meta)
        sent = meta.sent_at[0] if meta.sent_at else 0
        messages[message_id] = Kept(row, b"", 0, sent, meta.has_attachment)
    return messages


async def changed(store: Store, request: Request, since: int, **more: int) -> mailbox_pb2.QueryMessageChangesResponse:
    asked = mailbox_pb2.QueryMessageChangesRequest(
        account_id=request.account_id, filter=request.filter, sort=request.sort, collapse_threads=request.collapse_threads,
        since_modseq=since, calculate_total=True, **more,
    )  # fmt: skip
    return await parts_of(store).cases.queries.changes(await mailing.known(store, request.account_id), asked)


def applied(cache: Sequence[int], told: mailbox_pb2.QueryMessageChangesResponse) -> list[int]:
    """RFC 8620 §5.6: take out what is removed, then put in what is added, the lowest index first."""
    indexes = [one.index for one in told.added]
    assert indexes == sorted(set(indexes))
    assert len(set(told.removed)) == len(told.removed)
    left = [one for one in cache if one not in set(told.removed)]
    for one in told.added:
        assert one.message_id not in left
        left.insert(one.index, one.message_id)
    return left


async def test_lists_in_any_order_are_what_a_naive_reference_makes(store: Store) -> None:
    chooser = random.Random(5)
    account_id = await new_account(store)
    account = await mailing.known(store, account_id)
    for number in range(60):
        answers = [f"l{number - 7}@x.test"] if number > 7 else []
        await parts_of(store).cases.imports.add(
            account,
            mailbox_pb2.ImportMessageRequest(
                account_id=account_id, body=letter(chooser, number, answers), idempotency_key=chooser.randbytes(16),
                received_at_ms=chooser.randrange(1, 30) * 30_000, mailbox_ids=chooser.sample(BOXES, chooser.choice([1, 1, 2])),
                keywords=chooser.sample(KEYWORDS, chooser.randrange(3)),
            ),
        )  # fmt: skip
    messages = await kept(store, account_id)
    assert len(messages) == 60
    sorted_by: set[int] = set()
    for _ in range(400):
        request = random_list(chooser, account_id)
        wanted = jmap_lists.listed(messages, request)
        found = await parts_of(store).cases.queries.query(account, request)
        assert (list(found.message_ids), found.total) == (wanted, len(wanted)), request
        assert found.can_calculate_changes
        if len(wanted) > 3:
            sorted_by.update(sort.property for sort in request.sort)
            request.anchor, request.anchor_offset, request.limit = wanted[2], chooser.randrange(-4, 5), 3
            start = max(0, 2 + request.anchor_offset)
            found = await parts_of(store).cases.queries.query(account, request)
            assert (list(found.message_ids), found.position) == (wanted[start : start + 3], start)
    assert sorted_by == set(SORTS)


class Lists:
    """What a client keeps of some lists of one account."""

    def __init__(self, store: Store, account_id: int, chooser: random.Random) -> None:
        self.store = store
        self.chooser = chooser
        self.requests = [random_list(chooser, account_id) for _ in range(16)]
        # What web mail shows: a mailbox, newest first, one a thread; and all of it.
        self.requests[0] = Request(
            account_id=account_id, filter=Filter(in_mailbox=INBOX), limit=1000, collapse_threads=True
        )
        self.requests[1] = Request(account_id=account_id, limit=1000)
        self.requests[2] = Request(account_id=account_id, limit=1000, collapse_threads=True)
        self.requests[3] = Request(account_id=account_id, filter=Filter(in_mailbox=INBOX), limit=1000)
        self.known: list[tuple[int, list[int]]] = [(0, []) for _ in self.requests]
        self.partly = 0
        self.longest = 0

    async def look(self) -> None:
        """Catch up some lists, and compare them with the truth."""
        account = await mailing.known(self.store, self.requests[0].account_id)
        for number, request in enumerate(self.requests):
            since, cache = self.known[number]
            if since and self.chooser.random() < 0.4:
                continue
            truth = await parts_of(self.store).cases.queries.query(account, request)
            if since:
                await self.compare(request, since, cache, truth)
            self.known[number] = (truth.modseq, list(truth.message_ids))

    async def compare(
        self, request: Request, since: int, cache: list[int], truth: mailbox_pb2.QueryMessagesResponse
    ) -> None:
        ids = list(truth.message_ids)
        self.longest = max(self.longest, len(ids) if request.sort else 0)
        told = await changed(self.store, request, since)
        assert applied(cache, told) == ids, request
        assert (told.modseq, told.total) == (truth.modseq, len(ids))
        if told.removed or told.added:
            refused = await changed(self.store, request, since, max_changes=len(told.removed) + len(told.added) - 1)
            assert refused.refusal == mailbox_pb2.QUERY_REFUSAL_TOO_MANY_CHANGES
        if cache:  # a client that has only the beginning
            part = cache[: self.chooser.randrange(1, len(cache) + 1)]
            told = await changed(self.store, request, since, up_to=part[-1])
            if part[-1] in ids and part[-1] not in told.removed:
                self.partly += 1
                end = ids.index(part[-1]) + 1
                assert applied(part, told)[:end] == ids[:end], request


@pytest.mark.parametrize("seed", range(3))
async def test_rfc8620_5_6_a_list_that_is_kept_by_its_changes_is_the_servers(store: Store, seed: int) -> None:
    history = History(store, await new_account(store), 1000 + seed)
    lists = Lists(store, history.account_id, history.chooser)
    for step in range(60):
        await history.step()
        if step % 3 == 2:
            await lists.look()
    assert lists.partly > 20
    assert lists.longest > 5


async def test_rfc8620_5_6_no_more_is_told_than_must_be(store: Store) -> None:
    account_id = await new_account(store)
    bodies = [mail("Plan", message_id="p1@x"), mail("Re: Plan", message_id="p2@x", answers=["p1@x"]), mail("Autre")]
    first, second, other = await file_new(store, account_id, *bodies)
    account = await mailing.known(store, account_id)
    inbox = Request(account_id=account_id, filter=Filter(in_mailbox=INBOX), limit=10)
    threads = Request(account_id=account_id, filter=Filter(in_mailbox=INBOX), limit=10, collapse_threads=True)
    since = (await parts_of(store).cases.queries.query(account, inbox)).modseq
    # a keyword is of no matter to a mailbox
    await update(store, account_id, mailbox_pb2.MessageUpdate(message_id=second, add_keywords=["$seen"]))
    for request in (inbox, threads, Request(account_id=account_id)):
        told = await changed(store, request, since)
        assert (list(told.removed), list(told.added)) == ([], [])
    # a new message in a thread takes the place of the one that stood for it, and nothing else moves
    (third,) = await file_new(store, account_id, mail("Re: Plan", message_id="p3@x", answers=["p2@x"]))
    told = await changed(store, inbox, since)
    assert (list(told.removed), [(one.message_id, one.index) for one in told.added]) == ([], [(third, 0)])
    told = await changed(store, threads, since)
    assert (list(told.removed), [(one.message_id, one.index) for one in told.added]) == ([second], [(third, 0)])
    # an old message that comes to a thread changes nothing that is shown
    since = told.modseq
    old = mailbox_pb2.ImportMessageRequest(
        account_id=account_id, body=mail("Re: Plan", message_id="p0@x", answers=["p1@x"]), mailbox_ids=[ARCHIVE],
        idempotency_key=b"k" * 16, received_at_ms=1,
    )  # fmt: skip
    await parts_of(store).cases.imports.add(account, old)
    told = await changed(store, threads, since)
    assert (list(told.removed), list(told.added)) == ([], [])
    # what is destroyed is removed, and the next one stands for the thread
    await update(store, account_id, mailbox_pb2.MessageUpdate(message_id=third, destroy=True))
    told = await changed(store, threads, since)
    assert (set(told.removed), [(one.message_id, one.index) for one in told.added]) == ({third, second}, [(second, 1)])
    assert other not in told.removed
    assert first not in told.removed


async def test_rfc8620_5_6_changes_that_cannot_be_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await new_account(store)
    request = Request(account_id=account_id, limit=10)
    account = await mailing.known(store, account_id)
    since = (await parts_of(store).cases.queries.query(account, request)).modseq
    for wrong in (since + 1, -1):
        with pytest.raises(StoreError) as refused:
            await changed(store, request, wrong)
        assert refused.value.problem is Problem.CANNOT_CALCULATE
    await file_new(store, account_id, *[mail() for _ in range(6)])
    monkeypatch.setattr(query_changes, "MAX_STEPS", 5)
    with pytest.raises(StoreError) as refused:
        await changed(store, request, since)
    assert refused.value.problem is Problem.CANNOT_CALCULATE
    monkeypatch.undo()
    assert len((await changed(store, request, since)).added) == 6
    await mailbox_upkeep.prune_changes(store.core.cold, 3)
    with pytest.raises(StoreError) as refused:
        await changed(store, request, since)
    assert refused.value.problem is Problem.CANNOT_CALCULATE


async def test_rfc8621_4_4_2_more_than_can_be_sorted_by_names_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await new_account(store)
    await file_new(store, account_id, *[mail() for _ in range(4)])
    account = await mailing.known(store, account_id)
    request = Request(account_id=account_id, limit=10)
    request.sort.add(property=mailbox_pb2.SORT_PROPERTY_SUBJECT, ascending=True)
    assert len((await parts_of(store).cases.queries.query(account, request)).message_ids) == 4
    since = (await parts_of(store).cases.queries.query(account, request)).modseq
    for module in (query_lists, sealed_names):
        monkeypatch.setattr(module, "MAX_SORTED", 3)
    assert (await parts_of(store).cases.queries.query(account, request)).refusal == mailbox_pb2.QUERY_REFUSAL_SORT
    assert (await changed(store, request, since)).refusal == mailbox_pb2.QUERY_REFUSAL_SORT
    request.filter.in_mailbox = JUNK
    assert not (await parts_of(store).cases.queries.query(account, request)).refusal
