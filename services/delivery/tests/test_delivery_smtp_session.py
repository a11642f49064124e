"""The SMTP client before servers that answer as a script says, on real sockets: each answer is told as it was, and none is made up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_delivery.domain.outbound import Letter, LetterRecipient, NotInHandError, Verdict
from petitbleu_delivery.smtp_client.replies import MAX_LINE, MAX_LINES, NotAReplyError, read_reply
from petitbleu_delivery.smtp_client.session import Patience, Session, SessionError

EVERYTHING = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN")
PATIENCE = Patience(connect=20, greeting=20, command=20, data=20, block=20, final=20)
BODY = b"Subject: hello\r\n\r\n.dot\r\nline\r\n..\r\n"


class Scripted:
    """A server: `answers` by the first word of a command in capitals (a list is used up); `None` closes the connection."""

    def __init__(self, extensions: tuple[str, ...] = EVERYTHING, **answers: str | None) -> None:
        self.extensions = extensions
        self.answers = answers
        self.commands: list[bytes] = []
        self.data: list[bytes] = []
        self.greeting = "220 there"
        self.tasks: set[asyncio.Task[None] | None] = set()

    def _of(self, word: str, otherwise: str) -> str | None:
        return self.answers.get(word, otherwise)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(self.greeting.encode() + b"\r\n")
            while line := await reader.readline():
                self.commands.append(line.rstrip(b"\r\n"))
                word = line.split()[0].decode().upper()
                if word == "BDAT":
                    self.data.append(await reader.readexactly(int(line.split()[1])))
                told = self._of(
                    word, {"EHLO": self._hello(), "DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 2.0.0 fine")
                )
                if told is None:
                    break
                writer.write(told.encode() + b"\r\n")
                if word == "DATA" and told.startswith("354"):
                    text = b""
                    while (one := await reader.readline()) not in {b".\r\n", b""}:
                        text += one
                    self.data.append(text + one)
                    final = self._of("FINAL", "250 2.0.0 taken")
                    if final is None:
                        break
                    writer.write(final.encode() + b"\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def _hello(self) -> str:
        lines = ("there", *self.extensions)
        return "\r\n".join(f"250{'-' if at < len(lines) - 1 else ' '}{line}" for at, line in enumerate(lines))


@contextlib.asynccontextmanager
async def session_with(server: Scripted) -> AsyncIterator[Session]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        session = await Session.connect("127.0.0.1", listening.sockets[0].getsockname()[1], "mx.test", PATIENCE)
        try:
            await session.hello("us.test")
            yield session
        finally:
            session.abort()
    finally:
        listening.close()
        await asyncio.gather(*filter(None, server.tasks), return_exceptions=True)


def letter(count: int = 1, body: bytes = BODY, **more: object) -> Letter:
    recipients = tuple(
        LetterRecipient(number, f"r{number}@b.test", "FAILURE", "rfc822;r@b.test") for number in range(count)
    )
    return Letter(b"x" * 16, "a@a.test", recipients, body, **more)  # type: ignore[arg-type]


async def test_rfc3030_4_2_a_letter_goes_in_one_piece_with_its_envelope() -> None:
    server = Scripted()
    async with session_with(server) as session:
        answers = await session.send(letter(2, ret="HDRS", envid="a=b"))
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.SENT]
    assert all(answer.relayed_dsn and answer.reply.host == "mx.test" for answer in answers)
    assert server.data == [BODY]
    assert server.commands[1] == b"MAIL FROM:<a@a.test> SIZE=%d RET=HDRS ENVID=a+3Db" % len(BODY)
    assert server.commands[2] == b"RCPT TO:<r0@b.test> NOTIFY=FAILURE ORCPT=rfc822;r@b.test"


async def test_rfc5321_4_5_2_leading_dots_are_doubled_and_another_letter_follows() -> None:
    server = Scripted(())
    async with session_with(server) as session:
        for body in (BODY, b".first and no end"):
            (answer,) = await session.send(letter(body=body))
            assert answer.verdict is Verdict.SENT
            assert not answer.relayed_dsn
    assert server.data == [b"Subject: hello\r\n\r\n..dot\r\nline\r\n...\r\n.\r\n", b"..first and no end\r\n.\r\n"]
    assert server.commands[1] == b"MAIL FROM:<a@a.test>"


async def test_rfc2920_3_1_answers_are_read_before_more_is_written_than_a_server_may_leave_unread() -> None:
    server = Scripted(RCPT="250 " + "x" * 400)
    async with session_with(server) as session:
        async with asyncio.timeout(60):
            answers = await session.send(letter(5_000))
    assert {answer.verdict for answer in answers} == {Verdict.SENT}
    assert len(answers) == 5_000
    assert len(server.commands) == 5_003


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), EVERYTHING])
@pytest.mark.parametrize(
    ("word", "told", "verdict", "status"),
    [
        ("MAIL", "550 5.7.1 no", Verdict.REFUSED, "5.7.1"),
        ("MAIL", "451 later", Verdict.DEFERRED, "4.0.0"),
        ("RCPT", "550-5.1.1 no\r\n550 5.1.1 such", Verdict.REFUSED, "5.1.1"),
        ("RCPT", "452 4.5.3 too many", Verdict.DEFERRED, "4.5.3"),
        ("RCPT", None, Verdict.DEFERRED, "4.4.2"),
        ("RCPT", "421 4.3.2 going", Verdict.DEFERRED, "4.3.2"),
        ("RCPT", "what", Verdict.DEFERRED, "4.5.0"),
        ("RCPT", "250-a\r\n550 b", Verdict.DEFERRED, "4.5.0"),
        ("RCPT", "2500", Verdict.DEFERRED, "4.5.0"),
    ],
)  # fmt: skip
async def test_rfc5321_4_2_every_answer_is_told_as_it_was(
    extensions: tuple[str, ...], word: str, told: str | None, verdict: Verdict, status: str
) -> None:
    server = Scripted(extensions, **{word: told})
    # a server that knows its trade has no message for nobody
    server.answers.setdefault("BDAT", "503 5.5.1 no recipients")
    server.answers.setdefault("DATA", "503 5.5.1 no recipients")
    async with session_with(server) as session:
        (answer,) = await session.send(letter())
    assert (answer.verdict, answer.reply.enhanced) == (verdict, status)


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
async def test_a_message_that_was_not_asked_for_is_not_sent_whatever_the_server_says(
    extensions: tuple[str, ...],
) -> None:
    server = Scripted(extensions, DATA="250 2.0.0 taken")
    async with session_with(server) as session:
        (answer,) = await session.send(letter())
        assert not session.usable
    assert answer.verdict is Verdict.DEFERRED


@pytest.mark.parametrize(("extensions", "word"), [((), "FINAL"), (("PIPELINING",), "FINAL"), (EVERYTHING, "BDAT")])
async def test_rfc1047_a_connection_that_ends_after_the_message_leaves_a_doubt_that_is_said(
    extensions: tuple[str, ...], word: str
) -> None:
    server = Scripted(extensions, **{word: None})
    async with session_with(server) as session:
        (answer,) = await session.send(letter())
        assert session.begun
        assert not session.usable
    assert answer.verdict is Verdict.DEFERRED
    assert "not known" in answer.reply.text


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), EVERYTHING])
@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize("first", [True, False])
async def test_a_letter_that_is_not_ours_any_more_is_not_ended(
    extensions: tuple[str, ...], size: int, *, first: bool
) -> None:
    server = Scripted(tuple(one for one in extensions if not one.startswith("SIZE")))
    async with session_with(server) as session:
        if not first:  # the first letter of a connection goes with its envelope
            await session.send(letter())
        before = len(server.data)
        with pytest.raises(NotInHandError):
            await session.send(letter(body=b"Subject: x\r\n\r\n" + b"y" * size, current=lambda: False))
        assert not session.usable
    assert not any(taken.endswith(b"\r\n.\r\n") for taken in server.data[before:])
    assert not any(command.startswith(b"BDAT") for command in server.commands[-1:])


@pytest.mark.parametrize(
    ("extensions", "one", "status"),
    [
        (("PIPELINING", "SIZE 10"), letter(), "5.3.4"),
        (("PIPELINING", "8BITMIME"), letter(body="Subject: é\r\n\r\n".encode(), smtputf8=True, eight_bit=True), "5.6.7"),
        (("PIPELINING",), letter(body="Subject: a\r\n\r\né".encode(), eight_bit=True), "5.6.3"),
        (EVERYTHING, letter(require_tls=True), "5.7.30"),
        (("REQUIRETLS",), letter(require_tls=True), "5.7.30"),
        (EVERYTHING, letter(envid="x", ret="FULL\r\nRSET"), "5.5.4"),
        (EVERYTHING, Letter(b"x" * 16, "a\r\nRSET@a.test", (LetterRecipient(0, "r@b.test"),), BODY), "5.5.4"),
        (EVERYTHING, Letter(b"x" * 16, "", (LetterRecipient(0, "r@b.test", "NEVER", "rfc822;a\r\nb"),), BODY), "5.5.4"),
    ],
)  # fmt: skip
async def test_rfc6531_3_2_what_a_server_cannot_have_is_refused_before_a_word_of_it(
    extensions: tuple[str, ...], one: Letter, status: str
) -> None:
    server = Scripted(extensions)
    async with session_with(server) as session:
        (answer,) = await session.send(one)
        assert session.usable
    assert (answer.verdict, answer.reply.enhanced) == (Verdict.REFUSED, status)
    assert server.commands[1:] == []


async def test_rfc6152_3_seven_bits_that_were_declared_eight_go_anywhere() -> None:
    server = Scripted(())
    async with session_with(server) as session:
        (answer,) = await session.send(letter(eight_bit=True))
    assert answer.verdict is Verdict.SENT
    assert server.commands[1] == b"MAIL FROM:<a@a.test>"


async def test_rfc5321_3_2_helo_is_for_who_does_not_know_ehlo() -> None:
    server = Scripted(EHLO="502 what")
    async with session_with(server) as session:
        assert session.extensions == {}
        (answer,) = await session.send(letter())
    assert answer.verdict is Verdict.SENT


@pytest.mark.parametrize("greeting", ["554 5.3.2 no", "421 busy", "SSH-2.0-x", "220-" + "x" * 20_000])
async def test_a_server_that_does_not_greet_is_none(greeting: str) -> None:
    server = Scripted()
    server.greeting = greeting
    with pytest.raises(SessionError) as raised:
        async with session_with(server):
            pass
    assert raised.value.reply.enhanced


class Lines:
    """Lines of a text, as a stream gives them."""

    def __init__(self, text: bytes) -> None:
        self.rest = text

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        line, found, rest = self.rest.partition(separator)
        if not found:
            raise asyncio.IncompleteReadError(line, None)
        if len(line) > 2 * MAX_LINE:
            raise asyncio.LimitOverrunError("too long", 0)
        self.rest = rest
        return line + found


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30), st.sampled_from([b"250", b"-", b" ", b"5.1.1 ", b"\r\n", b"\n", b"9" * 5000])
        ),
        max_size=40,
    ).map(b"".join)
)
def test_whatever_comes_is_a_reply_within_bounds_or_none(text: bytes) -> None:
    try:
        reply = asyncio.run(read_reply(Lines(text)))
    except (NotAReplyError, asyncio.IncompleteReadError):
        return
    assert 200 <= reply.code <= 599
    assert len(reply.lines) <= MAX_LINES
    assert reply.text.isprintable()
    assert reply.status[0] in "245"


@given(
    st.integers(200, 599),
    st.lists(
        st.binary(max_size=200).filter(lambda line: b"\n" not in line and b"\r" not in line), min_size=1, max_size=60
    ),
)
def test_rfc5321_4_2_1_what_was_said_in_several_lines_is_read_whole(code: int, lines: list[bytes]) -> None:
    told = b"".join(
        b"%d%b%b\r\n" % (code, b"-" if at < len(lines) - 1 else b" ", b"x" + line) for at, line in enumerate(lines)
    )
    reply = asyncio.run(read_reply(Lines(told)))
    assert (reply.code, reply.enhanced) == (code, "")
    assert reply.lines == tuple(b"x" + line for line in lines)
