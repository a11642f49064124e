"""Tests of what pictures and Autocrypt headers claim to be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.autocrypt import MAX_HEADER, read_autocrypt
from petitbleu_mail.image_types import picture_type

KEY = base64.b64encode(b"\x99\x01key").decode()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif....", "image/avif"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", None),
        (b"\x00\x00\x00\x20ftypisom....", None),
        (b"<svg xmlns=", None),
        (b"<?xml version", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
    ],
)
def test_pictures_are_told_by_their_octets(head: bytes, kind: str | None) -> None:
    assert picture_type(head) == kind


def test_an_autocrypt_header_is_read() -> None:
    value = f" addr=a@b.example; prefer-encrypt=mutual;\r\n _monkey=ignore; keydata=\r\n {KEY[:4]}\r\n {KEY[4:]}\r\n".encode()
    found = read_autocrypt(value)
    assert found is not None
    assert (found.addr, found.prefers_encryption, found.keydata) == ("a@b.example", True, b"\x99\x01key")
    assert not getattr(read_autocrypt(f"addr=a; prefer-encrypt=x; keydata={KEY}".encode()), "prefers_encryption", True)


@pytest.mark.parametrize(
    "value",
    [
        "", "addr=a@b.example", f"keydata={KEY}", f"addr=a; keydata={KEY}; monkey=madness", "addr=a; keydata=!!",
        f"addr=a; addr=a; keydata={KEY}", f"addr=a; keydata={KEY}; _x=" + "x" * MAX_HEADER, f";addr=a; keydata={KEY}",
    ],
)  # fmt: skip
def test_what_is_no_valid_autocrypt_header_is_none(value: str) -> None:
    assert read_autocrypt(value.encode()) is None


@given(st.binary(max_size=300))
def test_no_octets_break_these(data: bytes) -> None:
    picture_type(data)
    read_autocrypt(data)
