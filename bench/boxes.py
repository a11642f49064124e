"""What a mail client does all day, beside Dovecot's IMAP doing the same: list, flag, count, search, open a large attachment.

Both sides hold the same mails, made by `mails`. The sides take turns, round by round; a cost is the CPU of all processes of a
side (PostgreSQL and all other backends included) for one action, and the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import base64
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import growth
import processes
from imap import Imap
from load import JmapEyes, send_made, wait_for
from mailpath import percentile
from ours import PASSWORD, Ours
from peers import PASSWORD as PEER_PASSWORD
from peers import Peer

FIFTY: Final = 50
ATTACHMENT_OCTETS: Final = 20_000_000
RARE: Final = "quetzalcoatl"
"""A word that stands in one mail of 500."""
_RARE_EACH: Final = 500
_SYLLABLES: Final = (
    "ba",
    "co",
    "di",
    "fe",
    "gu",
    "la",
    "mi",
    "no",
    "per",
    "qui",
    "ra",
    "sol",
    "tan",
    "vel",
    "zor",
    "en",
)
_AT_ONCE: Final = 10_000
# Vacuum looks for what is new twice a minute; statistics of what was just loaded are part of a mailbox at rest.
_VACUUM_SECONDS: Final = 35


def vocabulary(count: int = 4096) -> list[str]:
    """Return so many words, none of which begins with another that a search would also find."""
    found = []
    for number in range(count):
        first, rest = divmod(number, 256)
        second, third = divmod(rest, 16)
        found.append(_SYLLABLES[first] + _SYLLABLES[second] + _SYLLABLES[third] + "ex")
    return found


_WORDS: Final = vocabulary()
# As in any language: few words are frequent, most are rare (Zipf's law).
_WEIGHTS: Final = [1 / (rank + 10) for rank in range(len(_WORDS))]


def mail(number: int, recipient: str) -> bytes:
    """Return the mail of a number: some 1.2 KiB, the same on every call."""
    chooser = random.Random(number)
    words = chooser.choices(_WORDS, _WEIGHTS, k=128)
    if number % _RARE_EACH == 0:
        words[64] = RARE
    lines = [" ".join(words[at : at + 8]) for at in range(8, len(words), 8)]
    second, minute = number % 60, number // 60 % 60
    return (
        f"From: {words[0].title()} {words[1].title()} <{words[0]}@sender.example>\r\nTo: {recipient}\r\n"
        f"Subject: {' '.join(words[2:8])}\r\nDate: Sun, 22 Nov 2026 09:{minute:02}:{second:02} +0000\r\n"
        f"Message-ID: <{number}@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        + "\r\n".join(lines) + "\r\n"
    ).encode()  # fmt: skip


def large_mail(recipient: str) -> bytes:
    """Return a mail with an attachment of 20 MB."""
    data = base64.encodebytes(random.Random(1).randbytes(ATTACHMENT_OCTETS)).replace(b"\n", b"\r\n")
    head = (
        f"From: Bench <bench@sender.example>\r\nTo: {recipient}\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee attachment\r\n--b\r\n'
        "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=data.bin\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    return head + data + b"--b--\r\n"


class Client(Protocol):
    """One person's client, of either side."""

    def list_fifty(self) -> int:
        """List the newest 50; return how many came."""
        ...

    def flag_fifty(self) -> int:
        """Turn a flag of the newest 50 over; return how many were changed."""
        ...

    def counts(self) -> int:
        """Ask for the inbox's counts; return its messages."""
        ...

    def search(self, word: str) -> int:
        """Return how many messages have a word (ours: of the first 50)."""
        ...

    def attachment(self) -> tuple[float, float, int]:
        """Open the large attachment: seconds to its first and its last octet, and octets."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class JmapClient(JmapEyes):
    """Ours, by JMAP."""

    def __init__(self, port: int, login: str, password: str) -> None:
        super().__init__(port, login, password)
        self._flagged = False
        self._ids: list[str] = []
        self._blob = ""

    def _newest(self, **more: Any) -> list[str]:
        query = {
            "accountId": self.account, "limit": FIFTY, "sort": [{"property": "receivedAt", "isAscending": False}],
            "filter": {"inMailbox": self.inbox}, **more,
        }  # fmt: skip
        return list(self.call([["Email/query", query, "0"]])[0][1]["ids"])

    def flag_fifty(self) -> int:
        """`Email/set` of 50; the ids are known already, as they are to a client that shows them."""
        if not self._ids:
            self._ids = self._newest()
        self._flagged = not self._flagged
        patch = {"keywords/$flagged": True if self._flagged else None}
        changed = self.call(
            [["Email/set", {"accountId": self.account, "update": dict.fromkeys(self._ids, patch)}, "0"]]
        )
        return len(changed[0][1]["updated"])

    def counts(self) -> int:
        """`Mailbox/get`."""
        boxes = self.call([["Mailbox/get", {"accountId": self.account, "ids": None}, "0"]])[0][1]["list"]
        return next(int(box["totalEmails"]) for box in boxes if box["id"] == self.inbox)

    def search(self, word: str) -> int:
        """`Email/query` with `text`."""
        query = {"accountId": self.account, "limit": FIFTY, "filter": {"inMailbox": self.inbox, "text": word}}
        return len(self.call([["Email/query", query, "0"]])[0][1]["ids"])

    def attachment(self) -> tuple[float, float, int]:
        """Download the part's blob."""
        if not self._blob:
            newest = self._newest(filter={"hasAttachment": True})[0]
            get = {"accountId": self.account, "ids": [newest], "properties": ["attachments"]}
            part = self.call([["Email/get", get, "0"]])[0][1]["list"][0]["attachments"][0]
            self._blob = f"/jmap/download/{self.account}/{part['blobId']}/data.bin?type=application/octet-stream"
        return self.fetch(self._blob)


class ImapClient(Imap):
    """The peer, by IMAP."""

    def __init__(self, port: int, login: str, password: str) -> None:
        super().__init__(port, login, password)
        self._flagged = False
        self._exists = 0
        self._large = 0

    def list_fifty(self) -> int:
        """SELECT and FETCH ENVELOPE of 50."""
        self._exists = self.select()
        found = self.say(
            f"FETCH {self._exists - FIFTY + 1}:{self._exists} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"
        )
        return sum(b" FETCH (" in line for line in found)

    def flag_fifty(self) -> int:
        """STORE of 50; what changed is answered."""
        self._flagged = not self._flagged
        found = self.say(
            f"STORE {self._exists - FIFTY + 1}:{self._exists} {'+' if self._flagged else '-'}FLAGS (\\Flagged)"
        )
        return sum(b" FETCH (" in line for line in found)

    def counts(self) -> int:
        """STATUS."""
        line = self.say("STATUS INBOX (MESSAGES UNSEEN)")[0]
        return int(line.split(b"MESSAGES ")[1].split()[0].rstrip(b")"))

    def search(self, word: str) -> int:
        """SEARCH TEXT."""
        return len(self._found(f"TEXT {word}"))

    def _found(self, criteria: str) -> list[bytes]:
        """Message numbers; a search that takes long is answered with lines of its progress too (`* OK Searched …`)."""
        answered = [line.split()[2:] for line in self.say(f"SEARCH {criteria}") if line.startswith(b"* SEARCH")]
        return [number for line in answered for number in line]

    def attachment(self) -> tuple[float, float, int]:
        """FETCH BODY of the part, as it is transferred (base64)."""
        if not self._large:
            self._large = int(self._found("LARGER 1000000")[0])
        return self.fetch(f"FETCH {self._large} BODY.PEEK[2]")


@dataclass
class _Side:
    name: str
    client: Client
    pids: Callable[[], list[int]]
    cpu: dict[str, list[float]] = field(default_factory=dict)
    clocks: dict[str, list[float]] = field(default_factory=dict)

    def play(self, action: str, work: Callable[[], int], times: int, wanted: int) -> None:
        """Do an action so many times; keep its CPU and its times."""
        clocks = self.clocks.setdefault(action, [])
        before = processes.usage(self.pids()).cpu
        for _ in range(times):
            began = time.perf_counter()
            found = work()
            clocks.append(time.perf_counter() - began)
            if found != wanted:
                raise RuntimeError(f"{self.name}: {action} gave {found}, not {wanted}")
        self.cpu.setdefault(action, []).append((processes.usage(self.pids()).cpu - before) * 1000 / times)


# How often in a round, ours and the peer's: what costs more is done less often.
_TIMES: Final = {"list": (40, 100), "flags": (20, 40), "counts": (60, 200), "search": (20, 1), "attachment": (2, 2)}


def boxes(
    ours: Ours, peer: Peer, sizes: Sequence[int], say: Callable[[str], None], rounds: int = 5
) -> list[dict[str, Any]]:
    """Measure each action at each size of mailbox; return a row for each."""
    rows = []
    for size in sizes:
        user = f"boxes{size}"
        began = time.monotonic()
        sides = _filled(ours, peer, user, size)
        say(f"  {size} mails and one of 20 MB on both sides in {time.monotonic() - began:.0f} s")
        time.sleep(_VACUUM_SECONDS)
        growth.quiet(ours, say, 600)
        wait_indexed(sides[0].client)
        for number in range(rounds + 1):
            for side in sides if number % 2 else reversed(sides):
                _round(side, size, sides.index(side))
            if not number:  # warm-up, not counted
                for side in sides:
                    side.cpu.clear()
                    side.clocks.clear()
        of_size = [_row(size, action, sides) for action in _TIMES]
        rows += of_size
        for line in lines(of_size):
            say(line)
        for side in sides:
            side.client.close()
    return rows


def wait_indexed(client: Client, seconds: float = 900) -> None:
    """Wait until a search is answered: what is not indexed yet is then. A large account is refused until it is nearly done."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.search(RARE)
        except (RuntimeError, KeyError):
            if time.monotonic() > deadline:
                raise RuntimeError("the mail is not indexed") from None
            time.sleep(1)
        else:
            return


def _filled(ours: Ours, peer: Peer, user: str, size: int) -> tuple[_Side, _Side]:
    address = f"{user}@demo.test"
    ours.create(user)
    eyes = JmapClient(ours.http_port, address, PASSWORD)
    sent = 0
    while sent < size:
        count = min(_AT_ONCE, size - sent)
        send_made(ours.smtp_port, address, mail, range(sent, sent + count))
        sent += count
        wait_for(eyes, sent)
    send_made(ours.smtp_port, address, lambda _number, recipient: large_mail(recipient), range(1))
    wait_for(eyes, size + 1)
    ours.pack()
    other = ImapClient(peer.imap_port, address, PEER_PASSWORD)
    other.append([mail(number, address) for number in range(size)])
    other.append([large_mail(address)])
    return _Side("ours", eyes, ours.pids), _Side("peer", other, peer.pids)


def _round(side: _Side, size: int, which: int) -> None:
    client = side.client
    rare = (size + _RARE_EACH - 1) // _RARE_EACH
    side.play("list", client.list_fifty, _TIMES["list"][which], FIFTY)
    side.play("flags", client.flag_fifty, _TIMES["flags"][which], FIFTY)
    side.play("counts", client.counts, _TIMES["counts"][which], size + 1)
    side.play("search", lambda: client.search(RARE), _TIMES["search"][which], rare if which else min(FIFTY, rare))
    firsts: list[float] = []

    def opened() -> int:
        first, _last, octets = client.attachment()
        firsts.append(first)
        return int(octets >= ATTACHMENT_OCTETS)

    side.play("attachment", opened, _TIMES["attachment"][which], 1)
    side.clocks.setdefault("first octet", []).extend(firsts)


def _row(size: int, action: str, sides: Sequence[_Side]) -> dict[str, Any]:
    mine, theirs = sides
    pairs = list(zip(mine.cpu[action], theirs.cpu[action], strict=True))
    row: dict[str, Any] = {
        "messages": size, "action": action,
        "ratio": statistics.median(mine.cpu[action]) / max(statistics.median(theirs.cpu[action]), 0.001),
        "cpu_ms_of_rounds": pairs,
    }  # fmt: skip
    for side in sides:
        clocks = side.clocks[action]
        row[side.name] = {
            "cpu_ms": statistics.median(side.cpu[action]),
            "p50_ms": percentile(clocks, 0.5) * 1000, "p99_ms": percentile(clocks, 0.99) * 1000,
        }  # fmt: skip
        if action == "attachment":
            row[side.name]["first_ms"] = percentile(side.clocks["first octet"], 0.5) * 1000
    return row


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows as text."""
    text = []
    for row in rows:
        one, other = row["ours"], row["peer"]
        text.append(
            f"  {row['messages']:7} {row['action']:11} ours {one['cpu_ms']:8.2f} ms CPU p50 {one['p50_ms']:7.1f} p99 {one['p99_ms']:7.1f}"
            f"   peer {other['cpu_ms']:9.2f} ms CPU p50 {other['p50_ms']:8.1f} p99 {other['p99_ms']:8.1f}   ratio {row['ratio']:.2f}"
        )
        if "first_ms" in one:
            text.append(f"  {'':19} first octet p50: ours {one['first_ms']:.1f}, peer {other['first_ms']:.1f} ms")
    return text
