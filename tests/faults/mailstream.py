"""A stream of mail with known ids, and the reckoning: what was acknowledged must be there exactly once, byte for byte."""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Fate(Enum):
    """What the sender knows of a mail."""

    UNSENT = auto()
    """The final dot never left in any try: it must not be there."""
    UNKNOWN = auto()
    """The final dot left and no 250 came in any try: it may be there, at most once."""
    ACKNOWLEDGED = auto()
    """A 250 came: it must be there, exactly once."""


@dataclass
class Mail:
    """One mail as sent."""

    key: str
    body: bytes
    fate: Fate = Fate.UNSENT


def compose(key: str, chooser: random.Random, recipient: str) -> bytes:
    """Return a mail with a unique id and a body of random length and bytes that SMTP must carry unchanged."""
    lines = [
        b"From: Stream <stream@sender.example>",
        b"To: " + recipient.encode(),
        b"Subject: fault " + key.encode(),
        b"Message-ID: <" + key.encode() + b"@sender.example>",
        b"X-Fault-Id: " + key.encode(),
        b"",
    ]
    octets = chooser.choice((200, 2_000, 9_000, 40_000, 300_000)) if chooser.random() < 0.5 else 3_000
    while octets > 0:
        line = base64.b85encode(chooser.randbytes(chooser.randrange(1, 60)))
        if chooser.random() < 0.05:
            line = b"." + line
        lines.append(line)
        octets -= len(line) + 2
    return b"\r\n".join(lines) + b"\r\n"


class _Dialogue:
    """One SMTP connection that knows whether the final dot has left."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(30)
        self._file = self._socket.makefile("rb")
        try:
            self._answer()
            self._say(b"EHLO sender.example\r\n")
        except BaseException:
            self.close()
            raise

    def _answer(self) -> int:
        while True:
            line = self._file.readline()
            if len(line) < 4:
                raise ConnectionError("hung up")
            if line[3:4] != b"-":
                return int(line[:3])

    def _say(self, octets: bytes) -> int:
        self._socket.sendall(octets)
        return self._answer()

    def send(self, mail: Mail, recipient: str) -> None:
        for line in ("MAIL FROM:<stream@sender.example>", f"RCPT TO:<{recipient}>", "DATA"):
            code = self._say(line.encode() + b"\r\n")
            if code >= 400:
                self._say(b"RSET\r\n")
                return
        stuffed = mail.body.replace(b"\r\n.", b"\r\n..")
        self._socket.sendall(stuffed)
        mail.fate = Fate.UNKNOWN  # and it stays so, whatever later tries bring, until a 250
        if self._say(b".\r\n") == 250:
            mail.fate = Fate.ACKNOWLEDGED

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class MailStream:
    """Sends mail from several connections until stopped, as a mail server would: what got no 250 is sent again, unchanged.

    Args:
        port: SMTP port on 127.0.0.1.
        recipient: The one recipient.
        seed: Makes the mail.
        senders: Connections at once.
    """

    def __init__(self, port: int, recipient: str, seed: int, senders: int = 4, pause: float = 0.02) -> None:
        self._port = port
        self._recipient = recipient
        self._seed = seed
        self._pause = pause
        self._stop = threading.Event()
        self.mails: list[Mail] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(senders)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def acknowledged(self) -> int:
        return sum(mail.fate is Fate.ACKNOWLEDGED for mail in self.mails)

    def wait_flowing(self, more: int = 8, seconds: float = 120) -> None:
        """Wait until the stream has got some more acknowledgements."""
        wanted = self.acknowledged() + more
        deadline = time.monotonic() + seconds
        while self.acknowledged() < wanted:
            assert time.monotonic() < deadline, f"no acknowledgement within {seconds} s"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop; then nobody sends any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _run(self, number: int) -> None:
        chooser = random.Random(f"{self._seed}-{number}")
        dialogue: _Dialogue | None = None
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"{self._seed:x}-{number}-{count}"
            mail = Mail(key, compose(key, chooser, self._recipient))
            self.mails.append(mail)
            # One in four of what got no answer is never repeated: those are counted apart.
            tries = 1 if chooser.random() < 0.25 else 200
            while tries and not self._stop.is_set():
                tries -= 1
                try:
                    dialogue = dialogue or _Dialogue(self._port)
                    dialogue.send(mail, self._recipient)
                except (OSError, ValueError):
                    if dialogue is not None:
                        dialogue.close()
                    dialogue = None
                if mail.fate is Fate.ACKNOWLEDGED:
                    break
                time.sleep(0.1)
            time.sleep(self._pause)
        if dialogue is not None:
            dialogue.close()


@dataclass
class Reckoning:
    """What was found after the fault."""

    acknowledged: int = 0
    unknown_present: int = 0
    unknown_absent: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.strangers)


class Reader:
    """Reads a whole account by JMAP."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self._port = port
        token = base64.b64encode(f"{login}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        session = json.loads(self._get("/.well-known/jmap"))
        self._account = next(iter(session["accounts"]))
        self._api = "/" + session["apiUrl"].split("/", 3)[3]
        self._download = "/" + session["downloadUrl"].split("/", 3)[3]

    def close(self) -> None:
        self._connection.close()

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        for _ in range(5):
            try:
                self._connection.request(method, path, body, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
                time.sleep(0.3)
                continue
            if answer.status in {301, 302, 307, 308}:
                path = answer.headers["Location"]
                continue
            if answer.status in {429, 503}:
                time.sleep(0.5)
                continue
            assert answer.status == 200, f"{method} {path}: {answer.status} {text[:200]!r}"
            return text
        raise ConnectionError(f"no answer to {method} {path}")

    def _get(self, path: str) -> bytes:
        return self._request("GET", path)

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        body = {
            "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
            "methodCalls": [[name, {"accountId": self._account, **arguments}, "0"]],
        }
        answer = json.loads(self._request("POST", self._api, json.dumps(body).encode()))["methodResponses"][0]
        assert answer[0] == name, answer
        result: dict[str, Any] = answer[1]
        return result

    def ids(self) -> list[str]:
        found: list[str] = []
        while True:
            page = self.call(
                "Email/query", {"position": len(found), "limit": 250, "sort": [{"property": "receivedAt"}]}
            )
            found += page["ids"]
            if not page["ids"]:
                return found

    def messages(self) -> dict[str, bytes]:
        """Octets as served of every message, by id."""
        result: dict[str, bytes] = {}
        wanted = self.ids()
        for start in range(0, len(wanted), 200):
            rows = self.call("Email/get", {"ids": wanted[start : start + 200], "properties": ["id", "blobId"]})["list"]
            for row in rows:
                path = (
                    self._download.replace("{accountId}", self._account)
                    .replace("{blobId}", row["blobId"])
                    .replace("{name}", "m.eml")
                    .replace("{type}", "message/rfc822")
                )
                result[row["id"]] = self._get(path)
        return result


def read_all(port: int, login: str, password: str) -> dict[str, bytes]:
    """Octets as served of every message of an account, by id."""
    reader = Reader(port, login, password)
    try:
        return reader.messages()
    finally:
        reader.close()


def reckon(mails: list[Mail], served: dict[str, bytes]) -> Reckoning:
    """Hold what was sent against what is there."""
    result = Reckoning()
    by_key = {mail.key: mail for mail in mails}
    seen: Counter[str] = Counter()
    for octets in served.values():
        marker = octets.find(b"\r\nX-Fault-Id: ")
        key = octets[marker + 14 : octets.find(b"\r\n", marker + 14)].decode("ascii", "replace") if marker >= 0 else "?"
        mail = by_key.get(key)
        if mail is None:
            result.strangers.append(key)
            continue
        seen[key] += 1
        if not octets.endswith(b"\r\n" + mail.body):  # our trace lines come first
            result.altered.append(key)
    for mail in mails:
        count = seen[mail.key]
        if count > 1:
            result.doubled.append(mail.key)
        if mail.fate is Fate.ACKNOWLEDGED:
            result.acknowledged += 1
            if not count:
                result.lost.append(mail.key)
        elif mail.fate is Fate.UNKNOWN:
            result.unknown_present += count > 0
            result.unknown_absent += count == 0
        elif count:
            result.strangers.append(mail.key)
    return result
