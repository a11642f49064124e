"""The built-in scorer: each mark seen where it is and nowhere else, and what it makes of a sample of spam and of mail that is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.ingest.tests.judging_world import JudgingBench, signed

from petitbleu_ingest.judging.marks import Mark, header_marks, resemblance, score_of
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.look_alikes import skeleton

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
OURS = ("petitbleu.example", "demo.test")
NOW = 1_795_309_200.0  # Sun, 22 Nov 2026 01:00:00 +0000
REST = b"Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <1@x.example>\r\nTo: a@demo.test\r\nSubject: hello\r\n\r\nbody\r\n"


def marks(header: bytes, rest: bytes = REST) -> set[Mark]:
    whole = header + rest
    return header_marks(scan_headers(whole), whole, OURS, NOW)


def test_plain_mail_has_no_marks() -> None:
    assert marks(b"From: Ann Bee <ann@x.example>\r\n") == set()
    assert marks(b"From: Ann via list <list@lists.x.example>\r\nReply-To: ann@x.example\r\n") == set()
    assert marks(b'From: "ann@x.example" <ann@x.example>\r\n') == set()
    assert marks(b'From: "ann@mail.x.example" <ann@x.example>\r\n') == set()
    assert marks(b"From: Bob <bob@petitbleu.example>\r\n") == set()


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        (b'From: "boss@petitbleu.example" <x@evil.example>\r\n', Mark.NAME_IS_OUR_ADDRESS),
        (b"From: =?utf-8?q?boss=40petitbleu=2Eexample?= <x@evil.example>\r\n", Mark.NAME_IS_OUR_ADDRESS),
        ('From: "boss＠petitbleu.example" <x@evil.example>\r\n'.encode(), Mark.NAME_IS_OUR_ADDRESS),  # noqa: RUF001
        (b'From: "help@bank.example" <x@evil.example>\r\n', Mark.NAME_IS_ANOTHER_ADDRESS),
        (b"From: x@petitb1eu.example\r\n", Mark.LOOKS_LIKE_US),
        (b"From: x@petit-bleu.example\r\n", Mark.LOOKS_LIKE_US),
        ("From: x@petitblеu.example\r\n".encode(), Mark.LOOKS_LIKE_US),  # noqa: RUF001
        (b"From: x@mail.petitb1eu.example\r\n", Mark.LOOKS_LIKE_US),
        (b"From: x@petitbleus.example\r\n", Mark.NEARLY_US),
        (b"From: x@petitblue.example\r\n", Mark.NEARLY_US),
        (b"From: x@petitbleu.example.evil.example\r\n", Mark.BEGINS_LIKE_US),
        (b"From: x@petitbleu-example.evil.example\r\n", Mark.BEGINS_LIKE_US),
        (b"From: x@a.example\r\nReply-To: y@b.example\r\n", Mark.ANSWERS_GO_ELSEWHERE),
    ],
)  # fmt: skip
def test_each_lie_is_seen(header: bytes, mark: Mark) -> None:
    assert marks(header) == {mark}


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ((b"Sun, 22 Nov 2026", b"Sun, 22 Nov 2020"), Mark.WRONG_DATE),
        ((b"Date:", b"X-Date:"), Mark.NO_DATE),
        ((b"Message-ID:", b"X-Id:"), Mark.NO_MESSAGE_ID),
        ((b"To:", b"X-To:"), Mark.TO_NOBODY),
        ((b"hello", b"BUY THIS NOW AND WIN"), Mark.SHOUTS),
        ((b"body", b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"), Mark.TEST_PATTERN),
    ],
)
def test_each_oddity_is_seen(change: tuple[bytes, bytes], mark: Mark) -> None:
    assert marks(b"From: a@x.example\r\n", REST.replace(*change)) == {mark}


def test_names_that_are_near_by_chance_are_none() -> None:
    for domain in ("example.com", "bleu.example", "petitpain.example", "test.test", "x.demo.test", "demo.example"):
        assert resemblance(domain, frozenset(OURS)) == frozenset(), domain
    assert skeleton("modern.example") == skeleton("rnodern.example")


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"From: {text}\r\nReply-To: {text}\r\n\r\n".encode(errors="replace")))  # fmt: skip
def test_any_header_has_marks_or_none(message: bytes) -> None:
    found = header_marks(scan_headers(message), message, OURS, NOW)
    assert 0 <= score_of(found) <= sum(mark.points for mark in Mark)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_domains_can_be_compared(one: str, other: str) -> None:
    assert resemblance(one, frozenset([other])) == resemblance(one, frozenset([other]))


async def test_lies_go_to_junk_and_honest_mail_does_not() -> None:
    bench = JudgingBench(junk_points=500)
    rest = REST
    for message, sender, address, junk in (
        (signed(b"From: Ann <ann@good.example>\r\n" + rest), "ann@good.example", "192.0.2.9", False),
        (b"From: Ann <ann@none.example>\r\n" + rest, "ann@none.example", "192.0.2.9", False),
        (b'From: "alice@demo.test" <x@none.example>\r\n' + rest, "x@none.example", "192.0.2.9", True),
        (b"From: alice@demo.test\r\n" + rest, "x@none.example", "198.51.100.7", True),
    ):
        assert await bench.send(message, sender, address) == "250 2.6.0"
        verdicts = bench.store.messages[-1].verdicts
        assert verdicts is not None
        assert verdicts.junk is junk, (message, verdicts)


def test_a_sample_of_spam_and_of_none(record_property: Callable[[str, object], None]) -> None:
    """By headers alone, without a client or the DNS: few are found, and nothing honest is lost. Too small a sample for more."""
    if not (DATA / "spam").is_dir():
        pytest.skip(f"NO SAMPLE: {DATA / 'spam'} is absent; set PETITBLEU_TEST_DATA")
    rates = {}
    for kind in ("spam", "nice"):
        points = []
        for path in sorted((DATA / "spam" / kind).rglob("*")):
            if path.is_file():
                message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                points.append(score_of(header_marks(scan_headers(message), message, OURS, None)))
        rates[kind] = sum(one >= 500 for one in points) / len(points), sum(points) / len(points)
        # so it was when it was written: 8 % of the spam and none of the other mail
        record_property(
            kind, f"{len(points)} messages, {rates[kind][0]:.0%} Junk, {rates[kind][1] / 100:.2f} points on average"
        )
    assert rates["nice"][0] == 0
    assert rates["spam"][0] > 0
    assert rates["spam"][1] > rates["nice"][1]
