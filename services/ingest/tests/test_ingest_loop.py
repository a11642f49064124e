"""The read loop: any stream in any pieces gives the same replies and the same messages."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.ingest.tests import ingest_fakes as fakes

from petitbleu_mail.smtp_grammar import MAX_AUTH_LINE

HELLO = b"EHLO c.example\r\n"
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@demo.test>\r\n"
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"

_lines = st.sampled_from(
    [
        HELLO, b"HELO c\r\n", ENVELOPE, b"DATA\r\n", MESSAGE + b".\r\n", b".\r\n", b"\r\n.\r\n", b"RSET\r\n", b"NOOP\r\n",
        b"BDAT 10\r\n", b"BDAT 3 LAST\r\n", b"BDAT 0 LAST\r\n", b"abc", b"0123456789", b"MAIL FROM:<>\r\n", b"BDAT x\r\n",
        b"RCPT TO:<nobody@demo.test>\r\n", b"RCPT TO:<bob@demo.test> NOTIFY=NEVER\r\n", b"RCPT TO:<x@remote.example>\r\n",
        b"QUIT\r\n", b"STARTTLS\r\n", b"VRFY x\r\n", b"\r\n", b"\n", b"\r", b"..\r\n", b"x" * 600 + b"\r\n", b"y" * 13000,
        b"MAIL FROM:<\xc3\xa9@b.example> SMTPUTF8\r\n", b"\x00\xff\r\n", b"AUTH PLAIN AA==\r\n", b"NOOP\n", b"a\nb\r\n.\r\n",
    ]
)  # fmt: skip
_streams = st.lists(st.one_of(_lines, st.binary(max_size=40)), max_size=14).map(b"".join)


async def _replay(pieces: list[bytes], **options: Any) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    bench = fakes.Bench(smtp_errors=50, smtp_unknown_delay=0, **options)
    talk = bench.session()
    for piece in pieces:
        if talk.transport.closed:
            break
        await talk.say(piece)
    await talk.settle()
    closed = talk.transport.closed
    talk.smtp.connection_lost(None)
    assert bench.door.budget.used == 0
    assert bench.door.admission.open == 0
    # accepted ids come in order, so the replies can be compared whole
    found = [(one.mail_from, [r.address for r in one.recipients], one.body) for one in bench.store.messages]
    return talk.transport.written.decode().splitlines(), found, closed


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=_streams, cuts=st.lists(st.integers(0, 14_000), max_size=12))
def test_any_chunking_gives_the_same_replies(stream: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    whole = asyncio.run(_replay([stream] if stream else []))
    assert asyncio.run(_replay(pieces)) == whole


@settings(max_examples=30, deadline=None)
@given(stream=st.lists(_lines, max_size=8).map(b"".join))
def test_octet_by_octet_gives_the_same_replies(stream: bytes) -> None:
    stream = stream[:2000]
    whole = asyncio.run(_replay([stream] if stream else []))
    assert asyncio.run(_replay([stream[i : i + 1] for i in range(len(stream))])) == whole


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=3000), cut=st.integers(1, 700))
def test_bdat_body_comes_back(body: bytes, cut: int) -> None:
    async def run() -> None:
        bench = fakes.Bench()
        talk = bench.session()
        await talk.say(HELLO + ENVELOPE)
        wire = b"BDAT %d LAST\r\n" % len(body) + body
        for at in range(0, len(wire), cut):
            await talk.say(wire[at : at + cut])
        assert bench.store.messages[0].body == body

    asyncio.run(run())


async def test_replies_to_a_pipelined_group_are_one_write() -> None:
    bench = fakes.Bench()
    talk = bench.session()
    await talk.say(HELLO + ENVELOPE)
    talk.transport.writes.clear()
    await talk.say(b"RSET\r\n" + ENVELOPE + b"DATA\r\n")
    assert len(talk.transport.writes) == 1, "RFC 2920 §3.2"
    assert talk.transport.writes[0].count(b"\r\n") == 4


async def test_rfc5321_4_5_3_1_4_endless_line_is_not_kept() -> None:
    bench = fakes.Bench()
    talk = bench.session()
    for _ in range(50):
        await talk.say(b"x" * 60_000)
        assert len(talk.smtp.buffer) <= MAX_AUTH_LINE
    await talk.say(b"\r\nNOOP\r\n")
    assert talk.codes() == [220, 500, 250]


async def test_peer_that_reads_no_replies_is_not_read() -> None:
    bench = fakes.Bench(smtp_junk_commands=10_000)
    talk = bench.session()
    talk.smtp.pause_writing()
    await talk.say(b"NOOP\r\n" * 100)
    assert not talk.transport.reads()
    assert talk.codes() == [220]
    talk.smtp.resume_writing()
    assert talk.transport.reads()
    assert len(talk.codes()) == 101


async def test_peer_that_reads_no_replies_is_cut_off_in_time() -> None:
    bench = fakes.Bench(smtp_command_seconds=10)
    talk = bench.session()
    await talk.say(HELLO)
    talk.smtp.pause_writing()
    talk.smtp.expire(bench.door.loop.time() + 11)
    assert talk.transport.aborted, "a transport that is closed waits for ever until its replies are read"


async def test_peer_that_does_not_read_the_last_reply_is_cut_off() -> None:
    bench = fakes.Bench()
    talk = bench.session()
    await talk.say(b"QUIT\r\n")
    talk.smtp.expire(bench.door.loop.time() + 1)
    assert talk.transport.closed
    assert not talk.transport.aborted, "a slow peer has time to read it"
    talk.smtp.expire(bench.door.loop.time() + 60)
    assert talk.transport.aborted


async def test_commands_wait_for_a_look_up_and_keep_their_order() -> None:
    bench = fakes.Bench()
    bench.directory.gate = asyncio.Event()
    talk = bench.session()
    talk.smtp.data_received(HELLO + ENVELOPE + b"RCPT TO:<nobody@demo.test>\r\nNOOP\r\n")
    await asyncio.sleep(0.01)
    talk.smtp.data_received(b"RSET\r\n")
    assert not talk.transport.reads()
    bench.directory.gate.set()
    await talk.settle()
    await asyncio.sleep(0.01)
    assert talk.codes() == [220, 250, 250, 250, 550, 250, 250]
    assert talk.transport.reads()
    assert len(bench.directory.calls) == 1, "what is pipelined is looked up together"


async def test_peer_gone_during_accept_leaves_nothing_behind() -> None:
    bench = fakes.Bench()
    bench.store.gate = asyncio.Event()
    talk = bench.session()
    await talk.say(HELLO + ENVELOPE + b"DATA\r\n")
    talk.smtp.data_received(MESSAGE + b".\r\n")
    await asyncio.sleep(0.01)
    talk.smtp.connection_lost(None)
    bench.store.gate.set()
    await asyncio.sleep(0.01)
    assert bench.door.budget.used == 0
    assert not bench.door.sessions
    assert b"Accepted" not in talk.transport.written


async def test_half_closed_peer_still_gets_its_reply() -> None:
    bench = fakes.Bench()
    bench.store.gate = asyncio.Event()
    talk = bench.session()
    await talk.say(HELLO + ENVELOPE + b"DATA\r\n")
    talk.smtp.data_received(MESSAGE + b".\r\n")
    await asyncio.sleep(0.01)
    assert talk.smtp.eof_received()
    bench.store.gate.set()
    await asyncio.sleep(0.01)
    assert talk.codes()[-1] == 250
    assert talk.transport.closed


@pytest.mark.parametrize("trouble", ["queue", "away", "full"])
async def test_no_250_without_an_answer_of_store(trouble: str) -> None:
    from petitbleu_ingest.ports import StoreAwayError, StoreFullError

    bench = fakes.Bench()
    if trouble == "queue":
        bench.door.acceptance._batcher._max_queued = 0
    else:
        bench.store.error = StoreAwayError() if trouble == "away" else StoreFullError()
    talk = bench.session()
    await talk.say(HELLO + ENVELOPE + b"DATA\r\n" + MESSAGE + b".\r\n")
    await asyncio.sleep(0.01)
    assert talk.replies()[-1] == ("451 4.3.0" if trouble == "away" else "452 4.3.1")
    assert bench.door.budget.used == 0
    bench.store.error = None
    bench.door.acceptance._batcher._max_queued = 10
    await talk.say(ENVELOPE + b"DATA\r\n" + MESSAGE + b".\r\n")
    assert talk.codes()[-1] == 250
