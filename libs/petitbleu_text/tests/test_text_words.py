"""Words: folding, where they stand, stems."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_text.folding import fold
from petitbleu_text.words import MAX_RUN, MAX_WORD, analyse, placed_runs, runs, words


def texts_of(text: str) -> list[str]:
    return [word.text for word in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L\u2019école d'été", ["l", "ecole", "d", "ete"]),
        ("e\u0301cole", ["ecole"]),
        ("Jean-Pierre jean.dupont@example.org", ["jean", "pierre", "jean", "dupont", "example", "org"]),
        ("CŒUR Straße ﬁn İzmir Łódź", ["coeur", "strasse", "fin", "izmir", "lodz"]),
        ("le 22/11/2024 à 12,50 €", ["le", "22", "11", "2024", "a", "12", "50"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("snake_case __init__", ["snake", "case", "init"]),
        ("m² ½ Ⓐ Petit Bleu™", ["m2", "1", "2", "a", "petit", "bleu"]),
        ("東京タワーへ", ["東", "京", "タワー", "へ"]),
        ("한국어 हिन्दी", ["한국어", "हिनदी"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σισυφοσ", "σισυφοσ"]),
        ("Joyeuse fête🎉!", ["joyeuse", "fete", "🎉"]),
        ("", []),
        ("?!… — \u0301 \u00ad", []),
    ],
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert texts_of(text) == expected


@pytest.mark.parametrize(
    "same",
    [
        ("chanter", "chantées", "chantaient", "CHANTÉES"),
        ("élève", "élèves", "eleves", "Élève"),
        ("facture", "factures", "facturée", "facturation"),
        ("invoice", "invoices", "Invoiced"),
        ("bus", "buses"),
        ("cœur", "coeurs"),
        ("nation", "nations"),
    ],
)
def test_words_of_one_stem(same: tuple[str, ...]) -> None:
    first = set(analyse(same[0])[0].stems)
    for other in same[1:]:
        assert first & set(analyse(other)[0].stems), other


def test_words_that_only_look_alike_have_no_stem_in_common() -> None:
    # RFC 8621 §4.4.1: "bus" would match "buses" but not "business"
    assert set(analyse("bus")[0].stems).isdisjoint(analyse("business")[0].stems)


def test_the_accented_stem_is_there_beside_the_plain_one() -> None:
    accented, plain = analyse("chantées")[0], analyse("chantees")[0]
    assert accented.text == plain.text
    assert accented.stems[0] == plain.stems[0]
    assert b"chant" in accented.stems


def test_numbers_have_no_stem_but_themselves() -> None:
    assert analyse("42s")[0].stems == (b"42s",)


def test_every_character_folds_for_good() -> None:
    for code in (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x1FC00), sys.maxunicode):
        character = chr(code)
        once = fold(character)
        assert fold(once) == once, hex(code)


@given(st.text())
def test_fold_twice_is_fold_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_composed_or_not_words_are_the_same(text: str) -> None:
    assert texts_of(unicodedata.normalize("NFC", text)) == texts_of(unicodedata.normalize("NFD", text))


@given(st.text())
def test_words_are_bounded_and_never_empty(text: str) -> None:
    for word in words(text):
        assert 0 < len(word.text) <= MAX_WORD
        assert 0 < len(word.stems) <= 3
        assert len(set(word.stems)) == len(word.stems)
        assert fold(word.text) == word.text


@given(st.text())
def test_runs_stand_where_they_are_said_to_stand(text: str) -> None:
    assert [text[start:end] for start, end in placed_runs(text)] == runs(text)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_words_of_ascii_are_those_of_any_text(text: str) -> None:
    """The short way for ASCII gives what the long one does."""
    ascii_text = text.encode("ascii", "replace").decode()
    assert texts_of(ascii_text) == texts_of(ascii_text + " é")[:-1]


def test_a_long_run_is_parted_and_a_long_word_is_cut() -> None:
    found = words("é" * 10 * MAX_RUN)
    assert len(found) == 10
    assert {len(word.text) for word in found} == {MAX_WORD}
