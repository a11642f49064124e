"""Skeletons: what looks alike has the same, whatever letters it is written with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.addresses import canonical_domain, parse_mailbox
from petitbleu_mail.look_alikes import address_skeleton, skeleton


@pytest.mark.parametrize(
    "twin",
    [
        "aunt.mary@school.example",
        "аunt.mary@school.example",  # noqa: RUF001 — the first letter is Cyrillic
        "aunt.rnary@school.example",
        "aunt.mary@schoo1.example",
        "aunt.mary@schооl.example",  # noqa: RUF001
        "áunt.mary@school.example",
        "ａｕｎｔ.mary@school.example",  # noqa: RUF001
    ],
)
def test_twins_of_an_address_have_its_skeleton(twin: str) -> None:
    canonical = parse_mailbox(twin).canonical().address
    assert address_skeleton(canonical) == address_skeleton("aunt.mary@school.example")


@pytest.mark.parametrize("other", ["aunt@school.example", "aunt.mary@schule.example", "uncle.mary@school.example"])
def test_others_have_another(other: str) -> None:
    assert address_skeleton(other) != address_skeleton("aunt.mary@school.example")


@given(st.text(max_size=80))
def test_any_text_has_one_and_it_is_stable(text: str) -> None:
    assert address_skeleton(text) == address_skeleton(text)
    assert skeleton(text) == skeleton(text)


def test_labels_are_compared_as_they_are_seen() -> None:
    assert skeleton(canonical_domain("ѕсhооl.example")) == skeleton("school.example")  # noqa: RUF001
