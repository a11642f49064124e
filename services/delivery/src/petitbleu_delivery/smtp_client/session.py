"""A session with a server: greeting, EHLO, STARTTLS, and letter after letter over the same connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu_delivery.domain.outbound import (
    Answer,
    Letter,
    LetterRecipient,
    NotInHandError,
    Reply,
    Verdict,
    destination_of,
)
from petitbleu_delivery.domain.sources import Source
from petitbleu_delivery.domain.tls_report import ResultType
from petitbleu_delivery.smtp_client.replies import MAX_LINE, NotAReplyError, ServerReply, read_reply
from petitbleu_mail.smtp_parameters import encode_xtext

# Sent in one write with its envelope where the server lets us (RFC 2920, RFC 3030 §4.2).
_ONE_WRITE: Final = 256 << 10
_PIECE: Final = 256 << 10
# Recipients of a letter whose answers are left unread while more is written: both sides writing, neither reading, is a deadlock (RFC 2920 §3.1).
_UNREAD: Final = 100
# OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, as reports name them
_RESULTS: Final = {10: ResultType.EXPIRED, 62: ResultType.WRONG_HOST, 64: ResultType.WRONG_HOST}
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a server is waited for (RFC 5321 §4.5.3.2)."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0


class SessionError(Exception):
    """The session is over before a letter was begun; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class TlsRefusedError(SessionError):
    """TLS was wanted, and the server does not offer it, or not with the name or key that is wanted; `result` and `detail` are for reports."""

    def __init__(self, reply: Reply, result: ResultType, detail: str = "") -> None:
        super().__init__(reply)
        self.result = result
        self.detail = detail


@dataclass(slots=True)
class Session:
    """A connection to a server that greeted us.

    Attributes:
        host: The server's name as we know it.
        extensions: What EHLO announced: keyword in upper case → its parameters.
        secured: Whether TLS is on.
        letters: How many it has carried.
        usable: Whether it may carry another.
        source: Our address that it comes from, where that was chosen.
        begun: Whether octets of the last letter's message were sent.
        passing: Whether it is with an exchanger that others are preferred to, for the sake of one letter; then it is not kept.
    """

    host: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    patience: Patience
    extensions: dict[str, str] = field(default_factory=dict)
    secured: bool = False
    letters: int = 0
    usable: bool = True
    begun: bool = False
    passing: bool = False
    source: Source | None = None

    @classmethod
    async def connect(
        cls, address: str, port: int, host: str, patience: Patience, source: Source | None = None
    ) -> Session:
        """Connect, from `source` where there is one, and take the greeting.

        Raises:
            SessionError: nobody answers, or the greeting is none.
        """
        try:
            async with asyncio.timeout(patience.connect):
                local = None if source is None else (source.address, 0)
                reader, writer = await asyncio.open_connection(address, port, limit=2 * MAX_LINE, local_addr=local)
        except (OSError, TimeoutError) as error:
            why = "connection timed out" if isinstance(error, TimeoutError) else "cannot connect"
            raise SessionError(Reply(0, "4.4.1", why, host)) from None
        session = cls(host, reader, writer, patience, source=source)
        try:
            greeting = await session._reply(patience.greeting)
        except SessionError:
            session.abort()
            raise
        if greeting.code != 220:
            await session.quit()
            raise SessionError(session._told(greeting))
        return session

    async def hello(self, name: str) -> None:
        """Say EHLO, or HELO to a server that does not know it (RFC 5321 §3.2).

        Raises:
            SessionError: it takes neither.
        """
        self.writer.write(b"EHLO %b\r\n" % name.encode("ascii"))
        reply = await self._reply(self.patience.command)
        if reply.code == 250:
            told = [line.decode("ascii", "replace").partition(" ") for line in reply.lines[1:]]
            self.extensions = {keyword.upper(): parameters for keyword, _, parameters in told}
            return
        self.extensions = {}
        if reply.code // 100 == 5:
            self.writer.write(b"HELO %b\r\n" % name.encode("ascii"))
            reply = await self._reply(self.patience.command)
            if reply.code == 250:
                return
        raise SessionError(self._told(reply))

    async def secure(self, context: ssl.SSLContext, server_name: str, name: str) -> None:
        """Turn TLS on and say EHLO anew (RFC 3207).

        Raises:
            TlsRefusedError: the server offers none, or the handshake fails.
            SessionError: the connection ended.
        """
        if "STARTTLS" not in self.extensions:
            lacking = Reply(0, "4.7.4", "TLS is required, and the server does not offer it", self.host)
            raise TlsRefusedError(lacking, ResultType.NO_STARTTLS)
        self.writer.write(b"STARTTLS\r\n")
        reply = await self._reply(self.patience.command)
        if reply.code != 220:
            raise TlsRefusedError(self._told(reply)._replace(enhanced="4.7.4"), ResultType.NO_STARTTLS, str(reply.code))
        # RFC 3207 §6 and the command injection of 2011: nothing that came in clear may be taken as said under TLS
        if self.reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 — the only way to see it
            clear = Reply(0, "4.7.5", "the server went on in clear after STARTTLS", self.host)
            raise TlsRefusedError(clear, ResultType.VALIDATION, "clear-after-starttls")
        try:
            await self.writer.start_tls(
                context, server_hostname=server_name, ssl_handshake_timeout=self.patience.connect
            )
        except ssl.SSLCertVerificationError as error:
            shown = Reply(0, "4.7.5", f"certificate: {error.verify_message}"[:200], self.host)
            result = _RESULTS.get(error.verify_code, ResultType.NOT_TRUSTED)
            raise TlsRefusedError(shown, result, error.verify_message[:200]) from None
        except (ssl.SSLError, OSError, TimeoutError, ValueError) as error:  # ValueError: a name that TLS cannot say
            failed = Reply(0, "4.7.5", f"TLS handshake: {type(error).__name__}", self.host)
            raise TlsRefusedError(failed, ResultType.VALIDATION, "handshake") from None
        self.secured = True
        await self.hello(name)

    async def send(self, letter: Letter) -> list[Answer]:
        """Send a letter; one answer a recipient. Whatever goes wrong is an answer.

        Raises:
            NotInHandError: the letter is not ours any more; it was not sent to its end, and the connection is over.
        """
        refused = self.lacks(letter)
        if refused is not None:
            return [Answer(one.number, Verdict.REFUSED, refused) for one in letter.recipients]
        try:
            commands = self._commands(letter)
        except ValueError:
            odd = Reply(0, "5.5.4", "the envelope cannot be said in SMTP", self.host)
            return [Answer(one.number, Verdict.REFUSED, odd) for one in letter.recipients]
        self.letters += 1
        self.begun = False
        answers: dict[int, Answer] = {}
        try:
            await self._transaction(letter, commands, answers)
        except SessionError as error:
            self.usable = False
            reply = error.reply
            if self.begun and not reply.code:  # RFC 1047: the server may have it all the same
                reply = reply._replace(text=f"{reply.text}; whether it took the message is not known")
            for one in letter.recipients:
                if one.number not in answers:
                    answers[one.number] = Answer(one.number, Verdict.DEFERRED, reply)
        return [answers[one.number] for one in letter.recipients]

    def lacks(self, letter: Letter) -> Reply | None:
        """Say why this server cannot have this letter at all; another exchanger of the domain may."""
        size = self.extensions.get("SIZE", "")
        if size.isdecimal() and 0 < int(size) < len(letter.body):  # RFC 1870 §6.1
            return Reply(0, "5.3.4", f"the server takes {size} octets, the message has {len(letter.body)}", self.host)
        if needs_utf8(letter) and "SMTPUTF8" not in self.extensions:  # RFC 6531 §3.2
            return Reply(0, "5.6.7", "the server takes no internationalized addresses or headers", self.host)
        # RFC 6152 §3; what was declared so and is of seven bits only goes anywhere
        if letter.eight_bit and "8BITMIME" not in self.extensions and not letter.body.isascii():
            return Reply(0, "5.6.3", "the server takes seven bits only", self.host)
        if letter.require_tls and ("REQUIRETLS" not in self.extensions or not self.secured):  # RFC 8689 §4.2.1
            return Reply(0, "5.7.30", "REQUIRETLS is required, and the server does not support it", self.host)
        return None

    def _commands(self, letter: Letter) -> list[bytes]:
        has = self.extensions
        utf8 = needs_utf8(letter)
        mail = [b"MAIL FROM:<" + _path(letter.mail_from, utf8=utf8) + b">"]
        if "SIZE" in has:
            mail.append(b"SIZE=%d" % len(letter.body))
        if letter.eight_bit and "8BITMIME" in has:
            mail.append(b"BODY=8BITMIME")
        if utf8:
            mail.append(b"SMTPUTF8")
        if letter.require_tls:
            mail.append(b"REQUIRETLS")
        dsn = "DSN" in has  # RFC 3461 §4.4 and before: passed on to who knows them, §5.2.1
        if dsn and letter.ret:
            mail.append(b"RET=" + letter.ret.encode("ascii"))
        if dsn and letter.envid:
            mail.append(b"ENVID=" + encode_xtext(letter.envid))
        commands = [b" ".join(mail), *(_rcpt(one, dsn=dsn, utf8=utf8) for one in letter.recipients)]
        # An envelope is checked where it comes in; here the last place is where a line end would become a command (RFC 5321 §2.3.8).
        if any(_CONTROL.search(command) for command in commands):
            raise ValueError
        return commands

    async def _transaction(self, letter: Letter, commands: Sequence[bytes], answers: dict[int, Answer]) -> None:
        if "PIPELINING" not in self.extensions:
            await self._one_by_one(letter, commands, answers)
            return
        chunked = "CHUNKING" in self.extensions and len(letter.body) <= _ONE_WRITE
        bdat = b"BDAT %d LAST\r\n" % len(letter.body) + letter.body if chunked else b""
        # On a connection that may have been ended while it was idle, the message follows once the envelope is answered: so what
        # breaks before may be said again elsewhere, without the doubt whether the server has it (RFC 1047).
        few = len(letter.recipients) <= _UNREAD
        at_once = chunked and few and self.letters == 1
        self.begun = at_once
        if at_once:
            self._ask_once_more(letter)
        last = b"" if chunked else b"DATA\r\n"
        taken: list[LetterRecipient] = []
        mail: ServerReply | None = None
        for at in range(0, len(letter.recipients), _UNREAD):
            part = letter.recipients[at : at + _UNREAD]
            lines = [*commands[: 0 if at else 1], *commands[at + 1 : at + 1 + _UNREAD]]
            ending = bdat if at_once else last if at + _UNREAD >= len(letter.recipients) else b""
            self.writer.write(b"\r\n".join(lines) + b"\r\n" + ending)
            await self._flush(self.patience.block)
            mail = mail or await self._reply(self.patience.command)
            for one in part:
                reply = await self._reply(self.patience.command)
                if mail.code // 100 == 2 and reply.code // 100 == 2:
                    taken.append(one)
                else:
                    answers[one.number] = self._answer(one, reply if mail.code // 100 == 2 else mail)
        if chunked and not at_once:
            if not taken:
                await self._reset()
                return
            self.begun = True
            self._ask_once_more(letter)
            self.writer.write(bdat)
            await self._flush(self.patience.block)
        if chunked:
            self._finish(taken, await self._reply(self.patience.final), answers)
            if not taken:
                await self._reset()
            return
        reply = await self._reply(self.patience.data)
        await self._data(letter, taken, reply, answers)

    async def _one_by_one(self, letter: Letter, commands: Sequence[bytes], answers: dict[int, Answer]) -> None:
        self.writer.write(commands[0] + b"\r\n")
        mail = await self._reply(self.patience.command)
        taken = []
        for one, command in zip(letter.recipients, commands[1:], strict=True):
            if mail.code // 100 != 2:
                answers[one.number] = self._answer(one, mail)
                continue
            self.writer.write(command + b"\r\n")
            reply = await self._reply(self.patience.command)
            if reply.code // 100 == 2:
                taken.append(one)
            else:
                answers[one.number] = self._answer(one, reply)
        if not taken:
            await self._reset()
            return
        self.writer.write(b"DATA\r\n")
        await self._data(letter, taken, await self._reply(self.patience.data), answers)

    async def _data(
        self, letter: Letter, taken: Sequence[LetterRecipient], reply: ServerReply, answers: dict[int, Answer]
    ) -> None:
        if (
            reply.code // 100 in {2, 3} and reply.code != 354
        ):  # nothing was sent, so nothing was taken, whatever it says
            raise SessionError(Reply(0, "4.5.0", "the server answers DATA as if it were something else", self.host))
        if reply.code != 354:
            self._finish(taken, reply, answers)
            await self._reset()
            return
        if (
            not taken
        ):  # RFC 2920 §3.1: a server may say 354 with no recipient; it gets an empty message, which it refuses
            self.writer.write(b".\r\n")
            await self._reply(self.patience.final)
            return
        self.begun = True
        body = letter.body.replace(b"\r\n.", b"\r\n..")  # RFC 5321 §4.5.2
        if body.startswith(b"."):
            body = b"." + body
        body += b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
        for at in range(0, len(body), _PIECE):
            if at + _PIECE >= len(body):
                self._ask_once_more(letter)
            self.writer.write(body[at : at + _PIECE])
            await self._flush(self.patience.block)
        self._finish(taken, await self._reply(self.patience.final), answers)

    def _ask_once_more(self, letter: Letter) -> None:
        """End the connection rather than a letter that another process may be sending by now."""
        if not letter.current():
            self.abort()
            raise NotInHandError

    def _finish(self, taken: Sequence[LetterRecipient], reply: ServerReply, answers: dict[int, Answer]) -> None:
        for one in taken:
            answers[one.number] = self._answer(one, reply)

    def _answer(self, one: LetterRecipient, reply: ServerReply) -> Answer:
        if reply.code == 421:
            self.usable = False
        verdict = {2: Verdict.SENT, 5: Verdict.REFUSED}.get(reply.code // 100, Verdict.DEFERRED)
        return Answer(one.number, verdict, self._told(reply), "DSN" in self.extensions)

    async def _reset(self) -> None:
        self.writer.write(b"RSET\r\n")
        if (await self._reply(self.patience.command)).code != 250:
            self.usable = False

    def _told(self, reply: ServerReply) -> Reply:
        return Reply(reply.code, reply.status, reply.text, self.host)

    async def _flush(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.writer.drain()
        except (OSError, TimeoutError):
            raise SessionError(Reply(0, "4.4.2", "the connection broke while sending", self.host)) from None

    async def _reply(self, seconds: float) -> ServerReply:
        """Read a reply; a 421 ends the session (RFC 5321 §3.8)."""
        try:
            async with asyncio.timeout(seconds):
                return await read_reply(self.reader)
        except TimeoutError:
            raise SessionError(Reply(0, "4.4.2", "the server does not answer", self.host)) from None
        except (OSError, asyncio.IncompleteReadError):
            raise SessionError(Reply(0, "4.4.2", "the server ended the connection", self.host)) from None
        except (NotAReplyError, asyncio.LimitOverrunError):
            raise SessionError(Reply(0, "4.5.0", "what the server says is no reply of SMTP", self.host)) from None

    async def quit(self) -> None:
        """Say QUIT without waiting for the answer, and close."""
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.write(b"QUIT\r\n")
        self.usable = False
        self.writer.close()

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        self.writer.transport.abort()


def needs_utf8(letter: Letter) -> bool:
    """Whether a letter goes only to a server with SMTPUTF8: an address that has no ASCII form, or a header beyond ASCII."""
    if not all(_has_ascii_form(one) for one in (letter.mail_from, *(one.address for one in letter.recipients))):
        return True
    return letter.smtputf8 and not letter.body.partition(b"\r\n\r\n")[0].isascii()


def _has_ascii_form(address: str) -> bool:
    return address.isascii() or (address.rpartition("@")[0].isascii() and bool(destination_of(address)))


def _path(address: str, *, utf8: bool) -> bytes:
    if not utf8 and not address.isascii():
        address = f"{address.rpartition('@')[0]}@{destination_of(address)}"
    return address.encode()


def _rcpt(one: LetterRecipient, *, dsn: bool, utf8: bool) -> bytes:
    words = [b"RCPT TO:<" + _path(one.address, utf8=utf8) + b">"]
    if dsn and one.notify:
        words.append(b"NOTIFY=" + one.notify.encode("ascii"))
    if dsn and one.orcpt and one.orcpt.isascii():
        words.append(b"ORCPT=" + one.orcpt.encode("ascii"))
    return b" ".join(words)
