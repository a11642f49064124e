"""Load, and the eyes that see a mail arrive: smtp-source, a lone sender, JMAP and IMAP counters."""

from __future__ import annotations

import base64
import json
import multiprocessing
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Eyes(Protocol):
    """Counts the messages that a client of one account can see."""

    def count(self) -> int:
        """Return the number of messages in the inbox."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


# A connection that sat idle may be closed by its server at any time (RFC 9112 §9.3.1): what only reads is asked anew.
_TRIES = 5
_RETRY_SECONDS = 0.2
_REDIRECTS = 3


class Http:
    """One kept HTTP connection and no more than it takes to ask a JMAP server (RFC 9112): what the eyes themselves cost is in all times.

    Python's own client parses an answer's header as that of a mail, which takes 0.3 ms of a look at a mailbox.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a whole request; return status, header fields (names in lower case) and body.

        Raises:
            OSError: the connection was closed, or the answer is none that this reads; the next request opens another.
        """
        try:
            return self._ask(request)
        except (OSError, ValueError, KeyError) as error:
            self.close()
            raise ConnectionError(repr(error)) from error

    def _ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), 60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        first, *lines = data[:end].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        whole = end + 4 + int(fields[b"content-length"])
        while len(data) < whole:
            data += self._more()
        return int(first.split(b" ")[1]), fields, data[end + 4 :]

    def _more(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("closed")
        return piece

    def read_long(self, request: bytes) -> tuple[float, float, int]:
        """Send a request for something large: seconds until the first and the last octet of its body, and its octets."""
        self.close()
        began = time.perf_counter()
        self._socket = socket.create_connection(("127.0.0.1", self._port), 60)
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) == end + 4:
            data += self._more()
        first = time.perf_counter() - began
        if not data.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(repr(data[:200]))
        octets = len(data) - end - 4
        while piece := self._socket.recv(1 << 18):
            octets += len(piece)
        self.close()
        return first, time.perf_counter() - began, octets

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class JmapEyes:
    """Sees by JMAP `Mailbox/get`, over one kept HTTP connection."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self._http = Http(port)
        token = base64.b64encode(f"{login}:{password}".encode()).decode()
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Basic {token}\r\nContent-Type: application/json\r\n"
        session = self._request("GET", "/.well-known/jmap")
        self.account = next(iter(session["accounts"]))
        self._path = "/" + session["apiUrl"].split("/", 3)[3]
        boxes = self.call([["Mailbox/get", {"accountId": self.account, "ids": None}, "0"]])[0][1]["list"]
        self.inbox = next(box["id"] for box in boxes if box["role"] == "inbox")

    def _request(self, method: str, path: str, body: bytes = b"") -> Any:
        for _ in range(_REDIRECTS):
            status, fields, text = self._answer(method, path, body)
            if status in {301, 302, 307, 308}:
                path = fields[b"location"].decode()
                continue
            if status != 200:
                raise RuntimeError(f"{method} {path}: HTTP {status}: {text[:200]!r}")
            return json.loads(text)
        raise RuntimeError(f"{method} {path}: more than {_REDIRECTS} redirects")

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        request = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for attempt in range(_TRIES):
            try:
                return self._http.ask(request)
            except OSError as error:
                if attempt == _TRIES - 1:
                    raise RuntimeError(f"{method} {path}: failed {_TRIES} times: {error!r}") from error
                if attempt:  # the first may just have been idle for too long
                    time.sleep(_RETRY_SECONDS)
        raise AssertionError

    def call(self, calls: list[Any]) -> Any:
        """Return the method responses of one JMAP request.

        Raises:
            RuntimeError: when a method failed.
        """
        body = {"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"], "methodCalls": calls}
        responses = self._request("POST", self._path, json.dumps(body).encode())["methodResponses"]
        failed = [response for response in responses if response[0] == "error"]
        if failed:
            raise RuntimeError(f"JMAP: {failed}")
        return responses

    def count(self) -> int:
        """Return the inbox's totalEmails."""
        request = {"accountId": self.account, "ids": [self.inbox], "properties": ["totalEmails"]}
        return int(self.call([["Mailbox/get", request, "0"]])[0][1]["list"][0]["totalEmails"])

    def list_fifty(self) -> int:
        """Read the newest 50 of the inbox as a client's list does; return how many came."""
        query = {
            "accountId": self.account, "filter": {"inMailbox": self.inbox}, "limit": 50,
            "sort": [{"property": "receivedAt", "isAscending": False}],
        }  # fmt: skip
        get = {
            "accountId": self.account, "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
            "properties": ["id", "threadId", "mailboxIds", "keywords", "from", "to", "subject", "receivedAt", "size",
                           "preview", "hasAttachment"],
        }  # fmt: skip
        return len(self.call([["Email/query", query, "0"], ["Email/get", get, "1"]])[1][1]["list"])

    def fetch(self, path: str) -> tuple[float, float, int]:
        """Read something large over a connection of its own: seconds to the first and the last octet, and octets."""
        return self._http.read_long(f"GET {path} HTTP/1.1\r\n{self._head}Connection: close\r\n\r\n".encode())

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class ImapEyes:
    """Sees by IMAP `NOOP` in the selected inbox, as lean as the other eyes."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._exists = 0
        self._number = 0
        self._file.readline()  # the greeting
        self._say(f'LOGIN "{login}" "{password}"')
        self._say("SELECT INBOX")

    def _say(self, command: str) -> None:
        """Send a command, take note of each EXISTS (RFC 9051 §7.4.1), and wait for its tagged OK."""
        self._number += 1
        tag = b"a%d " % self._number
        self._socket.sendall(tag + command.encode() + b"\r\n")
        while not (line := self._file.readline()).startswith(tag):
            if not line:
                raise RuntimeError(f"{command}: the connection was closed")
            words = line.split()
            if words[2:] == [b"EXISTS"]:
                self._exists = int(words[1])
        if not line.startswith(tag + b"OK"):
            raise RuntimeError(f"{command.split(maxsplit=1)[0]}: {line!r}")

    def count(self) -> int:
        """Return the newest EXISTS."""
        self._say("NOOP")
        return self._exists

    def close(self) -> None:
        """Hang up."""
        self._say("LOGOUT")
        self._socket.close()


@dataclass(frozen=True)
class Load:
    """One cell of the benchmark."""

    octets: int
    sessions: int
    kept: bool

    @property
    def name(self) -> str:
        """How the table calls it."""
        return f"{self.octets // 1024} KiB, {self.sessions} session{'s' * (self.sessions > 1)}, {'kept' if self.kept else 'one mail a connection'}"


def smtp_source(port: int, recipient: str, load: Load, count: int) -> None:
    """Send `count` mails by Postfix's smtp-source.

    Raises:
        RuntimeError: when it reports a failure: a benchmark with lost mail measures nothing.
    """
    command = ["/usr/sbin/smtp-source", "-s", str(load.sessions), "-m", str(count), "-l", str(load.octets),
               "-f", "bench@sender.example", "-t", recipient, f"127.0.0.1:{port}"]  # fmt: skip
    if load.kept:
        command.insert(1, "-d")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode or "fatal" in done.stderr or "error" in done.stderr.lower():
        raise RuntimeError(f"smtp-source: {done.stderr[-500:]}")


def wait_for(eyes: Eyes, wanted: int, stalled_seconds: float = 120, pause: float = 0.05) -> None:
    """Poll until so many messages are visible.

    Raises:
        RuntimeError: when no more became visible for so long, or there are more than were sent.
    """
    best = -1
    deadline = time.monotonic() + stalled_seconds
    while (seen := eyes.count()) < wanted:
        if seen > best:
            best = seen
            deadline = time.monotonic() + stalled_seconds
        elif time.monotonic() > deadline:
            raise RuntimeError(f"{seen} of {wanted} visible, and no more for {stalled_seconds:.0f} s")
        time.sleep(pause)
    if seen > wanted:
        raise RuntimeError(f"{seen} visible, but only {wanted} were sent")


def message(number: int, octets: int, recipient: str) -> bytes:
    """One plain mail of about so many octets, unlike any other."""
    head = (
        f"From: Bench <bench@sender.example>\r\nTo: {recipient}\r\nSubject: Message {number}\r\n"
        f"Date: Sun, 22 Nov 2026 09:{number // 60 % 60:02}:{number % 60:02} +0000\r\n"
        f"Message-ID: <{number}.{time.time_ns()}@sender.example>\r\n\r\n"
    ).encode()
    line = b"The quick brown fox of line %06d jumps over the lazy dog once more.\r\n"
    lines = [line % index for index in range(max(1, (octets - len(head)) // len(line % 0)))]
    return head + b"".join(lines)


class Sender:
    """A plain blocking SMTP client over one connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._expect(b"220")
        self._say(b"EHLO sender.example\r\n", b"250")

    def _expect(self, code: bytes) -> None:
        while True:
            line = self._file.readline()
            if not line.startswith(code):
                raise RuntimeError(f"unexpected answer {line!r}")
            if line[3:4] != b"-":
                return

    def _say(self, line: bytes, code: bytes) -> None:
        self._socket.sendall(line)
        self._expect(code)

    def send(self, recipient: str, body: bytes) -> float:
        """Send one mail; return the seconds from the last octet to its 250."""
        self._say(b"MAIL FROM:<bench@sender.example>\r\n", b"250")
        self._say(f"RCPT TO:<{recipient}>\r\n".encode(), b"250")
        self._say(b"DATA\r\n", b"354")
        self._socket.sendall(body)
        started = time.perf_counter()
        self._say(b".\r\n", b"250")
        return time.perf_counter() - started

    def close(self) -> None:
        """QUIT."""
        self._say(b"QUIT\r\n", b"221")
        self._socket.close()


def _send_many(port: int, recipients: Sequence[str], octets: int, first: int) -> None:
    sender = Sender(port)
    for index, recipient in enumerate(recipients):
        sender.send(recipient, message(first + index, octets, recipient))
    sender.close()


def _send_some(port: int, recipient: str, make: Callable[[int, str], bytes], numbers: Sequence[int]) -> None:
    sender = Sender(port)
    for number in numbers:
        sender.send(recipient, make(number, recipient))
    sender.close()


def send_made(
    port: int, recipient: str, make: Callable[[int, str], bytes], numbers: Sequence[int], sessions: int = 20
) -> None:
    """Send the mails of some numbers to one recipient, over kept connections of a process of our own."""
    side_by_side_apart(
        _send_some, [(port, recipient, make, part) for index in range(sessions) if (part := numbers[index::sessions])]
    )


def send_spread(port: int, recipients: Sequence[str], octets: int, sessions: int = 20) -> None:
    """Send one mail to each recipient over kept connections of a process of our own, which is not measured."""
    side_by_side_apart(
        _send_many,
        [(port, recipients[index::sessions], octets, index * 1_000_000) for index in range(sessions)],
    )


def side_by_side_apart(work: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Do tasks side by side in one child, which is not measured."""
    context = multiprocessing.get_context("fork")
    # Threads in one child: the sender waits most of the time, and costs the same for every size of directory.
    process = context.Process(target=_side_by_side, args=(work, tasks))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the sender failed")


def _side_by_side(work: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 — only the child needs it

    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(work, *task) for task in tasks]:
            future.result()
