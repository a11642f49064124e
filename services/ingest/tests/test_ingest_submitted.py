"""What is submitted: whoever is seen as its author is its submitter, whatever command it comes by and whoever reads it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libs.petitbleu_mail.tests.test_mail_same_reading import PIECES, lenient, strict
from services.ingest.tests import ingest_fakes as fakes
from services.ingest.tests.submission_world import SubmissionBench

from petitbleu_ingest.domain.message import Incoming
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
