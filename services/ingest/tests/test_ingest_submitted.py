"""What is submitted: whoever is seen as its author is its submitter, whatever command it comes by and whoever reads it."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.test_mail_same_reading import PIECES, lenient, strict
from services.ingest.tests import ingest_fakes as fakes
from services.ingest.tests.submission_world import ENVELOPE, SubmissionBench

from petitbleu_ingest.domain.message import Incoming
from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import AccountsAwayError, WrongCredentialError
from petitbleu_mail.dotstuff import stuff
from petitbleu_mail.future_release import MAX_HOLD_SECONDS, time_of
from petitbleu_mail.headers import MAX_FIELDS, MAX_VALUE
from petitbleu_mail.same_reading import MAX_SUBMITTED_FIELDS

HEAD = b"From: me@own.test\r\n"
BEHIND = b"Subject: x\r\n\r\nbody\r\n"


@pytest.mark.parametrize("size", [0, 300_000], ids=["held", "streamed"])
@pytest.mark.parametrize("chunked", [True, False], ids=["BDAT", "DATA"])
@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"Subject: x\rFrom: head@school.test\r" + BEHIND,
        HEAD + b"Subject: x\nFrom: head@school.test\n" + BEHIND,
        HEAD + b"Subject: x\rBcc: hidden@school.test\r\n" + BEHIND,
        HEAD + b"\nFrom: head@school.test\r\n" + BEHIND,
        HEAD + b"X: \0\r\n" + BEHIND,
        HEAD + b"X: y\x0cFrom: head@school.test\r\n" + BEHIND,
        HEAD + b"no field\r\nnone either\r\nFrom: head@school.test\r\n" + BEHIND,
        HEAD + BEHIND + b"a bare\nend",
        HEAD + BEHIND + b"a bare\rend",
        HEAD + BEHIND + b"a bare end\r",
        HEAD + b"X: y\r\n" * MAX_FIELDS + b"From: head@school.test\r\n" + BEHIND,
        b"From: " + b"me@own.test,\r\n " * (MAX_VALUE // 14) + b"head@school.test\r\n" + BEHIND,
        b"From: " + b"me@own.test," * 1000 + b"head@school.test\r\n" + BEHIND,
        HEAD + b"Sender: " + b"me@own.test," * 1000 + b"head@school.test\r\n" + BEHIND,
    ],
)
async def test_a_hidden_author_is_refused(message: bytes, chunked: bool, size: int) -> None:
    bench = SubmissionBench()
    if not chunked and not message.endswith((b"\r\n", b"\r")):
        message += b"\r\n"
    filled = (
        message
        if not size
        else message.replace(BEHIND, BEHIND + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (size // 72))
    )
    assert await bench.send(filled, chunked=chunked) in {"550 5.6.0", "554 5.6.0"}
    assert bench.store.messages == []
    assert all(one.aborted for one in bench.store.uploads)


@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_right_is_taken(chunked: bool) -> None:
    bench = SubmissionBench()
    right = HEAD + b"X: y\r\n\tfolded\r\n" * (MAX_SUBMITTED_FIELDS - 3) + BEHIND
    assert await bench.send(right, chunked=chunked) == "250 2.6.0"
    assert bench.store.messages[-1].header_from == "me@own.test"


async def test_a_strangers_chunks_are_taken_as_they_are() -> None:
    bench = fakes.Bench()
    talk = bench.session()
    message = b"From: a@b.example\r\nSubject: x\ny\r\n\r\nbare\rends\0"
    await talk.say(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@demo.test>\r\n")
    await talk.say(b"BDAT %d LAST\r\n" % len(message) + message)
    assert talk.codes()[-1] == 250
    assert bench.store.messages[-1].body == message


UNCLEAR = [
    b"boss@own.test <me@own.test>",
    b"[<boss@own.test>,] <me@own.test>",
    b"=?a?q?:,boss@own.test,?= <me@own.test>",
    b'"<boss@own.test>" <me@own.test>',
    b"<@boss@own.test,@x:me@own.test>",
    b"(boss@own.test, me@own.test",
    b"me@own.test (boss@own.test)",
    b"boss@own.test (a) <me@own.test>",
    b"all: me@own.test;",
    b"me@own.test, ",
    b"me@own.test; boss@own.test",
    b'"boss@own.test\r\n <me@own.test>',
    b"<boss@own.test> <me@own.test>",
    b"me@own.test\\, boss@own.test",
]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("value", UNCLEAR)
async def test_rfc5322_3_4_an_author_that_readers_find_elsewhere_is_refused(value: bytes, chunked: bool) -> None:
    bench = SubmissionBench()
    assert await bench.send(b"From: " + value + b"\r\n" + BEHIND, chunked=chunked) == "554 5.6.0"
    assert await bench.send(HEAD + b"Sender: " + value + b"\r\n" + BEHIND, chunked=chunked) == "554 5.6.0"
    assert not bench.store.messages


@pytest.mark.parametrize(
    "value",
    [
        b"me@own.test", b"<me@own.test>", b"Me <me@own.test>", b'"Me, Myself" <me@own.test>', b"John Q. Public <me@own.test>",
        b'"\\"Z\\" me@own.test" <me@own.test>', b"=?utf-8?q?Z=C3=A9?= =?utf-8?q?=2C?= <me@own.test>", "Zoé Müller <me@own.test>".encode(),
        b"me@own.test <me@own.test>", b"me@own.test (My Name)", b"Me\r\n\t<me@own.test>", b"me@own.test,\r\n Me <me@own.test>",
        b"  <me@own.test>\t", b'Me My =?us-ascii?b?eA==?= "q" <me@own.test>',
    ],
)  # fmt: skip
async def test_rfc5322_3_4_an_author_as_programs_write_it_is_taken(value: bytes) -> None:
    bench = SubmissionBench()
    assert await bench.send(b"From: " + value + b"\r\n" + BEHIND) == "250 2.6.0"


async def test_rfc5322_3_6_2_there_is_one_sender() -> None:
    bench = SubmissionBench()
    assert await bench.send(HEAD + b"Sender: me@own.test\r\n" * 2 + BEHIND) == "554 5.6.0"
    assert await bench.send(HEAD + b"Sender: me@own.test\r\n" + BEHIND) == "250 2.6.0"


async def test_a_message_that_was_begun_with_a_login_that_does_not_hold_any_more_is_not_taken() -> None:
    bench = SubmissionBench()
    talk = bench.logged_in()
    await talk.say(ENVELOPE % b"alice@demo.test" + b"DATA\r\n")
    talk.smtp.mx.stands_until = 0.0
    bench.logins.answer = AccountsAwayError()
    await talk.say(stuff(HEAD + BEHIND))
    assert talk.replies()[-1] == "454 4.7.0"
    talk.smtp.mx.stands_until = math.inf
    await talk.say(b"MAIL FROM:<me@own.test>\r\nRCPT TO:<alice@demo.test>\r\nDATA\r\n")
    talk.smtp.mx.stands_until = 0.0
    bench.logins.answer = WrongCredentialError()
    await talk.say(stuff(HEAD + BEHIND))
    assert talk.replies()[-1] == "421 4.7.0"
    assert talk.transport.closed
    assert not bench.store.messages


def leaves(message: Incoming) -> list[bytes]:
    """The message as it may leave: as it is kept, and with every line end made one."""
    kept = message.trace + message.body
    return [kept, kept.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(PIECES, max_size=6).map(b"".join), st.booleans())
def test_strict_and_lenient_readers_see_the_submitter_as_the_author(
    before: bytes, behind: bytes, chunked: bool
) -> None:
    async def submitted() -> list[Incoming]:
        bench = SubmissionBench()
        await bench.send(before + b"\r\n" + HEAD + behind + b"\r\n\r\n", chunked=chunked)
        return bench.store.messages

    for message in asyncio.run(submitted()):
        for octets in leaves(message):
            assert strict(octets) == lenient(octets) == [b"me@own.test"]


async def test_rfc4865_mail_is_held_as_long_as_it_says() -> None:
    bench = SubmissionBench()
    talk = bench.session()
    await talk.say(b"EHLO c.example\r\n")
    (line,) = [one for one in talk.transport.written.split(b"\r\n") if b"FUTURERELEASE" in one]
    _, interval, latest = line.decode().split(" ")
    assert int(interval) == MAX_HOLD_SECONDS
    now = time.time() * 1000
    most = time_of(latest)
    assert most is not None
    assert abs(most - now - MAX_HOLD_SECONDS * 1000) < 60_000
    past = datetime.fromtimestamp(now / 1000 - 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for parameter, seconds in (
        ("", 0),
        (" HOLDFOR=60", 60),
        (f" HOLDFOR={interval}", MAX_HOLD_SECONDS),
        (f" HOLDUNTIL={past}", 0),
    ):
        talk = bench.logged_in()
        await talk.say(
            f"EHLO c.example\r\nMAIL FROM:<me@own.test>{parameter}\r\nRCPT TO:<far@else.test>\r\nDATA\r\n".encode()
        )
        await talk.say(stuff(HEAD + BEHIND))
        assert talk.replies()[-1] == "250 2.6.0"
        until = bench.store.messages[-1].hold_until_ms
        assert until == 0 if not seconds else abs(until - now - seconds * 1000) < 60_000
    talk = bench.logged_in()
    await talk.say(b"EHLO c.example\r\nMAIL FROM:<me@own.test> HOLDFOR=2592001\r\n")
    assert talk.replies()[-1] == "501 5.5.4"


async def test_rfc4865_a_stranger_holds_nothing() -> None:
    talk = fakes.Bench().session()
    await talk.say(b"EHLO c.example\r\nMAIL FROM:<a@b.example> HOLDFOR=60\r\n")
    assert talk.replies()[-1] == "555 5.5.4"
    assert b"FUTURERELEASE" not in talk.transport.written


async def test_a_login_that_does_not_hold_any_more_ends_the_session_at_its_next_message() -> None:
    bench = SubmissionBench()
    talk = bench.logged_in(stands=0.0)
    begin = b"MAIL FROM:<me@own.test>\r\n"
    await talk.say(b"EHLO c.example\r\n" + begin + b"RSET\r\n" + begin + b"RSET\r\n")
    assert talk.codes()[-4:] == [250, 250, 250, 250]
    assert bench.logins.asked == 1, "what was found is believed for a minute"
    talk.smtp.mx.stands_until = 0.0
    bench.logins.answer = Submitter(7, 9, frozenset({"other@own.test"}))
    await talk.say(begin)
    assert talk.replies()[-1] == "553 5.7.1", "an address that was taken away is not theirs"
    talk.smtp.mx.stands_until = 0.0
    bench.logins.answer = AccountsAwayError()
    await talk.say(begin)
    assert talk.replies()[-1] == "454 4.7.0"
    bench.logins.answer = WrongCredentialError()
    await talk.say(begin)
    assert talk.replies()[-1] == "421 4.7.0"
    assert talk.transport.closed
