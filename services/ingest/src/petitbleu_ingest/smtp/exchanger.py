"""One SMTP session: the read loop, the replies, the end.

`MailExchanger` is an `aiosmtpd.smtp.SMTP` with a loop of its own (docs/adr/0003-own-smtp-loop.md): no task and no stream
reader, lines found in the buffer, all replies of one read in one write. What needs an answer from elsewhere stops the
loop (`wait`) until its future continues it (`proceed`). Commands are in `commands`, messages in `transfer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import struct
import termios
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from petitbleu_ingest import metrics
from petitbleu_ingest.errors import FAULT_WIRE, REFUSAL_WIRE, Refusal
from petitbleu_ingest.service.admission import Answer
from petitbleu_ingest.smtp import commands, modes, starttls, transfer
from petitbleu_ingest.smtp.door import Door
from petitbleu_ingest.smtp.proxy_protocol import ProxyError, parse_proxy_header
from petitbleu_ingest.smtp.reception import Reception
from petitbleu_ingest.smtp.transaction import MxSession, Transaction
from petitbleu_ingest.smtp.wire import Wire
from petitbleu_kit.logs import get_logger, security_logger
from petitbleu_mail.smtp_faults import Fault
from petitbleu_mail.smtp_grammar import MAX_AUTH_LINE

_log = get_logger(__name__)
_security = security_logger()
# Replies gathered before they are written, so that a flood of small commands cannot pile up answers
_MAX_REPLIES: Final = 64
# Time to read the last reply; a transport that is closed waits for ever for a peer that does not
_LAST_REPLY_SECONDS: Final = 30.0
_welcomed = metrics.sessions.labels("welcome")
_INT: Final = struct.pack("i", 0)


class MailExchanger(SMTP):
    """A session of the MX."""

    def __init__(self, door: Door) -> None:  # pylint: disable=super-init-not-called
        # SMTP.__init__ looks hooks up and makes a stream reader: a third of a millisecond a session, and none is used here
        self.door = door
        self.loop = door.loop
        self.hostname = door.hostname
        self.wire: Wire | None = None
        self.peer: asyncio.Transport | None = None
        self.mx = MxSession(door.loop)
        self.session = self.mx
        self.transaction: Transaction | None = None
        self.reception: Reception | None = None
        self.mode = modes.COMMAND
        self.chunk_left = 0
        self.chunk_last = False
        self.chunk_size = 0
        self.chunk_refusal: bytes = b""
        self.buffer = b""
        self.at = 0
        self.out: list[bytes] = []
        self.waiting = False
        self.closing = False
        self.ended = False
        self.delayed = False
        self.errors = 0
        self.junk = 0
        self.unknown = 0
        self.messages = 0
        self.held = 0
        self.unseen: bytes | None = None  # key of a message whose 250 the peer may not have seen
        self.deadline = math.inf
        self.expires = math.inf
        self._armed = False
        self._overlong = False
        self._eof = False
        self._pauses = 0
        self._ticket: object = None
        self._socket = -1

    # -- the connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, refuse, or wait for the proxy's word."""
        self.peer = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        sock = transport.get_extra_info("socket")
        self._socket = sock.fileno() if sock is not None else -1
        self.mx.peer = peername
        if self._ticket is None:
            self.mx.address = str(peername[0]) if peername else ""
        self.mx.cipher = starttls.cipher_of(transport)
        now = self.loop.time()
        self.expires = now + self.door.settings.smtp_session_seconds
        self.door.sessions.add(self)
        if self._ticket is not None:
            self.deadline = now + self.door.settings.smtp_command_seconds
            self._say_hello()
        elif self.door.is_proxy(self.mx.address):
            self.mode = modes.PROXY
            self.deadline = now + self.door.settings.proxy_seconds
        else:
            self._greet(now)

    def admitted(self, address: str, ticket: object) -> None:
        """Take note that a client was counted before its connection is made; `ticket` is given back when it is lost."""
        self.mx.address = address
        self._ticket = ticket

    def _greet(self, now: float) -> None:
        self.deadline = now + self.door.settings.smtp_command_seconds
        answer, self._ticket = self.door.admission.enter(self.mx.address, now)
        if answer is Answer.WELCOME:
            _welcomed.inc()
            self._say_hello()
            return
        metrics.sessions.labels(answer.value).inc()
        if self.door.settings.security_log_ips:
            _security.info("session refused", why=answer.value, ip=self.mx.address)
        self.end(Refusal.TOO_FAST if answer is Answer.TOO_FAST else Refusal.TOO_MANY_SESSIONS, answer.value)

    def _say_hello(self) -> None:
        self.out.append(self.door.greeting)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Free what the session held."""
        self.ended = True
        self.closing = True
        self.peer = None
        self.door.sessions.discard(self)
        self.door.admission.leave(self._ticket)
        self._ticket = None
        transfer.drop(self)
        if self.transaction is not None:
            self.transaction.end("dropped", 0)
            self.transaction = None
        self.buffer = b""
        _log.debug("session over", session=self.mx.id, messages=self.messages, broken=error is not None)

    def eof_received(self) -> bool | None:
        """Answer what came before the end, then close."""
        self._eof = True
        # the other half stays open for a reply that is on its way; TLS has no halves
        return self.waiting and self.mx.cipher is None

    def pause_writing(self) -> None:
        """Stop reading commands of a peer that does not read replies."""
        self.pause(modes.UNREAD)

    def resume_writing(self) -> None:
        """Go on."""
        self.resume(modes.UNREAD)
        self.turn()

    # -- reading -------------------------------------------------------------------------------------------------------

    def pause(self, why: int) -> None:
        """Read nothing until `resume` takes this reason back."""
        if not self._pauses and self.peer is not None:
            with contextlib.suppress(RuntimeError):
                self.peer.pause_reading()
        self._pauses |= why

    def resume(self, why: int) -> None:
        """Take a reason back; read again when it was the last."""
        if self._pauses & why:
            self._pauses &= ~why
            if not self._pauses and self.peer is not None and not self.ended:
                with contextlib.suppress(RuntimeError):
                    self.peer.resume_reading()
                if self.mode != modes.COMMAND:
                    self.deadline = self.loop.time() + self.door.settings.smtp_data_seconds

    def stop_reading(self) -> None:
        """Read nothing in clear any more: TLS is about to begin."""
        self.pause(modes.HANDSHAKE)

    def start_reading(self) -> None:
        """TLS has begun; its transport reads already."""
        self._pauses = 0

    def hold_reading(self) -> None:
        """The worker holds too many octets (`service.memory.Holder`)."""
        self.pause(modes.BUDGET)

    def release_reading(self) -> None:
        """There is room again."""
        self.resume(modes.BUDGET)

    def give_up_message(self) -> None:
        """Drop the message in transfer for want of memory."""
        transfer.give_up(self)

    def data_received(self, data: bytes) -> None:
        """Take octets from the peer."""
        if self.closing:
            return
        if self._armed:
            # the peer had not sent this before our 250 left, so it has seen it (RFC 1047)
            self._armed = False
            if self.unseen is not None:
                self.door.acceptance.mark(self.unseen)
                self.unseen = None
        if self.at < len(self.buffer):
            self.buffer = self.buffer[self.at :] + data
        else:
            self.buffer = data
        self.at = 0
        if self.waiting:
            self.pause(modes.WAITING)
            return
        self.turn()

    def turn(self) -> None:
        """Handle what is buffered as far as it goes, then write the replies."""
        out = self.out
        begun = self.mode
        start = self.at
        while not (self.waiting or self.closing or self._pauses & modes.UNREAD):
            if self.mode == modes.COMMAND:
                end = self.buffer.find(b"\n", self.at)
                if end < 0:
                    self._unfinished_line()
                    break
                line = self.buffer[self.at : end + 1]
                self.at = end + 1
                if self._overlong or len(line) > commands.MAX_COMMAND_LINE or line[-2:] != b"\r\n":
                    self._odd_line(line)
                else:
                    commands.handle(self, line[:-2])
                if len(out) >= _MAX_REPLIES:
                    self.flush()
            elif not self._take():
                break
        if not (self.waiting or self.closing):
            # RFC 5321 §4.5.3.2.7: the time is for a command, and half of one gives no more of it
            self._rest(renew=self.at > start or self.mode != begun or begun != modes.COMMAND)
        if self.out:
            self.flush()
        if self._eof and not self.waiting:
            self.close()

    def _take(self) -> bool:
        """Take the next piece of what is no command; whether there may be another."""
        if self.mode == modes.CHUNK:
            if self.chunk_left and self.at >= len(self.buffer):
                return False
            transfer.take_chunk(self)
            return True
        if self.at >= len(self.buffer):
            return False
        if self.mode == modes.DATA:
            transfer.take_data(self)
            return True
        return self._proxy()

    def _rest(self, *, renew: bool) -> None:
        """Nothing more can be handled: set the time limit for what comes next."""
        settings = self.door.settings
        if self.mode == modes.COMMAND:
            if renew or self.deadline == math.inf:
                self.deadline = self.loop.time() + settings.smtp_command_seconds
        elif self.mode != modes.PROXY:
            self.deadline = self.loop.time() + settings.smtp_data_seconds
        if self.at >= len(self.buffer):
            self.buffer = b""
            self.at = 0

    def _unfinished_line(self) -> None:
        if len(self.buffer) - self.at > MAX_AUTH_LINE:
            # RFC 5321 §4.5.3.1.4: no command is that long; it is refused once its end comes, and not kept till then
            self._overlong = True
            self.buffer = b""
            self.at = 0

    def _odd_line(self, line: bytes) -> None:
        """Handle a line that is long, or that ends with a bare LF."""
        limit = MAX_AUTH_LINE if self.mx.exchange is not None else commands.line_limit(line)
        if self._overlong or len(line) > limit:  # RFC 5321 §4.5.3.1.4
            self._overlong = False
            self.bad(FAULT_WIRE[Fault.LINE_TOO_LONG])
        elif not line.endswith(b"\r\n"):  # RFC 5321 §2.3.8
            self.refuse(Refusal.NOT_CRLF)
        else:
            commands.handle(self, line[:-2])

    def _proxy(self) -> bool:
        """Take the proxy's header; whether to go on."""
        try:
            header = parse_proxy_header(self.buffer[self.at :])
        except ProxyError:
            if self.door.settings.security_log_ips:
                _security.warning("no PROXY header", ip=self.mx.address)
            metrics.sessions.labels("no_proxy_header").inc()
            self.abort()
            return False
        if header is None:
            return False
        self.at += header.size
        self.mode = modes.COMMAND
        if header.source is not None:
            self.mx.address = header.source[0]
        self._greet(self.loop.time())
        return True

    # -- answering -----------------------------------------------------------------------------------------------------

    def reply(self, wire: bytes) -> None:
        """Queue a reply; there is none behind a 421."""
        if not self.closing:
            self.out.append(wire)

    def refuse(self, refusal: Refusal) -> None:
        """Queue a refusal that counts as the peer's error."""
        self.bad(REFUSAL_WIRE[refusal])

    def bad(self, wire: bytes) -> None:
        """Queue a reply to a bad command; after too many the session ends."""
        self.errors += 1
        metrics.refused_commands.inc()
        if self.errors >= self.door.settings.smtp_errors:
            self.out.append(wire)
            self.end(Refusal.TOO_MANY_ERRORS, "errors")
            return
        self.out.append(wire)

    def flush(self) -> None:
        """Write what is queued (RFC 2920 §3.2: all of it at once), and see whether a 250 in it can be known to be seen."""
        if self.peer is None or self.ended:
            self.out.clear()
            return
        if self.unseen is not None and not self._armed:
            self._armed = self.at >= len(self.buffer) and not self._in_kernel()
        out = self.out
        self.peer.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _in_kernel(self) -> bool:
        """Whether the socket holds octets that we have not read: the peer sent them before our reply."""
        try:
            return fcntl.ioctl(self._socket, termios.FIONREAD, _INT) != _INT
        except (OSError, ValueError):
            return False  # not a socket: there is nothing behind what was read

    def wait(self) -> None:
        """Handle nothing more until `proceed`: a command's answer must come from elsewhere."""
        self.waiting = True
        self.deadline = math.inf

    def proceed(self) -> None:
        """Go on after `wait`."""
        self.waiting = False
        if self.ended:
            return
        self.turn()
        self.resume(modes.WAITING)

    # -- ending --------------------------------------------------------------------------------------------------------

    def end(self, refusal: Refusal, why: str) -> None:
        """Say 421 and close (RFC 5321 §3.8)."""
        metrics.sessions_ended.labels(why).inc()
        reply = refusal.value
        self.out.append(f"421 {reply.status} {self.hostname} {reply.text}\r\n".encode())
        self.close()

    def close(self) -> None:
        """Write what is queued and close."""
        if self.closing:
            return
        if self.out:
            self.flush()
        self.closing = True
        self.deadline = self.loop.time() + _LAST_REPLY_SECONDS
        if self.peer is not None:
            self.peer.close()

    def abort(self) -> None:
        """Close at once, saying nothing."""
        self.closing = True
        if self.peer is not None:
            self.peer.abort()

    def expire(self, now: float) -> None:
        """Look at the time limits (RFC 5321 §4.5.3.2)."""
        if self.closing:
            if now >= self.deadline and not self.ended:
                self.abort()
        elif self.waiting:
            return
        elif now >= self.expires:
            self.end(Refusal.SESSION_TOO_LONG, "session_time")
        elif now >= self.deadline:
            if self.mode == modes.PROXY or self._pauses & modes.UNREAD:
                self.abort()
            elif not self._pauses & (modes.BUDGET | modes.UPLOAD):
                self.end(Refusal.TIMEOUT, "timeout")

    def drain(self) -> None:
        """The service stops: a session outside of a transfer ends now, another after its message."""
        if not self.closing and not self.waiting and self.mode == modes.COMMAND and self.reception is None:
            self.end(Refusal.SHUTTING_DOWN, "drain")

    def __del__(self) -> None:
        """Nothing: the base class looks at a stream that this one has not."""
