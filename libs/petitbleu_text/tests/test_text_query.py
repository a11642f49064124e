"""The text of a filter: words and phrases (RFC 8621 §4.4.1)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_text.query import MAX_QUERY_CHARACTERS, MAX_QUERY_WORDS, QueryTooLongError, parse


def units_of(text: str) -> list[tuple[str, bool]]:
    return [(" ".join([word.text for word in unit.words]), unit.phrase) for unit in parse(text).units]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("facture mai", [("facture", False), ("mai", False)]),
        ('"Réunion de mai" budget', [("reunion de mai", True), ("budget", False)]),
        ("'réunion de mai' budget", [("reunion de mai", True), ("budget", False)]),
        ("l'école d'été", [("ecole", False), ("ete", False)]),
        ("l\u2019école", [("ecole", False)]),
        ("lorsqu'il", [("il", False)]),
        ("aujourd'hui", [("aujourd hui", False)]),
        ("John's", [("john", False)]),
        ("isn't", [("isn t", False)]),
        ("O'Brien", [("o brien", False)]),
        ("l' s", [("l", False), ("s", False)]),
        ("Jean-Pierre", [("jean pierre", False)]),
        ("jean.dupont@example.org", [("jean dupont example org", False)]),
        (r'"dit \"oui\" \\ \'non\'"', [("dit oui non", True)]),
        ("'l'école d'été'", [("l ecole d ete", True)]),
        ("'l\\'école'", [("l ecole", True)]),
        ('"sans fin', [("sans", False), ("fin", False)]),
        ("'sans fin", [("sans", False), ("fin", False)]),
        ('a"b c"d', [("a", False), ("b c", True), ("d", False)]),
        ("mot mot MOT", [("mot", False)]),
        ('mot "mot"', [("mot", False), ("mot", True)]),
        ('"" mot', [("mot", False)]),
        ("?? mot", [("mot", False)]),
        ("東京", [("東 京", False)]),
    ],
)
def test_rfc8621_4_4_1_words_and_phrases(text: str, expected: list[tuple[str, bool]]) -> None:
    assert units_of(text) == expected


def test_no_text_asks_for_nothing_and_text_without_a_word_for_the_impossible() -> None:
    assert not parse("").hopeless
    assert not parse(" \n").hopeless
    assert parse("").units == ()
    assert parse("!?").hopeless
    assert parse('""').hopeless


def test_a_query_has_bounds() -> None:
    words = " ".join([f"m{number}" for number in range(MAX_QUERY_WORDS)])
    assert len(parse(words).units) == MAX_QUERY_WORDS
    with pytest.raises(QueryTooLongError):
        parse(words + " encore")
    with pytest.raises(QueryTooLongError):
        parse("a" * (MAX_QUERY_CHARACTERS + 1))


@pytest.mark.parametrize("piece", ['"', "'", "\\", "a'", '\\"', "'a", " '", "a", "' ", "\u0301", "é"])
def test_a_query_of_one_piece_over_and_over_ends(piece: str) -> None:
    text = piece * (MAX_QUERY_CHARACTERS // len(piece))
    with contextlib.suppress(QueryTooLongError):
        parse(text)


@given(st.text(st.sampled_from("ab\"'\\ é-"), max_size=80))
def test_every_text_is_a_query(text: str) -> None:
    query = parse(text)
    assert all(unit.words for unit in query.units)
    assert query.hopeless == (bool(text.strip()) and not query.units)
