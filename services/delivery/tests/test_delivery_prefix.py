"""The prefix: two lines, whatever an address holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.prefix import prefix


def test_addresses_stand_as_received() -> None:
    assert prefix("Jean.Dupont@Else.test", "Alice+News@Demo.test") == (
        b"Return-Path: <Jean.Dupont@Else.test>\r\nDelivered-To: Alice+News@Demo.test\r\n"
    )


def test_the_null_path_is_shown_empty() -> None:
    assert prefix("", "alice@demo.test").startswith(b"Return-Path: <>\r\n")


def test_bare_postmaster_needs_no_domain() -> None:
    assert prefix("a@b.test", "postmaster").endswith(b"Delivered-To: postmaster\r\n")


def test_utf8_addresses_stay_utf8() -> None:
    assert "Delivered-To: hélène@é.test\r\n".encode() in prefix("a@b.test", "hélène@é.test")


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_address_adds_a_line(mail_from: str, address: str) -> None:
    lines = prefix(mail_from, address).split(b"\r\n")
    assert len(lines) == 3 and lines[2] == b""
    assert lines[0].startswith(b"Return-Path: <") and lines[0].endswith(b">")
    assert lines[1].startswith(b"Delivered-To: ")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
