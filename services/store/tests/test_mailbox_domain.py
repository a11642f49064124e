"""Rules of keywords, counters, threads, the change log, names and sealed rows, without a database."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.mailbox_rules import normal_name
from petitbleu_mail.structure import decode_meta
from petitbleu_store.domain import change_log, content, counts, keywords
from petitbleu_store.domain.account_cipher import AccountCipher, SealBrokenError
from petitbleu_store.domain.change_log import Op
from petitbleu_store.domain.content import Content
from petitbleu_store.domain.description import MAX_REFS, describe
from petitbleu_store.domain.mailbox_names import name_hash
from petitbleu_store.domain.standard_mailboxes import INBOX, JUNK, STANDARD, TRASH, name_in
from petitbleu_store.domain.threads import MAX_THREAD, AccountThreads

CIPHER = AccountCipher(bytes(range(32)))


@given(st.lists(st.text(max_size=20), max_size=5))
def test_keywords_take_any_text_and_keep_only_keywords(given_keywords: list[str]) -> None:
    try:
        flags, others = keywords.split(given_keywords)
    except keywords.BadKeywordError:
        return
    assert {name.lower() for name in given_keywords} == {*keywords.names_of(flags), *others}


@pytest.mark.parametrize(
    "bad", ["", "a b", "a(b", "a)b", "a{b", "a]b", "a%b", "a*b", 'a"b', "a\\b", "é", "a" * 256, "a\x7f"]
)
def test_what_is_no_keyword_is_refused(bad: str) -> None:
    with pytest.raises(keywords.BadKeywordError):
        keywords.split([bad])


def test_keywords_are_lower_case_and_usual_ones_are_bits() -> None:
    assert keywords.split(["$SEEN", "Mine", "$Draft", "}[~"]) == (
        keywords.SEEN | keywords.DRAFT,
        frozenset({"mine", "}[~"}),
    )
    assert keywords.names_of(keywords.SEEN | keywords.HAS_ATTACHMENT) == ["$seen"]
    assert not keywords.is_unread(keywords.DRAFT)
    assert keywords.is_unread(keywords.FLAGGED)


_thread = st.lists(
    st.tuples(st.lists(st.sampled_from([INBOX, JUNK, TRASH]), min_size=1, unique=True), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(_thread)
def test_a_thread_counts_as_the_standard_says(messages: list[tuple[list[int], bool]]) -> None:
    found = counts.of_thread(messages)
    for mailbox_id in (INBOX, JUNK, TRASH):
        inside = [unread for ids, unread in messages if mailbox_id in ids]
        relevant = [unread for ids, unread in messages if (TRASH in ids if mailbox_id == TRASH else ids != [TRASH])]
        wanted = (len(inside), sum(inside), 1, int(any(relevant))) if inside else None
        assert found.get(mailbox_id) == wanted


@given(st.lists(st.sampled_from([INBOX, JUNK, TRASH]), min_size=1, unique=True), st.booleans())
def test_one_message_counts_as_a_thread_of_one(ids: list[int], unread: bool) -> None:
    assert counts.of_single(ids, unread=unread) == counts.of_thread([(ids, unread)])


@given(st.lists(st.tuples(st.lists(st.integers(0, 8), unique=True, max_size=3), st.booleans()), max_size=30))
def test_joining_gives_each_message_the_thread_of_a_reference(arriving: list[tuple[list[int], bool]]) -> None:
    threads = AccountThreads({}, {})
    thread_of: dict[int, int] = {}
    refs_of_thread: dict[int, set[int]] = {}
    for message_id, (refs, unread) in enumerate(arriving, 1):
        thread_id = threads.join(message_id, refs, (INBOX,), unread=unread)
        thread_of[message_id] = thread_id
        joined = [known for known, owned in refs_of_thread.items() if owned & set(refs)]
        assert thread_id == (min(joined) if joined else message_id)
        owned_elsewhere = set().union(*refs_of_thread.values()) if refs_of_thread else set()
        refs_of_thread.setdefault(thread_id, set()).update(set(refs) - owned_elsewhere)
    assert threads.refs == {ref: thread for thread, refs in refs_of_thread.items() for ref in refs}
    total = threads.differences().get(INBOX, (0, 0, 0, 0))
    assert total[0] == len(arriving)
    assert total[2] == len(set(thread_of.values()))


def test_a_full_thread_hands_its_references_on() -> None:
    threads = AccountThreads({7: 1}, {1: [((INBOX,), False)] * MAX_THREAD})
    assert threads.join(500, [7], (INBOX,), unread=True) == 500
    assert threads.join(501, [7], (INBOX,), unread=True) == 500
    assert threads.refs == {7: 500}
    assert threads.differences() == {INBOX: (2, 2, 1, 1)}


_history = st.lists(st.tuples(st.sampled_from("cud"), st.integers(0, 4)), max_size=40)


@given(_history, st.integers(1, 5), st.integers(0, 40))
def test_a_cache_that_follows_the_log_knows_the_truth(steps: list[tuple[str, int]], most: int, known_at: int) -> None:
    alive: dict[int, int] = {}
    rows: list[change_log.Row] = []
    truth: list[set[int]] = [set()]
    next_id = 0
    for verb, pick in steps:
        if verb == "c" or not alive:
            next_id += 1
            alive[next_id] = 0
            entity, op = next_id, Op.CREATED
        else:
            entity = sorted(alive)[pick % len(alive)]
            op = Op.UPDATED if verb == "u" else Op.DESTROYED
            if verb == "d":
                del alive[entity]
        rows.append((len(rows) + 1, entity, entity, op))
        truth.append(set(alive))
    since = min(known_at, len(rows))
    cache = set(truth[since])
    while True:
        window = change_log.fold(rows[since:], since, most)
        assert len({*window.created, *window.updated, *window.destroyed}) <= most
        assert set(window.updated) | set(window.destroyed) <= cache
        assert not set(window.created) & cache
        cache = (cache | set(window.created)) - set(window.destroyed)
        assert window.upto > since or not window.cut
        since = window.upto
        if not window.cut:
            break
    assert cache == set(alive)


def test_a_thread_is_created_with_its_first_message_and_destroyed_with_its_last() -> None:
    rows = [
        (1, 5, 5, Op.CREATED),
        (2, 6, 5, Op.CREATED),
        (3, 5, 5, Op.UPDATED),
        (4, 5, 5, Op.DESTROYED),
        (5, 6, 5, Op.DESTROYED_WITH_THREAD),
    ]
    told = [change_log.fold_threads([row for row in rows if row[0] > since], since, 10) for since in range(6)]
    assert [(one.created, one.updated, one.destroyed) for one in told] == [
        ([], [], []), ([], [], [5]), ([], [], [5]), ([], [], [5]), ([], [], [5]), ([], [], []),
    ]  # fmt: skip
    assert change_log.fold_threads(rows[1:3], 1, 10).updated == [5]
    assert change_log.fold_threads(rows[2:3], 2, 10).updated == []


def test_what_is_brought_back_is_created_to_who_knew_it_gone_and_changed_to_who_did_not() -> None:
    rows = [
        (1, 5, 5, Op.CREATED),
        (2, 6, 5, Op.CREATED),
        (3, 5, 5, Op.DESTROYED),
        (4, 6, 5, Op.DESTROYED_WITH_THREAD),
        (5, 6, 5, Op.RESTORED_WITH_THREAD),
        (6, 5, 5, Op.RESTORED),
        (7, 6, 5, Op.DESTROYED),
    ]
    messages = [change_log.fold([row for row in rows if row[0] > since], since, 10) for since in range(7)]
    assert [(one.created, one.updated, one.destroyed) for one in messages] == [
        ([5], [], []), ([], [5], []), ([], [5], [6]), ([5], [], [6]), ([5], [], []), ([5], [], [6]), ([], [], [6]),
    ]  # fmt: skip
    threads = [change_log.fold_threads([row for row in rows if row[0] > since], since, 10) for since in range(7)]
    assert [(one.created, one.updated, one.destroyed) for one in threads] == [
        ([5], [], []), ([], [5], []), ([], [5], []), ([], [5], []), ([5], [], []), ([], [5], []), ([], [5], []),
    ]  # fmt: skip


HEADER = st.one_of(st.just((b"", 0)), st.tuples(st.binary(max_size=300), st.integers(1, 2**31)))


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=2000), HEADER)
def test_sealed_content_opens_for_its_account_and_blob_only(
    key: bytes, prefix: bytes, meta: bytes, header: tuple[bytes, int]
) -> None:
    blob_id = uuid4()
    given_content = Content(key[:32].ljust(32, b"k"), prefix, meta, *header)
    sealed = content.seal(CIPHER, blob_id, given_content)
    assert content.open_content(CIPHER, blob_id, sealed) == given_content
    for cipher, place, octets in (
        (AccountCipher(os.urandom(32)), blob_id, sealed),
        (CIPHER, uuid4(), sealed),
        (CIPHER, blob_id, sealed[:-1]),
        (CIPHER, blob_id, b""),
    ):
        with pytest.raises(SealBrokenError):
            content.open_content(cipher, place, octets)


@given(st.binary(max_size=60), st.binary(max_size=30), st.integers(0, 60), st.integers(0, 100), st.integers(0, 100))
def test_a_range_of_an_edited_message_is_that_of_what_its_account_sees(
    blob: bytes, header: bytes, skip: int, offset: int, stop: int
) -> None:
    skip = min(skip, len(blob))
    one = Content(b"k" * 32, b"", b"", header if skip else b"", skip)
    whole = one.body_of(blob)
    offset, stop = min(offset, len(whole)), min(stop, len(whole))
    own, start, length = one.pieces(offset, stop)
    assert own + blob[start : start + length] == whole[offset:stop]


def test_hashes_differ_by_purpose_and_account() -> None:
    hashes = {CIPHER.hash64(b"a", b"x"), CIPHER.hash64(b"b", b"x"), AccountCipher(bytes(32)).hash64(b"a", b"x")}
    assert len(hashes) == 3
    assert CIPHER.hash64(b"a", b"x") in hashes


@given(st.binary(max_size=400))
def test_any_octets_are_described(raw: bytes) -> None:
    described = describe(raw)
    assert described.size == len(raw)
    assert decode_meta(described.meta).size == len(raw)
    assert len(described.refs) <= MAX_REFS


@given(st.text(max_size=300))
def test_names_are_normal_or_none(name: str) -> None:
    normal = normal_name(name)
    if normal is not None:
        assert normal_name(normal) == normal
        assert 0 < len(normal.encode()) <= 255


def test_names_compare_as_they_look_and_inbox_in_any_case() -> None:
    assert normal_name("Cafe\u0301") == "Caf\u00e9"
    assert normal_name("a\nb") is None
    assert name_hash(CIPHER, "inBox") == name_hash(CIPHER, "INBOX") != name_hash(CIPHER, "Inbox2")
    assert [name_in(STANDARD[0], language) for language in ("fr", "fr-CA", "en", "", "frr")] == [
        "Boîte de réception", "Boîte de réception", "Inbox", "Inbox", "Inbox",
    ]  # fmt: skip
