"""Search snippets (RFC 8621 §5)."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from libs.petitbleu_text.tests.text_strategies import QUERIES, TEXTS

from petitbleu_text.matching import matches
from petitbleu_text.query import parse
from petitbleu_text.searchable import Field, Searchable
from petitbleu_text.snippets import MAX_PREVIEW_OCTETS, mark_subject, preview

MARKS = re.compile("</?mark>")
SAFE = re.compile(r"(?:[^<>&]|&(?:amp|lt|gt);|<mark>(?:[^<>&]|&(?:amp|lt|gt);)+</mark>)*")


@pytest.mark.parametrize(
    ("subject", "query", "expected"),
    [
        ("Réunion & <factures>", "facture", "Réunion &amp; &lt;<mark>factures</mark>&gt;"),
        ("Réunion d'équipe", "reun equipe", "<mark>Réunion</mark> d'<mark>équipe</mark>"),
        ("Vol Paris-Lyon, Paris", '"paris lyon"', "Vol <mark>Paris-Lyon</mark>, Paris"),
        ('Dit "oui"', "oui", 'Dit "<mark>oui</mark>"'),
        ("a b c", "\"a b\" 'b c'", "<mark>a b c</mark>"),
        ("Rien", "tout", None),
        ("Rien", "", None),
        ("Rien", "!", None),
    ],
)
def test_rfc8621_5_subject_is_marked(subject: str, query: str, expected: str | None) -> None:
    assert mark_subject(subject, [parse(query)]) == expected


def test_rfc8621_5_preview_shows_the_place() -> None:
    text = "bla " * 500 + "La cour de récréation\r\n\r\nest <vide> & calme. " + "bla " * 500
    shown = preview([text], [parse('"cour de recreation" vide')])
    assert shown is not None
    assert "La <mark>cour de récréation</mark> est &lt;<mark>vide</mark>&gt; &amp; calme." in shown
    assert 200 < len(shown.encode()) <= MAX_PREVIEW_OCTETS


def test_preview_prefers_the_stretch_with_most_finds() -> None:
    text = "chat seul. " + "bla " * 100 + "chat et chien"
    shown = preview([text, "rien"], [parse("chat"), parse("chien")])
    assert shown is not None
    assert shown.endswith("<mark>chat</mark> et <mark>chien</mark>")


def test_preview_takes_the_body_with_most_finds() -> None:
    assert preview(["chat", "chat chien"], [parse("chat chien")]) == "<mark>chat</mark> <mark>chien</mark>"


def test_preview_of_nothing_found_is_none() -> None:
    assert preview(["chat"], [parse("chien")]) is None
    assert preview([], [parse("chien")]) is None


@pytest.mark.parametrize("filler", ["\U0001d54f" * 40, "&" * 40, "é" * 200 + " ", "\x00 " * 3000, "a" * 39 + "&"])
def test_preview_shows_a_mark_whatever_stands_before_it(filler: str) -> None:
    shown = preview([filler + " chat " + filler, "x"], [parse("chat")])
    assert shown is not None
    assert "<mark>chat</mark>" in shown
    assert len(shown.encode()) <= MAX_PREVIEW_OCTETS


def test_preview_of_one_enormous_word_is_cut_within_the_mark() -> None:
    word = "𐐷" * 100
    shown = preview([word], [parse(word)])
    assert shown is not None
    assert shown.startswith("<mark>𐐷") and shown.endswith("𐐷</mark>")
    assert len(shown.encode()) <= MAX_PREVIEW_OCTETS


@settings(max_examples=400)
@given(QUERIES, TEXTS)
def test_snippets_are_safe_bounded_and_there_when_something_is_found(text: str, body: str) -> None:
    query = parse(text)
    subject = mark_subject(body, [query])
    shown = preview([body], [query])
    if query.units:
        if matches(query, Searchable({Field.SUBJECT: [body]}), [Field.SUBJECT]):
            assert subject is not None
        if matches(query, Searchable({Field.BODY: [body]}), [Field.BODY]):
            assert shown is not None
    if subject is not None:
        assert SAFE.fullmatch(subject)
        assert unescape(MARKS.sub("", subject)) == unescape(body) or unescape(MARKS.sub("", subject)) == body
    if shown is not None:
        assert SAFE.fullmatch(shown)
        assert "<mark>" in shown
        assert len(shown.encode()) <= MAX_PREVIEW_OCTETS
