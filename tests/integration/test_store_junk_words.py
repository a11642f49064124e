"""What people call junk, and what becomes of mail like it: learnt in the background, weighed when mail is filed, undone when they think better of it."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from tests.integration.arriving import accept, message
from tests.integration.mailing import file, file_new, item, known, new_account, parts_of, update

from petitbleu.store.v1 import filing_pb2, mailbox_pb2
from petitbleu_store.adapters.mail_reader.process import ReaderError
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.standard_mailboxes import INBOX, JUNK
from petitbleu_store.service import words as words_service
from petitbleu_store.service.words import Weighing

JUNK_WORDS = [
    "gagnez",
    "loterie",
    "viagra",
    "casino",
    "bonus",
    "gratuit",
    "millions",
    "urgent",
    "héritage",
    "bitcoin",
    "offre",
    "miracle",
    "kilos",
    "virement",
]
GOOD_WORDS = [
    "réunion",
    "mairie",
    "école",
    "devis",
    "chantier",
    "cantine",
    "famille",
    "vacances",
    "facture",
    "jardin",
    "cousine",
    "médecin",
    "train",
]
PLAIN = [
    "le",
    "la",
    "de",
    "et",
    "vous",
    "nous",
    "pour",
    "avec",
    "dans",
    "cette",
    "semaine",
    "bonjour",
    "merci",
    "demain",
]


def letter(words: list[str], chance: random.Random, sender: str) -> bytes:
    text = chance.sample(words, 8) + chance.sample(PLAIN, 6)
    chance.shuffle(text)
    head = f"From: {sender}\r\nTo: zoe@demo.test\r\nSubject: {chance.choice(words)}\r\nMessage-ID: <{chance.random()}@x.example>\r\n"
    return (head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + " ".join(text) + "\r\n").encode()


def junk(chance: random.Random) -> bytes:
    return letter(JUNK_WORDS, chance, f"p{chance.randrange(10**6)}@s{chance.randrange(10**6)}.example")


def good(chance: random.Random) -> bytes:
    return letter(GOOD_WORDS, chance, chance.choice(["anna@amis.example", "paul@mairie.example"]))


async def mark(store: Store, account_id: int, ids: list[int], *words: str, **more: object) -> None:
    changes = [mailbox_pb2.MessageUpdate(message_id=one, add_keywords=words, **more) for one in ids]  # type: ignore[arg-type]
    response = await update(store, account_id, *changes)
    assert all(one.status == mailbox_pb2.UPDATE_STATUS_OK for one in response.results)


async def where(store: Store, account_id: int, message_id: int) -> list[int]:
    row = await store.core.cold.fetchval(
        "/* cold:test */ SELECT mailbox_ids FROM message WHERE account_id = $1 AND message_id = $2",
        account_id,
        message_id,
    )
    return list(row)


async def learnt(store: Store) -> None:
    """Wait until nothing is left to learn."""
    words = parts_of(store).words
    deadline = time.monotonic() + 60
    while words.waiting and time.monotonic() < deadline:
        await words.turn()
    assert not words.waiting


async def taught(store: Store, chance: random.Random) -> int:
    account_id = await new_account(store)
    bad = await file_new(store, account_id, *[junk(chance) for _ in range(14)])
    read = await file_new(store, account_id, *[good(chance) for _ in range(24)])
    await mark(store, account_id, read, "$seen")
    assert not parts_of(store).words.waiting, "to read is no lesson of its own"
    await mark(store, account_id, bad, "$junk", add_mailbox_ids=[JUNK], remove_mailbox_ids=[INBOX])
    await learnt(store)
    return account_id


async def arrives(store: Store, account_id: int, body: bytes, **more: object) -> list[int]:
    (message_id,) = await file_new(store, account_id, body, **{"weigh_words": True, **more})
    return await where(store, account_id, message_id)


async def counts(store: Store, account_id: int) -> tuple[int, int]:
    words = parts_of(store).words
    row = await store.core.cold.fetchval(
        "/* cold:test */ SELECT sealed FROM word_model WHERE account_id = $1", account_id
    )
    model = words._opened(await known(store, account_id), row)
    assert model is not None
    return model.junk, model.wanted


async def test_mail_like_what_was_called_junk_goes_to_junk(store: Store) -> None:
    chance = random.Random(1)
    account_id = await taught(store, chance)
    assert await counts(store, account_id) == (14, 24)
    found = [await arrives(store, account_id, junk(chance)) for _ in range(5)]
    assert found == [[JUNK]] * 5
    found = [await arrives(store, account_id, good(chance)) for _ in range(5)]
    assert found == [[INBOX]] * 5
    assert await arrives(store, account_id, junk(chance), weigh_words=False) == [INBOX], (
        "only where delivery asks for it"
    )
    assert await arrives(store, account_id, junk(chance), mailbox_roles=["inbox", "archive"]) != [JUNK], (
        "a rule's word stands"
    )
    other = await new_account(store)
    assert await arrives(store, other, junk(chance)) == [INBOX], "what one calls junk is nobody else's"


async def test_what_is_weighed_before_it_is_filed_is_what_filing_finds(store: Store) -> None:
    chance = random.Random(2)
    account_id = await taught(store, chance)
    other = await new_account(store)
    ids = await accept(store, *[message(body) for body in (junk(chance), good(chance))])
    request = filing_pb2.WeighWordsRequest(
        items=[
            filing_pb2.WeighItem(accepted_id=one.bytes, account_id=who)
            for who in (account_id, other, 77)
            for one in ids
        ]
    )
    answer = await parts_of(store).weigh(request)
    assert list(answer.junk) == [True, False, False, False, False, False]
    assert [one.status for one in await file(store, item(ids[0], account_id))] == [filing_pb2.FILE_STATUS_FILED]


async def test_who_thinks_better_of_it_is_heard(store: Store) -> None:
    chance = random.Random(3)
    account_id = await taught(store, chance)
    (one,) = await file_new(store, account_id, junk(chance), weigh_words=True)
    assert await where(store, account_id, one) == [JUNK]
    await mark(store, account_id, [one], "$notjunk", add_mailbox_ids=[INBOX], remove_mailbox_ids=[JUNK])
    await learnt(store)
    assert await counts(store, account_id) == (14, 25)
    await mark(store, account_id, [one], "$junk", remove_keywords=["$notjunk"])
    await learnt(store)
    assert await counts(store, account_id) == (15, 24)
    await learnt(store)
    assert await counts(store, account_id) == (15, 24), "each message once"


async def test_moves_without_marks_teach_and_what_we_put_in_junk_does_not(store: Store) -> None:
    chance = random.Random(4)
    account_id = await taught(store, chance)
    ours = await file_new(store, account_id, *[junk(chance) for _ in range(3)], weigh_words=True)
    moved = await file_new(store, account_id, *[junk(chance) for _ in range(2)])
    await mark(store, account_id, moved, add_mailbox_ids=[JUNK], remove_mailbox_ids=[INBOX])
    await mark(store, account_id, ours, "$seen")
    await learnt(store)
    assert await counts(store, account_id) == (16, 24)
    await mark(store, account_id, ours[:1], add_mailbox_ids=[INBOX], remove_mailbox_ids=[JUNK])
    await learnt(store)
    assert await counts(store, account_id) == (16, 25)


async def test_two_processes_that_learn_at_once_learn_each_message_once(store: Store) -> None:
    chance = random.Random(5)
    account_id = await taught(store, chance)
    more = await file_new(store, account_id, *[junk(chance) for _ in range(6)])
    await mark(store, account_id, more, "$junk")
    words = parts_of(store).words
    await asyncio.gather(*(words.learn(account_id) for _ in range(4)))
    await learnt(store)
    assert await counts(store, account_id) == (20, 24)


async def test_a_mark_that_died_with_its_process_is_learnt_with_the_next(store: Store) -> None:
    chance = random.Random(6)
    account_id = await taught(store, chance)
    more = await file_new(store, account_id, *[junk(chance) for _ in range(3)])
    await mark(store, account_id, more[:2], "$junk")
    parts_of(store).words._waiting.clear()
    await mark(store, account_id, more[2:], "$junk")
    await learnt(store)
    assert await counts(store, account_id) == (17, 24)


async def test_mail_is_filed_when_it_cannot_be_weighed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    account_id = await taught(store, chance)
    words = parts_of(store).words

    async def away(_request: object) -> None:
        raise ReaderError("gone")

    monkeypatch.setattr(words._reader, "ask", away)
    assert await arrives(store, account_id, junk(chance)) == [INBOX]
    monkeypatch.undo()
    assert await arrives(store, account_id, junk(chance)) == [JUNK]
    await store.core.cold.execute(
        "/* cold:test */ UPDATE word_model SET sealed = $2 WHERE account_id = $1", account_id, b"x" * 40
    )
    assert await arrives(store, account_id, junk(chance)) == [INBOX]


async def test_mail_for_many_is_weighed_as_long_as_there_is_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(11)
    accounts = [await taught(store, chance) for _ in range(3)]
    monkeypatch.setattr(words_service, "_MODELS_AT_ONCE", 1)
    for seconds, expected in ((60.0, [True] * 3), (-1.0, [False] * 3)):
        monkeypatch.setattr(words_service, "_BATCH_SECONDS", seconds)
        (accepted,) = await accept(store, message(junk(chance)))
        items = [filing_pb2.WeighItem(accepted_id=accepted.bytes, account_id=one) for one in accounts]
        assert list((await parts_of(store).weigh(filing_pb2.WeighWordsRequest(items=items))).junk) == expected


async def test_a_guarded_account_is_not_judged_by_words_and_learns_none(store: Store) -> None:
    chance = random.Random(8)
    account_id = await taught(store, chance)
    await store.core.cold.execute("/* cold:test */ UPDATE account SET guarded = true WHERE account_id = $1", account_id)
    store.core.book.forget(account_id)
    account = await known(store, account_id)
    assert account.words
    assert account.guarded
    (accepted,) = await accept(store, message(junk(chance)))
    request = filing_pb2.WeighWordsRequest(
        items=[filing_pb2.WeighItem(accepted_id=accepted.bytes, account_id=account_id)]
    )
    assert list((await parts_of(store).weigh(request)).junk) == [False]
    assert await parts_of(store).words.learn(account_id) == 0


async def test_an_erased_account_leaves_no_word(store: Store) -> None:
    account_id = await taught(store, random.Random(9))
    await parts_of(store).erasure.erase(account_id)
    for table in ("word_model", "word_lesson"):
        left = await store.core.cold.fetchval(
            f"/* cold:test */ SELECT count(*) FROM {table} WHERE account_id = $1", account_id
        )
        assert left == 0
    assert await parts_of(store).words.learn(account_id) == 0


async def test_large_mail_is_weighed_by_its_header(store: Store) -> None:
    chance = random.Random(10)
    account_id = await taught(store, chance)
    body = junk(chance) + b"casino loterie bonus\r\n" * 60_000
    weighings: list[Weighing] = []
    words = parts_of(store).words
    weigh = words.weigh

    async def seen(wanted: list[Weighing]) -> None:
        weighings.extend(wanted)
        await weigh(wanted)

    words.weigh = seen  # type: ignore[method-assign,assignment]
    await arrives(store, account_id, body)
    assert [one.mail.blob for one in weighings] == [None]
