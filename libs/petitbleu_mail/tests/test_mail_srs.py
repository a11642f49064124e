"""Sender rewriting: every sender comes back as it was, and nothing that we did not write leads anywhere."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.addresses import Mailbox, parse_mailbox
from petitbleu_mail.srs import VALID_DAYS, is_rewritten, restored, rewritten

TODAY = 20_000


def key(octets: bytes) -> bytes:
    return hmac.digest(b"k" * 32, octets, "sha256")


def other_key(octets: bytes) -> bytes:
    return hmac.digest(b"o" * 32, octets, "sha256")


# RFC 5321 §4.1.2: a dot-string or a quoted string, which may hold any printable ASCII; RFC 6531 §3.3: and what is not ASCII
LOCALS = st.one_of(
    st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~.", min_size=1, max_size=40),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40),
    st.text("aé=ß€ .", min_size=1, max_size=20),
)
DOMAINS = st.sampled_from(
    ["x.test", "a.very.long.domain.example", "bücher.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a_b.test"]
)


@given(LOCALS, DOMAINS, st.integers(0, VALID_DAYS), st.booleans())
def test_every_sender_comes_back_or_is_not_rewritten(local: str, domain: str, age: int, lower: bool) -> None:
    sender = Mailbox(local, domain).address
    made = rewritten(sender, "own.test", TODAY - age, key)
    if made is None:
        return
    assert len(made.rpartition("@")[0].encode()) <= 64
    assert parse_mailbox(made).domain == "own.test"
    assert is_rewritten(made)
    if lower:  # servers may change the case
        made = "".join(char.lower() if char.isascii() else char for char in made)
    found = restored(made, TODAY, key)
    assert found is not None
    if lower:
        assert found.lower() == Mailbox(local, domain).address.lower()
    else:
        assert found == sender
    assert restored(made, TODAY, other_key) is None
    assert restored(made.replace("own.test", "other.test"), TODAY, key) is None


@given(st.text("abc019", min_size=1, max_size=20))
def test_a_plain_sender_is_always_rewritten(local: str) -> None:
    assert rewritten(f"{local}@example.com", "own.test", TODAY, key)


@given(st.text(max_size=80))
def test_nothing_else_leads_anywhere(local: str) -> None:
    for address in (f"{local}@own.test", f"SRS0=aaaaaaaa=aa={local}@own.test", f"SRS1=aaaaaaaa={local}@own.test"):
        assert restored(address, TODAY, key) is None


@pytest.mark.parametrize(
    ("age", "good"), [(-2, False), (-1, True), (0, True), (VALID_DAYS, True), (VALID_DAYS + 1, False), (500, False)]
)
def test_an_address_counts_for_three_weeks(age: int, good: bool) -> None:
    made = rewritten("a@x.test", "own.test", TODAY - age, key)
    assert made is not None
    assert (restored(made, TODAY, key) == "a@x.test") is good


def test_the_form_is_that_of_the_paper() -> None:
    made = rewritten("bob@x.test", "own.test", TODAY, key)
    assert made is not None
    assert made.startswith("SRS0=")
    assert made.endswith("=x.test=bob@own.test")
    # of one who has rewritten already the next does not lengthen it, and leads straight to the first
    twice = rewritten(made, "second.test", TODAY, key)
    assert twice is not None
    assert twice.startswith("SRS1=")
    assert twice.endswith("=own.test=" + made.removeprefix("SRS0").replace("@own.test", "@second.test"))
    assert restored(twice, TODAY, key) == made
    thrice = rewritten(twice, "third.test", TODAY, key)
    assert thrice is not None
    assert restored(thrice, TODAY, key) == made
    # one who calls himself so without being one is a sender as others are
    assert (rewritten("SRS0=x@x.test", "own.test", TODAY, key) or "").startswith("SRS0=")


def test_what_does_not_fit_is_not_rewritten() -> None:
    assert rewritten(f"{'a' * 60}@x.test", "own.test", TODAY, key) is None
    assert rewritten("", "own.test", TODAY, key) is None
    assert rewritten("nobody", "own.test", TODAY, key) is None
