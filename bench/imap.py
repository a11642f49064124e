"""An IMAP client that costs little: enough of RFC 9051 to measure a server by."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from typing import Final

_LITERAL: Final = re.compile(rb"\{(\d+)\}\r\n$")
_APPENDED_AT_ONCE: Final = 500


class Imap:
    """One session, logged in, its inbox selected.

    Raises:
        RuntimeError: whatever the server refuses.
    """

    def __init__(self, port: int, login: str, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", 1 << 16)
        self._number = 0
        self._file.readline()  # the greeting
        self.say(f'LOGIN "{login}" "{password}"')
        self.select()

    def say(self, command: str) -> list[bytes]:
        """Send a command; return its untagged responses, each with its literals in it (RFC 9051 §4.3)."""
        self._send(command.encode() + b"\r\n")
        return self._answer(command)

    def _send(self, octets: bytes) -> None:
        self._number += 1
        self._socket.sendall(b"a%d " % self._number + octets)

    def _answer(self, command: str) -> list[bytes]:
        tag = b"a%d " % self._number
        found = []
        while not (line := self._response()).startswith(tag):
            found.append(line)
        if not line.startswith(tag + b"OK"):
            raise RuntimeError(f"{command.split(maxsplit=1)[0]}: {line!r}")
        return found

    def _response(self) -> bytes:
        whole = b""
        while True:
            line = self._file.readline()
            if not line:
                raise RuntimeError("the connection was closed")
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                return whole
            whole += self._file.read(int(literal[1]))

    def select(self) -> int:
        """SELECT INBOX; return its EXISTS."""
        return next(int(line.split()[1]) for line in self.say("SELECT INBOX") if line.rstrip().endswith(b"EXISTS"))

    def append(self, mails: Sequence[bytes]) -> None:
        """Add mails to the inbox, many a command (MULTIAPPEND, RFC 3502; LITERAL+, RFC 7888)."""
        for at in range(0, len(mails), _APPENDED_AT_ONCE):
            batch = mails[at : at + _APPENDED_AT_ONCE]
            self._send(b"APPEND INBOX" + b"".join([b" {%d+}\r\n%b" % (len(mail), mail) for mail in batch]) + b"\r\n")
            self._answer("APPEND")

    def fetch(self, command: str) -> tuple[float, float, int]:
        """Read one large literal: seconds until its first and its last octet, and its octets."""
        began = time.perf_counter()
        self._send(command.encode() + b"\r\n")
        literal = _LITERAL.search(self._file.readline())
        if literal is None:
            raise RuntimeError(f"{command}: no literal")
        size = int(literal[1])
        left = size - len(self._file.read(1))
        first = time.perf_counter() - began
        while left:
            left -= len(self._file.read(min(left, 1 << 18)))
        last = time.perf_counter() - began
        self._file.readline()
        self._answer(command)
        return first, last, size

    def close(self) -> None:
        """Hang up."""
        self.say("LOGOUT")
        self._socket.close()
