"""Keyed terms: what the index says is never less than what a plain scan finds."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from libs.petitbleu_text.tests.text_strategies import MESSAGES, QUERIES, TEXTS, VOCABULARY

from petitbleu_text.matching import header_contains, matches
from petitbleu_text.query import LEAST_BEGINNING, Query, parse
from petitbleu_text.searchable import MAX_CHARACTERS, MAX_DISTINCT, SCOPES, Field, Searchable
from petitbleu_text.terms import LONGEST_PREFIX, Candidates, TermKey, candidates, message_terms
from petitbleu_text.words import words

KEY = TermKey(bytes(range(32)))
SCOPE_NAMES = st.sampled_from(sorted(SCOPES))


def is_candidate(found: Candidates, terms: set[int]) -> bool:
    return all(terms.intersection(group) for group in found.required)


def check(text: str, message: Searchable, scope: str) -> bool:
    """Compare index and scan; return what the scan says."""
    query = parse(text)
    truth = matches(query, message, SCOPES[scope])
    found = candidates(KEY, query, SCOPES[scope])
    listed = is_candidate(found, set(message_terms(KEY, message)))
    assert listed or not truth
    if found.exact:
        assert listed == truth
    return truth


@settings(max_examples=250)
@given(QUERIES, MESSAGES, SCOPE_NAMES)
@example("chantées", Searchable({Field.BODY: ["chantees chanter"]}), "body")
@example("'l'école d'été'", Searchable({Field.SUBJECT: ["L\u2019École d\u2019été"]}), "subject")
def test_index_has_what_a_scan_finds(text: str, message: Searchable, scope: str) -> None:
    check(text, message, scope)


@pytest.mark.parametrize("scope", ["subject", "body"])
def test_index_and_scan_agree_on_every_pair_of_words(scope: str) -> None:
    found = {"bare": 0, "phrase": 0}
    for one in VOCABULARY:
        message = Searchable({Field[scope.upper()]: [f"{one} et cetera"]})
        for other in VOCABULARY:
            found["bare"] += check(other, message, scope)
            found["phrase"] += check(f'"{other}"', message, scope)
    assert found["bare"] > found["phrase"] >= len(VOCABULARY)


@settings(max_examples=300)
@given(st.data(), TEXTS, st.sampled_from(list(Field)))
def test_a_stretch_of_a_text_finds_it(data: st.DataObject, text: str, field: Field) -> None:
    """Whatever words stand next to each other in a text find it as a phrase, each alone, and by beginnings in headers."""
    message = Searchable({field: ["avant", text, "après"]})
    found = words(text)
    if not found:
        return
    start = data.draw(st.integers(0, len(found) - 1))
    stretch = [word.text for word in found[start : start + data.draw(st.integers(1, 5))]]
    phrase = " ".join(stretch)
    assert check(f'"{phrase}"', message, "text")
    assert check(phrase, message, "text")
    if field < Field.BODY:
        for word in stretch:
            if len(word) >= LEAST_BEGINNING and word.isascii():
                assert check(word[: data.draw(st.integers(LEAST_BEGINNING, len(word)))], message, "text")


@pytest.mark.parametrize(
    ("text", "scope", "expected"),
    [
        ("dup", "from", True),
        ("du", "from", False),
        ("dup", "to", False),
        ("dup", "body", False),
        ("reun", "subject", True),
        ("enfan", "text", False),
        ("enfant", "text", True),
        ("jean.dupont@exam", "from", True),
        ("dupont@example.com", "from", False),
        ("chantée récréations", "body", True),
        ('"chantée"', "body", False),
        ('"CHANTAIENT DANS"', "text", True),
        ('"chantaient la"', "text", False),
        ('"Jean Dupont Marie"', "text", False),
        ("contrat", "text", True),
        ("contrat", "body", True),
        ("contrat", "subject", False),
        ("dupont contrat budget", "text", True),
        ("dupont contrat absent", "text", False),
        ("d'équipe", "subject", True),
        ("anticonstitutionnel", "subject", True),
        ("anticonstitutionnaire", "subject", False),
        ("", "subject", True),
        ("!!", "text", False),
    ],
)
def test_a_scan_tells_what_matches(text: str, scope: str, expected: bool) -> None:
    message = Searchable(
        {
            Field.FROM: ["Jean Dupont", "jean.dupont@example.org"],
            Field.TO: ["Marie Martin", "marie@example.org"],
            Field.SUBJECT: ["Réunion d'équipe : budget anticonstitutionnellement"],
            Field.BODY: ["Les enfants chantaient dans la cour de récréation."],
            Field.ATTACHMENT: ["Contrat de travail"],
        }
    )
    assert check(text, message, scope) == expected


def test_a_unit_of_several_words_stays_within_one_text() -> None:
    message = Searchable({Field.TO: ["Jean", "Pierre"]})
    assert not check("jean-pierre", message, "to")
    assert check("jean pierre", message, "to")


def test_terms_are_hmac_sha_256_cut_to_64_bits() -> None:
    key = bytes(range(32))
    expected = [
        int.from_bytes(hmac.digest(key, bytes((Field.FROM,)) + kind, "sha256")[:8], "big", signed=True)
        for kind in (b"jean", b"jea*", b"jean*")
    ]
    assert message_terms(TermKey(key), Searchable({Field.FROM: ["Jean"]})) == sorted(expected)


def test_terms_are_sorted_unique_and_of_their_account_and_field() -> None:
    texts = ["Un mot, deux mots, trois mots."]
    body = message_terms(KEY, Searchable({Field.BODY: texts}))
    assert body == sorted(set(body))
    assert all(-(1 << 63) <= term < 1 << 63 for term in body)
    assert set(body).isdisjoint(message_terms(KEY, Searchable({Field.ATTACHMENT: texts})))
    assert set(body).isdisjoint(message_terms(TermKey(bytes(32)), Searchable({Field.BODY: texts})))


def test_terms_of_some_fields_make_up_those_of_all() -> None:
    message = Searchable({Field.SUBJECT: ["Bonjour"], Field.BODY: ["tout le monde"], Field.ATTACHMENT: ["et adieu"]})
    first = message_terms(KEY, message, [Field.SUBJECT, Field.BODY])
    second = message_terms(KEY, message, [Field.ATTACHMENT])
    assert sorted(first + second) == message_terms(KEY, message)


def test_a_beginning_is_not_a_stem() -> None:
    # The stem of a body's word must not be taken for the beginning of another word, nor the other way round.
    assert set(message_terms(KEY, Searchable({Field.SUBJECT: ["abcdef"]}))).isdisjoint(
        KEY.terms(Field.SUBJECT, [b"abc", b"abcd", b"abcde"])
    )


def test_the_longest_beginning_is_the_index_s_and_longer_ones_are_asked_of_the_message() -> None:
    assert candidates(KEY, parse("a" * LONGEST_PREFIX), [Field.SUBJECT]).exact
    assert not candidates(KEY, parse("a" * (LONGEST_PREFIX + 1)), [Field.SUBJECT]).exact
    assert candidates(KEY, parse("a" * (LONGEST_PREFIX + 1)), [Field.BODY]).exact


def test_what_asks_for_nothing_or_the_impossible() -> None:
    assert candidates(KEY, Query(()), SCOPES["text"]) == Candidates((), exact=True)
    assert candidates(KEY, parse("!"), SCOPES["text"]) == Candidates(((),), exact=True)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        TermKey(b"short")


def test_what_is_beyond_the_bounds_is_searched_by_nobody() -> None:
    most = MAX_DISTINCT[Field.BODY]
    many = [f"m{number}" for number in range(most + 10)]
    message = Searchable({Field.BODY: [" ".join(many[:100]), " ".join(many[:100] + many)]})
    assert check(f"m{most - 1}", message, "body")
    assert not check(f"m{most}", message, "body")
    # The bound is on distinct words: repetition uses none of it up.
    assert len(message.runs(Field.BODY)[1]) == 100 + most
    assert len(message_terms(KEY, message)) == most


def test_characters_beyond_the_bound_are_not_looked_at() -> None:
    message = Searchable({Field.ATTACHMENT: ["a " * (MAX_CHARACTERS // 2 - 2) + "ici là-bas", "ailleurs"]})
    assert check("a", message, "body")
    assert not check("bas", message, "body")
    assert not check("ailleurs", message, "body")


def test_header_contains_any_stretch_whatever_case_and_accents() -> None:
    assert header_contains("Liste des Élèves <eleves.example.org>", "ELEVES.exa")
    assert not header_contains("Liste", "listes")
    assert header_contains("x", "")


def test_header_contains_phrases_and_pieces() -> None:
    value = "Big buses arrive, says Élise O'Neil"
    assert header_contains(value, '"big buses"')
    assert header_contains(value, "'big buses'")
    assert header_contains(value, '"elise o\\\'neil"')
    assert header_contains(value, 'arrive "buses" BIG')
    assert not header_contains(value, '"buses big"')
    assert not header_contains(value, "arrive trains")
    assert header_contains('name="x"', 'name="x"')
    assert not header_contains("a", "a " * 65)
