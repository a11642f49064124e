"""Blob ids, and octets that are or are not a message."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_gateway.domain.whole_email import arrival_ms, header_of
from petitbleu_gateway.jmap import ids


def test_blob_names() -> None:
    assert ids.blob_name("B12") == (12, 0, None, (), 0)
    assert ids.blob_name("B12-2_1") == (12, 0, "2.1", (), 0)
    assert ids.blob_name("B12-2_1-3-1_1") == (12, 0, "2.1", ("3", "1.1"), 0)
    assert ids.blob_name("U7") == (0, 7, None, (), 0)
    assert ids.blob_name("U7-1_2") == (0, 7, None, ("1.2",), 0)
    assert ids.blob_name("C3") == (0, 0, None, (), 3)


@pytest.mark.parametrize(
    "text", ["B0", "U0", "U", "B1-", "B1-0", "B1-1_", "B1-_1", "B1.1", "B1-1.1", "X1", "U99999999999999999999", "U1-1-1-1-1-1-1", "B\u0661"]
)  # fmt: skip
def test_blob_names_that_are_none(text: str) -> None:
    assert ids.blob_name(text) is None


@given(st.integers(1, (1 << 63) - 1), st.lists(st.integers(1, 99_999), min_size=1, max_size=9))
def test_rfc8620_1_2_blob_ids_are_ids_and_come_back(number: int, section: list[int]) -> None:
    part = ".".join(map(str, section))
    text = ids.blob_id(number, part)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", text)
    assert ids.blob_name(text) == (number, 0, part, (), 0)


@given(st.text(max_size=300))
def test_any_text_is_a_blob_name_or_none(text: str) -> None:
    found = ids.blob_name(text)
    assert found is None or bool(found.message_id) != bool(found.upload_id)


@given(st.binary(max_size=300))
def test_any_octets_are_a_message_or_none(raw: bytes) -> None:
    headers = header_of(raw)
    assert headers is None or arrival_ms(headers) is None or b"eceived" in raw.lower()


def test_rfc8621_4_8_arrival() -> None:
    headers = header_of(b"Received: by x; Wed, 2 Jul 2025 12:00:00 +0200\r\nReceived: by y; junk\r\nFrom: a@b\r\n\r\n")
    assert headers is not None
    assert arrival_ms(headers) == 1_751_450_400_000
    for raw in (b"Received: by y; junk\r\n\r\n", b"From: a@b\r\n\r\n", b"Received: by x\r\n\r\n"):
        headers = header_of(raw)
        assert headers is not None
        assert arrival_ms(headers) is None
