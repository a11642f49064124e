"""The rules of identities (RFC 8621 §6) without a database."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petitbleu_accounts.domain.identities import (
    MAX_IDENTITIES,
    Address,
    Book,
    Identity,
    Outcome,
    Owner,
    Refusal,
    Wish,
    changes,
)

ANNA = ("anna@one.test", "a.blume@one.test")


def owner(*addresses: str, guarded: bool = False) -> Owner:
    return Owner(7, 7, 1, "Anna", guarded, addresses)


def book(*addresses: str, guarded: bool = False) -> Book:
    found = Book(owner(*addresses, guarded=guarded), 0, 0, {})
    found.settle()
    return found


def refusal(made: Book, email: str, **wish: object) -> Refusal:
    with pytest.raises(Refusal) as refused:
        made.create(email, Wish(**wish))  # type: ignore[arg-type]
    return refused.value


@pytest.mark.parametrize(
    ("email", "mine"),
    [
        ("anna@one.test", True), ("ANNA@One.Test", True), ("anna+news@one.test", True), ("a.blume+x@one.test", True),
        ("bob@one.test", False), ("anna@two.test", False), ("anna", False), ("postmaster", False), ("@one.test", False),
        ("anna@one.test\r\n", False), ("<anna@one.test>", False), ("", False), ("news+anna@one.test", False),
    ],
)  # fmt: skip
def test_rfc8621_6_3_whose_address_is_whose(email: str, mine: bool) -> None:
    assert owner(*ANNA).may_write_as(email) is mine


def test_every_address_has_one_and_the_first_one_stays() -> None:
    made = book(*ANNA)
    assert [(one.email, made.owner.may_destroy(one)) for one in made.living()] == [(ANNA[0], False), (ANNA[1], True)]
    modseq = made.modseq
    made.settle()
    assert made.modseq == modseq


def test_no_more_identities_than_there_may_be() -> None:
    made = book(*(f"a{number:03}@one.test" for number in range(MAX_IDENTITIES + 20)))
    assert len(made.living()) == MAX_IDENTITIES
    assert made.settled()
    assert refusal(made, "a000+x@one.test").outcome is Outcome.TOO_MANY


def test_what_names_and_addresses_may_not_be() -> None:
    made = book(*ANNA)
    many = tuple(Address(None, "x@y.test") for _ in range(51))
    for name, value in (
        ("name", "a\nb"), ("name", "a\u2028b"), ("name", "x" * 201), ("reply_to", many), ("bcc", (Address("a\rb", "x@y.test"),)),
        ("bcc", (Address(None, "x"),)), ("reply_to", (Address(None, "x@y.test, z@y.test"),)), ("text_signature", "a\0"),
        ("reply_to", (Address(None, "postmaster"),)),
    ):  # fmt: skip
        assert refusal(made, ANNA[0], **{name: value}).outcome is Outcome.INVALID, name
    emoji = made.create(ANNA[0], Wish(name="Anna 👩‍👧 Blume"))
    assert emoji.name == "Anna 👩‍👧 Blume"
    assert refusal(made, "x" * 400 + "@one.test").properties == ("email",)


def test_a_child_s_identities_lead_nowhere_else() -> None:
    made = book("zoe@one.test", guarded=True)
    (mine,) = made.living()
    for wish in (
        Wish(name="Maman"),
        Wish(reply_to=(Address(None, "x@y.test"),)),
        Wish(bcc=(Address(None, "x@y.test"),)),
    ):
        with pytest.raises(Refusal) as refused:
            made.change(mine.identity_id, wish)
        assert refused.value.outcome is Outcome.FORBIDDEN
    assert made.change(mine.identity_id, Wish(html_signature="<p>Zoé</p>", name="Anna")).html_signature == "<p>Zoé</p>"


def apply(cache: dict[int, Identity], made: Book, since: int, most: int) -> tuple[int, bool]:
    """Do what a client does with an answer of /changes; it gets what is there now."""
    found = changes(made.identities.values(), since, made.modseq, most)
    for number in (*found.created, *found.updated):
        if not made.identities[number].gone:
            cache[number] = made.identities[number]
    for number in found.destroyed:
        cache.pop(number, None)
    assert len(found.created) + len(found.updated) + len(found.destroyed) <= (most or 1000)
    return found.upto, found.more


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(1, 4)), max_size=40), st.data())
def test_rfc8620_5_2_changes_lead_a_cache_to_the_truth(steps: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Random histories; clients that look now and then, in windows of any size, end with what the server has."""
    made = book(*ANNA)
    caches: list[tuple[dict[int, Identity], int]] = [({}, 0), ({}, 0)]
    for kind, number, most in steps:
        try:
            if kind == 0:
                made.create(f"anna+{number}@one.test", Wish())
            elif kind == 1:
                made.change(number, Wish(name=f"name {made.modseq}"))
            elif kind == 2:
                made.destroy(number)
            else:
                which = number % len(caches)
                cache, since = caches[which]
                caches[which] = (cache, apply(cache, made, since, most)[0])
        except Refusal:
            continue
    for cache, since in copy.copy(caches):
        at, more = since, True
        while more:
            at, more = apply(cache, made, at, data.draw(st.integers(1, 3)))
        assert at == made.modseq
        assert cache == {one.identity_id: one for one in made.living()}


def test_what_was_set_before_an_account_was_guarded_leads_nowhere_else_either() -> None:
    made = book("zoe@one.test")
    (mine,) = made.living()
    made.change(
        mine.identity_id, Wish(reply_to=(Address(None, "x@y.test"),), bcc=(Address(None, "x@y.test"),), name="Zoé")
    )
    made.owner = owner("zoe@one.test", guarded=True)
    before = made.modseq
    assert not made.settled()
    made.settle()
    (now,) = made.living()
    assert (now.reply_to, now.bcc, now.name) == (None, None, "Zoé")
    assert now.modseq == made.modseq == before + 1  # its clients are told
    assert made.settled()
