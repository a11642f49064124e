"""Tests of the trace lines (RFC 5321 §4.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_mail.addresses import Mailbox
from petitbleu_mail.received import delivered_to, protocol, received_line, return_path, rfc5322_date

WHEN = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)


def line(**change: object) -> str:
    given: dict[str, object] = {
        "helo": "client.example", "peer": "192.0.2.7", "peer_name": "rdns.example", "by": "mx.demo.test",
        "with_protocol": "ESMTPS", "queue_id": "0193-abc", "when": WHEN,
    }  # fmt: skip
    return received_line(**(given | change)).decode()  # type: ignore[arg-type]


def test_a_received_line() -> None:
    assert line(tls="TLSv1.3:TLS_AES_256_GCM_SHA384", recipients=(Mailbox("alice", "demo.test"),)) == (
        "Received: from client.example (rdns.example [192.0.2.7])\r\n"
        "\tby mx.demo.test with ESMTPS (TLSv1.3:TLS_AES_256_GCM_SHA384) id 0193-abc\r\n"
        "\tfor <alice@demo.test>;\r\n"
        "\tSun, 1 Mar 2026 09:05:07 +0000\r\n"
    )


def test_no_for_with_several_recipients() -> None:
    assert "for" not in line(recipients=(Mailbox("a", "b"), Mailbox("c", "d"))).replace("format", "")
    assert " for " not in line()


def test_utf8_stays_out_of_a_header_that_is_not_utf8() -> None:
    recipients = (Mailbox("jörg", "demo.test"),)
    assert line(helo="müller.example", recipients=recipients).isascii()
    assert "for <jörg@demo.test>" in line(recipients=recipients, with_protocol="UTF8SMTPS")


def test_peers() -> None:
    assert "([192.0.2.7])" in line(peer_name=None)
    assert "[IPv6:2001:db8::1]" in line(peer="2001:db8::1")
    assert "[192.0.2.1]" in line(peer="::ffff:192.0.2.1")
    assert "[unknown]" in line(peer="/run/socket")


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_client_can_break_out_of_the_line(helo: str, name: str) -> None:
    text = line(helo=helo, peer_name=name)
    lines = text.split("\r\n")
    assert len(lines) == 4
    assert lines[1].startswith("\tby ") and lines[2].startswith("\tSun, ")
    assert text.count("(") == 1 and max(map(len, lines)) < 900


@pytest.mark.parametrize(
    ("word", "flags"),
    [
        ("SMTP", {"extended": False}),
        ("ESMTP", {"extended": True}),
        ("ESMTPS", {"extended": True, "tls": True}),
        ("ESMTPA", {"extended": True, "auth": True}),
        ("ESMTPSA", {"extended": True, "tls": True, "auth": True}),
        ("UTF8SMTP", {"extended": True, "utf8": True}),
        ("UTF8SMTPSA", {"extended": True, "tls": True, "auth": True, "utf8": True}),
        ("LMTP", {"extended": True, "lmtp": True}),
        ("UTF8LMTPS", {"extended": True, "lmtp": True, "tls": True, "utf8": True}),
    ],
)
def test_protocol_words(word: str, flags: dict[str, bool]) -> None:
    assert protocol(**flags) == word


@given(
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
)
def test_dates_are_those_of_the_standard_library(naive: datetime, minutes: int) -> None:
    when = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    if minutes == 0:
        when = when.replace(tzinfo=UTC)
    ours, theirs = rfc5322_date(when), format_datetime(when)
    assert ours == theirs.replace(", 0", ", ")


def test_return_path_and_delivered_to() -> None:
    assert return_path(None) == b"Return-Path: <>\r\n"
    assert return_path(Mailbox("Joe Blow", "example.org")) == b'Return-Path: <"Joe Blow"@example.org>\r\n'
    assert delivered_to(Mailbox("alice", "demo.test")) == b"Delivered-To: alice@demo.test\r\n"
