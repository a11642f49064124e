"""Word models: what they say, what they unlearn, what bounds them; which messages teach them what; and what of a mail they look at."""

from __future__ import annotations

import random
import struct
import sys
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.structure import encode_meta, parse_message
from petitbleu_store.adapters.mail_reader.features import features
from petitbleu_store.adapters.mail_reader.requests import Features, Mail
from petitbleu_store.adapters.mail_reader.worker import answer
from petitbleu_store.domain.change_log import Op
from petitbleu_store.domain.keywords import split
from petitbleu_store.domain.lessons import LESSON, State, calls_junk, class_of, lessons_of
from petitbleu_store.domain.standard_mailboxes import ARCHIVE, DRAFTS, INBOX, JUNK, TRASH
from petitbleu_store.domain.words import MAX_LESSONS, MAX_WORDS, BadModelError, Class, WordModel

KEY = b"w" * 32
NONE, WANTED = Class.NONE, Class.WANTED


def taught(junk: int = 20, wanted: int = 40) -> WordModel:
    """A model whose junk has words from 1 on, whose wanted mail has words from 1,001 on, and both some from 2,001 on."""
    chance = random.Random(5)
    model = WordModel()
    lessons = []
    for kind, count, first in ((Class.JUNK, junk, 1), (WANTED, wanted, 1001)):
        for _ in range(count):
            words = chance.sample(range(first, first + 60), 20) + chance.sample(range(2001, 2100), 20)
            lessons.append((NONE, kind, words))
    model.learn(lessons)
    return model


def test_a_model_tells_junk_from_wanted_mail_and_says_nothing_of_what_it_does_not_know() -> None:
    model = taught()
    assert model.probability([*range(1, 15), *range(2001, 2020)]) > 0.99
    assert model.probability([*range(1001, 1015), *range(2001, 2020)]) < 0.01
    assert model.probability(range(5000, 5100)) == 0.5
    assert model.probability([]) == 0.5
    assert 0.2 < model.probability([*range(1, 15), *range(1001, 1015)]) < 0.8, (
        "junk that quotes wanted mail: nobody knows"
    )


def test_a_model_that_learnt_little_says_nothing() -> None:
    assert taught(9, 40).probability(range(1, 30)) == 0.5
    assert taught(20, 19).probability(range(1, 30)) == 0.5
    assert taught(10, 20).probability(range(1, 30)) > 0.9


def test_one_word_is_no_verdict_however_often_it_was_in_junk() -> None:
    model = WordModel()
    model.learn(
        [(NONE, Class.JUNK, [7, 1000 + n]) for n in range(100)] + [(NONE, WANTED, [2000 + n]) for n in range(100)]
    )
    assert model.probability([7]) < 0.9999
    assert model.probability([7, *range(2000, 2010)]) < 0.5


def test_what_was_unlearnt_is_as_if_never_learnt() -> None:
    model, other = taught(), taught()
    lesson = list(range(1, 50))
    model.learn([(NONE, Class.JUNK, lesson)])
    assert model.encode() != other.encode()
    model.learn([(Class.JUNK, NONE, lesson)])
    assert model.encode() == other.encode()
    model.learn([(NONE, Class.JUNK, lesson)])
    model.learn([(Class.JUNK, WANTED, lesson)])
    other.learn([(NONE, WANTED, lesson)])
    assert model.encode() == other.encode()


def test_a_model_is_bounded_in_words_and_in_lessons() -> None:
    model = WordModel()
    for start in range(60):
        model.learn([(NONE, WANTED, [1, 2, 3, *range(start * 1000 + 10, start * 1000 + 1010)])])
    assert len(model) == MAX_WORDS
    assert len(model.encode()) < 200_000
    kept: list[int] = list(model._words)
    assert kept[:3] == [1, 2, 3], "what was seen often stays"
    model.learn([(NONE, WANTED, [1])] * MAX_LESSONS)
    assert model.junk + model.wanted <= MAX_LESSONS


@given(
    st.lists(
        st.tuples(st.sampled_from(Class), st.sampled_from(Class), st.lists(st.integers(0, 2**32 - 1), max_size=30)),
        max_size=30,
    )
)
def test_whatever_is_learnt_a_model_is_kept_as_it_was_and_says_something_between_0_and_1(
    lessons: list[tuple[Class, Class, list[int]]],
) -> None:
    model = WordModel()
    model.learn(lessons)
    again = WordModel.decode(model.encode())
    assert again.encode() == model.encode()
    model.junk, model.wanted = max(model.junk, 10), max(model.wanted, 20)
    for _, _, words in lessons:
        assert 0.0 <= model.probability(words) <= 1.0


@given(st.binary(max_size=100))
def test_octets_that_are_no_model_are_refused_or_are_one(octets: bytes) -> None:
    try:
        WordModel.decode(octets)
    except BadModelError:
        return
    assert octets[0] == 1


def test_a_model_of_a_machine_of_the_other_byte_order_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = taught().encode()
    monkeypatch.setattr(sys, "byteorder", "big")
    other = WordModel.decode(octets)
    assert other.encode() == octets


@pytest.mark.parametrize(
    ("words", "mailboxes", "known", "moved", "expected"),
    [
        (["$junk"], [INBOX], NONE, False, (Class.JUNK, True)),
        (["$junk", "$notjunk"], [JUNK], Class.JUNK, True, (WANTED, True)),
        ([], [JUNK], NONE, False, (NONE, False)),  # we put it there
        (["$seen"], [JUNK], NONE, False, (NONE, False)),
        (["$seen"], [JUNK], NONE, True, (Class.JUNK, True)),
        (["$seen"], [JUNK], Class.JUNK, False, (Class.JUNK, True)),
        ([], [INBOX], Class.JUNK, True, (WANTED, True)),  # brought back
        ([], [INBOX], NONE, False, (NONE, False)),
        (["$seen"], [INBOX], NONE, False, (WANTED, False)),
        (["$answered"], [INBOX], NONE, False, (WANTED, True)),
        ([], [ARCHIVE], NONE, True, (WANTED, True)),
        (["$seen"], [TRASH], WANTED, True, (NONE, False)),
        (["$draft", "$seen"], [DRAFTS], NONE, False, (NONE, False)),
    ],
)
def test_what_a_message_is_to_its_owner(
    words: list[str], mailboxes: list[int], known: Class, moved: bool, expected: tuple[Class, bool]
) -> None:
    assert class_of(split(words)[0], mailboxes, known, moved=moved) == expected


def test_who_calls_nothing_junk_teaches_nothing() -> None:
    log = [(1, 10, Op.CREATED), (2, 11, Op.CREATED), (3, 10, Op.MARKED)]
    states = {10: State(split(["$seen"])[0], [INBOX], NONE), 11: State(0, [JUNK], NONE)}
    assert not calls_junk(log, states)
    assert calls_junk([*log, (4, 11, Op.UPDATED)], states)
    assert not calls_junk([*log, (4, 11, Op.DESTROYED)], states | {11: State(None, (), NONE)})


def test_lessons_are_bounded_and_the_next_begins_where_one_ended() -> None:
    junk = split(["$junk"])[0]
    log = [(n, n, Op.CREATED) for n in range(1, 201)] + [(200 + n, n, Op.MARKED) for n in range(1, 201)]
    states = {n: State(junk, [INBOX], NONE) for n in range(1, 201)}
    learnt: list[int] = []
    since, more = 0, True
    while more:
        found = lessons_of([step for step in log if step[0] > since], states, WordModel(), more=False)
        assert len(found.learn) <= LESSON
        learnt += [one[0] for one in found.learn]
        states |= {one[0]: State(junk, [INBOX], one[2]) for one in found.learn}
        assert found.through > since
        since, more = found.through, found.more
    assert sorted(learnt) == list(range(1, 201))
    assert since == 400


def test_read_mail_is_learnt_as_far_as_it_tells_something_and_what_was_said_always() -> None:
    seen, answered = split(["$seen"])[0], split(["$answered"])[0]
    log = [(n, n, Op.CREATED) for n in range(1, 101)]
    states = {n: State(seen if n <= 60 else answered, [INBOX], NONE) for n in range(1, 101)}
    model = WordModel()
    model.learn([(NONE, Class.JUNK, [1])])
    first = [one[0] for one in lessons_of(log, states, model, more=False).learn]
    assert [one for one in first if one <= 60] == list(range(1, 41))
    model.wanted = 500
    assert [one[0] for one in lessons_of(log, states, model, more=False).learn] == list(range(61, 101))


def test_a_message_that_is_gone_is_forgotten_but_not_unlearnt() -> None:
    found = lessons_of([(5, 1, Op.DESTROYED)], {1: State(None, (), Class.JUNK)}, WordModel(), more=False)
    assert (found.learn, found.gone, found.through) == ([], [1], 5)


def mail(octets: bytes) -> Mail:
    return Mail(encode_meta(parse_message(octets)), b"", octets, [])


def of(octets: bytes, key: bytes = KEY) -> set[int]:
    (packed,) = answer(Features(key, [mail(octets)])).terms
    return set(struct.unpack(f">{len(packed) // 4}I", packed))


def letter(
    subject: str = "Gagnez", body: str = "Cliquez ici", html: str = "", sender: str = "Promo <p@a.example>"
) -> bytes:
    made = EmailMessage()
    made["From"], made["Subject"] = sender, subject
    if html:
        made.set_content(html, subtype="html")
    else:
        made.set_content(body)
    return made.as_bytes()


def test_features_are_of_the_words_the_sender_the_links_and_the_make() -> None:
    plain = of(letter())
    for other in (
        letter(subject="Bonjour"), letter(body="Cliquez donc"), letter(sender="Promo <q@a.example>"), letter(sender="Promo <p@b.example>"),
    ):  # fmt: skip
        assert of(other) != plain
    one = of(letter(html='<p>Cliquez ici</p><a href="https://u@evil.shop.example/x?y">là</a>'))
    two = of(letter(html='<p>Cliquez ici</p><a href="https://other.example/x?y">là</a>'))
    three = of(letter(html='<p>Cliquez ici</p><a href="http://bad.shop.example">là</a>'))
    assert len(one - two) == 2, "the host and the domain above it"
    assert len(one - three) == 1, "the same domain"
    assert of(letter(), b"v" * 32).isdisjoint(plain), "another account's words"


def test_features_of_a_header_alone() -> None:
    octets = letter()
    header = features(KEY, Mail(encode_meta(parse_message(octets)), b"", None, []))
    assert 0 < len(header) < len(features(KEY, mail(octets)))


@given(st.binary(max_size=400))
def test_features_of_anything(body: bytes) -> None:
    for head in (b"From: x@y.example\r\nContent-Type: text/html\r\n\r\n", b""):
        packed = features(KEY, mail(head + body))
        numbers = struct.unpack(f">{len(packed) // 4}I", packed)
        assert list(numbers) == sorted(set(numbers))


def test_a_huge_message_has_no_more_features_than_any() -> None:
    body = " ".join(f"mot{n}" for n in range(20_000)) + " ".join(f"http://h{n}.example/" for n in range(500))
    assert len(of(letter(body=body))) <= 1500
