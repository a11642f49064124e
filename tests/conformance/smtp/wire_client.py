"""A client that says what it is told, octet by octet, and reads replies strictly (RFC 5321 §4.2)."""

from __future__ import annotations

import itertools
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Self

_numbers = itertools.count(1)
_LINE = re.compile(rb"([2-5][0-9]{2})([ -])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3}) )?([^\r\n]*)\r\n")


@dataclass(frozen=True)
class Reply:
    """One reply; `status` is the enhanced status code of its last line, empty when there is none."""

    code: int
    status: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class HungUpError(Exception):
    """The server closed the connection."""


class Client:
    """One connection."""

    def __init__(self, port: int, *, greet: bool = True, seconds: float = 20) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.buffer = b""
        if greet:
            self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                raise HungUpError
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def reply(self) -> Reply:
        lines: list[str] = []
        while True:
            raw = self._line()
            found = _LINE.fullmatch(raw)
            assert found, f"not a reply line: {raw!r}"
            assert len(raw) <= 512, "RFC 5321 §4.5.3.1.5: a reply line holds at most 512 octets"
            lines.append(found[4].decode())
            if found[2] == b" ":
                return Reply(int(found[1]), (found[3] or b"").decode(), tuple(lines))

    def cmd(self, line: bytes | str) -> Reply:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def hello(self, name: str = "client.example") -> Reply:
        return self.cmd(f"EHLO {name}")

    def begin(self, *recipients: str, sender: str | None = None, parameters: str = "") -> None:
        """EHLO, MAIL and RCPT, all accepted."""
        assert self.hello().code == 250
        self.envelope(*recipients, sender=sender, parameters=parameters)

    def envelope(self, *recipients: str, sender: str | None = None, parameters: str = "") -> None:
        # an envelope of its own: an identical message whose 250 nobody was seen to read counts as a repeat (RFC 1047)
        given = f"a{next(_numbers)}@b.example" if sender is None else sender
        answer = self.cmd(f"MAIL FROM:<{given}>{parameters}")
        assert answer.code == 250, answer
        for one in recipients or ("alice@demo.test",):
            answer = self.cmd(f"RCPT TO:<{one}>")
            assert answer.code == 250, answer

    def data(self, wire: bytes) -> Reply:
        """DATA and its octets as they are, the final dot included by the caller."""
        answer = self.cmd("DATA")
        assert answer.code == 354, answer
        self.send(wire)
        return self.reply()

    def starttls(self) -> Reply:
        answer = self.cmd("STARTTLS")
        if answer.code == 220:
            self.handshake()
        return answer

    def handshake(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="mx.demo.test")

    def peer_certificate(self) -> bytes:
        assert isinstance(self.socket, ssl.SSLSocket)
        certificate = self.socket.getpeercert(binary_form=True)
        assert certificate
        return certificate

    def closed(self) -> bool:
        """Whether the server closes the connection now."""
        try:
            self._line()
        except HungUpError:
            return True
        return False
