"""What of a mail is searched, as the reading process sees it."""

from __future__ import annotations

import struct
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.tnef_streams import attribute, stream

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_mail.structure import encode_meta, parse_message
from petitbleu_store.adapters.mail_reader.requests import Leaf, Mail, Match, Show, Terms
from petitbleu_store.adapters.mail_reader.texts import without_armor
from petitbleu_store.adapters.mail_reader.worker import answer
from petitbleu_store.domain.header_names import header_term
from petitbleu_store.domain.text_filter import MAX_TEXTS, has_texts, shown_texts, text_leaves
from petitbleu_store.errors import QueryRefusedError, StoreError
from petitbleu_text.searchable import SCOPES, Field
from petitbleu_text.terms import TermKey

KEY = b"k" * 32
ANY = [int(field) for field in SCOPES["text"]]


def mail(octets: bytes, *read: str) -> Mail:
    return Mail(encode_meta(parse_message(octets)), b"Return-Path: <x@y.test>\r\n", octets, list(read))


def finds(one: Mail, text: str, fields: list[int] = ANY) -> bool:
    return answer(Match([Leaf(fields, text)], [one])).found == [[True]]


def made() -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = "Anna Lefèvre <anna@lefevre.test>"
    letter["Subject"] = "Réunion"
    letter["X-Ticket"] = "42"
    letter.set_content("les travaux\n")
    return letter


def test_alternatives_attachments_and_messages_within_are_all_searched() -> None:
    letter = made()
    html = "<style>p{color:rouge}</style><p title=pavillon>chan<b>tier</b><img src=verger.png alt=potence>clair</p>"
    letter.add_alternative(html, subtype="html")
    letter.add_attachment("potager", filename="jardin 3.txt")
    inner = EmailMessage()
    inner["Subject"] = "cantine"
    inner.set_content("menu\n")
    letter.add_attachment(inner)
    one = mail(letter.as_bytes(), "page numérisée")
    words = "lefevre reunion travaux chantier potager jardin cantine menu numerisee pavillon potence clair"
    for word in words.split():
        assert finds(one, word), word
    for word in ("rouge", "color", "style", "verger"):
        assert not finds(one, word), word
    assert finds(one, "menu", [int(Field.ATTACHMENT)])
    assert not finds(one, "menu", [int(Field.BODY)])


def test_terms_are_of_the_words_and_of_the_names_of_header_fields() -> None:
    (octets,) = answer(Terms(KEY, [mail(made().as_bytes())])).terms
    terms = set(struct.unpack(f">{len(octets) // 8}q", octets))
    assert terms.issuperset(TermKey(KEY).terms(Field.BODY, [b"travail"])) or terms.issuperset(
        TermKey(KEY).terms(Field.BODY, [b"travaux"])
    )
    for name in (b"x-ticket", b"return-path", b"subject"):
        assert header_term(KEY, name) in terms
    assert header_term(KEY, b"x-other") not in terms
    assert header_term(b"j" * 32, b"x-ticket") not in terms, "another account's key gives other terms"


def test_winmail_dat_is_looked_into() -> None:
    inner = stream(
        attribute(2, 0x9002, bytes(14)),
        attribute(2, 0x8010, b"jardin.txt\0"),
        attribute(2, 0x800F, b"potager en fleurs"),
    )
    letter = made()
    letter.add_attachment(inner, "application", "ms-tnef", filename="winmail.dat")
    one = mail(letter.as_bytes())
    assert finds(one, "jardin fleurs", [int(Field.ATTACHMENT)])


def test_without_its_octets_a_message_is_found_by_its_header() -> None:
    whole = mail(made().as_bytes())
    header = Mail(whole.meta, whole.prefix, None, [])
    assert finds(header, "reunion anna")
    assert not finds(header, "travaux")


def test_what_is_enciphered_has_no_words() -> None:
    letter = made()
    letter.set_content(
        "Bonjour\n-----BEGIN PGP MESSAGE-----\n\nhQEMA5marmotte\n=abcd\n-----END PGP MESSAGE-----\nAdieu\n"
    )
    one = mail(letter.as_bytes())
    assert finds(one, "bonjour adieu")
    assert not finds(one, "hQEMA5marmotte")


def test_rfc8621_4_4_1_header_looks_in_the_prefix_too_and_in_decoded_values() -> None:
    letter = made()
    letter["X-Mood"] = "très content"
    one = mail(letter.as_bytes())
    for name, text, expected in (
        ("return-path", "x@y", True), ("x-mood", "TRES con", True), ("x-mood", "triste", False), ("x-none", "", False),
    ):  # fmt: skip
        assert answer(Match([Leaf([], text, name)], [one])).found == [[expected]]


def test_rfc8621_5_snippets_mark_subject_and_attachment() -> None:
    one = mail(made().as_bytes(), "la marmotte dort")
    assert answer(Show(["réunion"], ["marmotte"], [one])).shown == [
        ("<mark>Réunion</mark>", "la <mark>marmotte</mark> dort")
    ]
    assert answer(Show(["x"], ["y"], [one])).shown == [(None, None)]


@given(st.binary(max_size=600))
def test_any_octets_have_terms(octets: bytes) -> None:
    answer(Terms(KEY, [mail(octets)]))
    answer(Match([Leaf(ANY, "word"), Leaf([], "x", "subject")], [mail(octets)]))


def text(wanted: str, scope: pb.TextScope.ValueType = pb.TEXT_SCOPE_TEXT, name: str = "") -> pb.TextCondition:
    return pb.TextCondition(scope=scope, text=wanted, header_name=name)


def test_texts_of_a_filter_are_found_at_any_depth_each_once() -> None:
    deep = pb.MessageFilter(
        operator=pb.FILTER_OPERATOR_NOT,
        conditions=[
            pb.MessageFilter(texts=[text("a"), text("b", pb.TEXT_SCOPE_BODY)]),
            pb.MessageFilter(texts=[text("a")]),
        ],
    )
    assert [leaf.text for leaf in text_leaves(deep)] == ["a", "b"]
    assert has_texts(deep)
    assert not has_texts(pb.MessageFilter(in_mailbox=1))
    assert shown_texts(deep) == ([], []), "what must not be there is not marked"
    twice = pb.MessageFilter(operator=pb.FILTER_OPERATOR_NOT, conditions=[deep])
    assert shown_texts(twice) == (["a"], ["a", "b"])


@pytest.mark.parametrize(
    "condition",
    [
        text("x", pb.TEXT_SCOPE_UNSPECIFIED), text("x", pb.TEXT_SCOPE_HEADER), text("x", pb.TEXT_SCOPE_HEADER, "a b"),
        text("x", pb.TEXT_SCOPE_HEADER, "a:b"), text("x" * 1001, pb.TEXT_SCOPE_HEADER, "a"), text("x" * 5000),
    ],
)  # fmt: skip
def test_conditions_that_are_none_are_refused(condition: pb.TextCondition) -> None:
    with pytest.raises((StoreError, QueryRefusedError)):
        text_leaves(pb.MessageFilter(texts=[condition]))


def test_too_many_texts_are_refused() -> None:
    with pytest.raises(QueryRefusedError):
        text_leaves(pb.MessageFilter(texts=[text(str(number)) for number in range(MAX_TEXTS + 1)]))


BEGIN, END = "-----BEGIN PGP MESSAGE-----\n", "-----END PGP MESSAGE-----"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"a {BEGIN}xyz\n{END} b", "a   b"), (f"a {BEGIN}{BEGIN}x {END} b {END}", f"a   b {END}"), (f"a {BEGIN}b", f"a {BEGIN}b"),
        (f"{END} a", f"{END} a"), (f"{BEGIN}1{END}a{BEGIN}2{END}", " a "), ("a", "a"),
    ],
)  # fmt: skip
def test_what_is_enciphered_within_a_text_has_no_words(text: str, left: str) -> None:
    assert without_armor(text) == left


def test_beginnings_without_an_end_are_gone_through_once() -> None:
    """A stranger's mail of such lines took minutes when each beginning looked for an end of its own."""
    text = BEGIN * 150_000
    assert without_armor(text) == text
