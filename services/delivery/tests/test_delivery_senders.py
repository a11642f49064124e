"""Whom somebody lists as senders: what a list makes of a message, whatever is in either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.senders import Listing, SenderError, listing_of, names_of, sender_of

ALLOW, BLOCK = Listing.ALLOW, Listing.BLOCK
ADDRESSES = st.sampled_from(
    ["ann@good.example", "Ann@Shop.Good.Example", "eve@evil.test", "", "x", "é@bücher.test", "a@[192.0.2.1]"]
)
TEXTS = st.text(max_size=40) | st.text("ab.@-é[] ", max_size=40) | ADDRESSES


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        (" Ann@Good.EXAMPLE ", "ann@good.example"), ("good.example", "good.example"), ("@Good.Example", "good.example"),
        ("bücher.test", "xn--bcher-kva.test"), ("É@bücher.test", "é@xn--bcher-kva.test"), ("ann+x@good.example", "ann+x@good.example"),
        ("", None), ("@", None), ("ann", None), ("com", None), ("@com", None), ("ann@", None), ("a b@good.example", None),
        ("[192.0.2.1]", None), ("a@b@c.test", None), ("postmaster", None), ("x" * 300 + "@good.example", None),
    ],
)  # fmt: skip
def test_an_address_or_a_domain_is_listed(text: str, sender: str | None) -> None:
    if sender is None:
        with pytest.raises(SenderError):
            sender_of(text)
    else:
        assert sender_of(text) == sender
        assert sender_of(sender) == sender


@given(TEXTS)
def test_any_text_is_a_sender_or_none(text: str) -> None:
    try:
        sender = sender_of(text)
    except SenderError:
        return
    assert sender_of(sender) == sender
    assert len(sender) <= 512
    if "@" in sender:
        assert names_of(sender)[0] == sender


@given(TEXTS)
def test_any_address_has_few_names(text: str) -> None:
    names = names_of(text)
    assert len(names) <= 9
    assert len(set(names)) == len(names)
    if names[1:]:
        assert names[0].endswith("@" + names[1])
    for outer, inner in zip(names[2:], names[1:], strict=False):
        assert inner.endswith("." + outer)


AUTHOR = "ann@shop.good.example"


@pytest.mark.parametrize(
    ("listed", "authenticated", "listing"),
    [
        ({}, True, None),
        ({AUTHOR: ALLOW}, True, ALLOW),
        ({AUTHOR: ALLOW}, False, None),
        ({"shop.good.example": ALLOW}, True, ALLOW),
        ({"shop.good.example": ALLOW}, False, None),
        # whoever has a name below a domain need not be the one who was allowed
        ({"good.example": ALLOW}, True, None),
        ({AUTHOR: BLOCK}, True, BLOCK),
        ({AUTHOR: BLOCK}, False, BLOCK),
        ({"good.example": BLOCK}, False, BLOCK),
        ({"good.example": BLOCK, AUTHOR: ALLOW}, True, ALLOW),
        ({"good.example": BLOCK, AUTHOR: ALLOW}, False, BLOCK),
        ({"shop.good.example": ALLOW, AUTHOR: BLOCK}, True, BLOCK),
        ({"mail.test": BLOCK}, True, BLOCK),
        ({"mail.test": BLOCK, AUTHOR: ALLOW}, True, ALLOW),
        ({"bounce@mail.test": ALLOW}, True, None),
    ],
)
def test_the_nearest_name_decides(listed: dict[str, Listing], authenticated: bool, listing: Listing | None) -> None:
    assert listing_of(listed, AUTHOR.upper(), "bounce@mail.test", authenticated=authenticated) is listing


@given(
    st.dictionaries(ADDRESSES.map(str.lower) | st.sampled_from(["good.example", "evil.test"]), st.sampled_from(list(Listing))),
    ADDRESSES, ADDRESSES, st.booleans(),
)  # fmt: skip
def test_nobody_is_let_in_who_is_not_known(
    listed: dict[str, Listing], author: str, envelope: str, authenticated: bool
) -> None:
    found = listing_of(listed, author, envelope, authenticated=authenticated)
    if found is ALLOW:
        assert authenticated
        assert ALLOW in {listed.get(name) for name in names_of(author)[:2]}
    if BLOCK not in listed.values():
        assert found is not BLOCK
