"""A server of others that keeps what it is given, and answers as a test wants."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.ports import free_port


@dataclass
class Taken:
    """One message that was taken."""

    mail_from: str
    recipients: list[str]
    content: bytes
    mail_options: list[str]
    rcpt_options: list[list[str]]
    tls: bool

    @property
    def token(self) -> str:
        """The value of its Subject."""
        for line in self.content.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
            if line.lower().startswith(b"subject:"):
                return line[8:].strip().decode()
        return ""


@dataclass
class Sink:
    """A server on the loopback; `answers` gives the reply for a recipient (by local part), `final` that for a subject."""

    answers: dict[str, str] = field(default_factory=dict)
    final: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    sessions: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        sink = self

        class Server(SMTP):
            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                sink.sessions += 1

        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=True)
        self._controller.factory = lambda: Server(self, enable_SMTPUTF8=True, data_size_limit=60 << 20)  # type: ignore[method-assign]
        self._controller.start()

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT."""
        local = address.partition("@")[0]
        self.tried[local] += 1
        answer = self.answers.get(local, "250 2.1.5 fine")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.append(options)  # type: ignore[arg-type]
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the message, or refuse it."""
        content = envelope.original_content or b""
        one = Taken(
            envelope.mail_from or "", list(envelope.rcpt_tos), content, list(envelope.mail_options),
            [list(options) for options in envelope.rcpt_options], session.ssl is not None,
        )  # fmt: skip
        answer = self.final.get(one.token, "250 2.0.0 taken")
        if answer.startswith("2"):
            with self._lock:
                self.taken.append(one)
        return answer

    def by_token(self, token: str) -> list[Taken]:
        """What came with this subject."""
        with self._lock:
            return [one for one in self.taken if one.token == token]

    def stop(self) -> None:
        """End."""
        self._controller.stop()
