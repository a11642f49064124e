"""Every message of the corpora, and mutations of them: accepted or refused with the right code, then served byte for byte.

`make test` sends a sample of mutations, `make soak` ten thousand (`PETITBLEU_MUTATIONS`).
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.mailstream import read_all
from tests.live_stack import LiveStack

from petitbleu_mail.structure import decode_meta, encode_meta, parse_message

DATA = Path(os.environ.get("PETITBLEU_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
MUTATIONS = int(os.environ.get("PETITBLEU_MUTATIONS", "600"))
SEED = int(os.environ.get("PETITBLEU_CORPUS_SEED", "20261122"))
CPU_SECONDS = 2.0  # of one message's parse: far above what any needs, far below what a quadratic parser takes
A_SESSION = 1000  # messages; ingest ends a session after ten thousand
MAX_LINE = 1 << 20  # what ingest takes of a text line; RFC 5321 §4.5.3.1.6 asks for 1,000 octets at least


def corpus() -> list[Path]:
    """Every message file of mime/, dkim/ and spam/."""
    return sorted(
        path
        for folder in ("mime", "dkim", "spam")
        for path in (DATA / folder).rglob("*")
        if path.is_file() and path.name not in {"LICENSE", "NOTICE", "README.md"} and path.suffix != ".json"
    )


def crlf(octets: bytes) -> bytes:
    """As a mail server sends it: every line ends in CRLF."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def mutate(octets: bytes, chooser: random.Random) -> bytes:
    """Return a broken variant: flipped, cut, doubled, shuffled or filled with rubbish."""
    result = bytearray(octets[:200_000])
    for _ in range(chooser.randrange(1, 6)):
        if not result:
            result += b"x"
        at = chooser.randrange(len(result))
        kind = chooser.randrange(8)
        if kind == 0:
            result[at] = chooser.randrange(256)
        elif kind == 1:
            del result[at : at + chooser.randrange(1, 400)]
        elif kind == 2:
            result[at:at] = result[at : at + chooser.randrange(1, 2_000)]
        elif kind == 3:
            result[at:at] = chooser.randbytes(chooser.randrange(1, 60))
        elif kind == 4:
            result[at:at] = chooser.choice(
                [b"--", b"\r\n\r\n", b"\r\n.", b"=?utf-8?B?", b"\0", b"(" * 90, b"\r\n\t", b"boundary="]
            )
        elif kind == 5:
            lines = bytes(result).split(b"\n")
            chooser.shuffle(lines)
            result = bytearray(b"\n".join(lines))
        elif kind == 6:
            del result[at:]
        else:
            result = result.replace(b"Content-Type", b"Content-Type: multipart/mixed; boundary=x\r\nX", 1)
    return bytes(result)


class Smtp:
    """A client that sends exactly the octets it is given."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._replies = self._socket.makefile("rb")
        self.answer()
        self.say(b"EHLO corpus.example\r\n")

    def answer(self) -> bytes:
        while True:
            line = self._replies.readline()
            assert len(line) > 3, "hung up without a word"
            if line[3:4] != b"-":
                return line

    def say(self, octets: bytes) -> bytes:
        self._socket.sendall(octets)
        return self.answer()

    def send(self, recipient: str, octets: bytes) -> bytes:
        assert self.say(b"MAIL FROM:<corpus@sender.example> BODY=8BITMIME\r\n").startswith(b"250")
        assert self.say(b"RCPT TO:<" + recipient.encode() + b">\r\n").startswith(b"250")
        assert self.say(b"DATA\r\n").startswith(b"354")
        return self.say(re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()


def expected_code(octets: bytes) -> bytes:
    """Return the answer that the standard asks for as its first digit."""
    return b"5" if any(len(line) > MAX_LINE for line in octets.split(b"\r\n")) else b"2"


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    paths = corpus()
    if not paths:
        pytest.skip(f"NO CORPUS: {DATA} is absent; set PETITBLEU_TEST_DATA")
    assert len(paths) > 100
    chooser = random.Random(SEED)
    originals = [crlf(path.read_bytes()) for path in paths]
    small = [octets for octets in originals if len(octets) < 40_000]
    return originals + [crlf(mutate(chooser.choice(small), chooser)) for _ in range(MUTATIONS)]


def test_every_message_is_parsed_in_bounded_cpu_time(messages: list[bytes]) -> None:
    for octets in messages:
        began = time.process_time()
        meta = encode_meta(parse_message(octets))
        spent = time.process_time() - began
        assert spent < CPU_SECONDS, octets[:200]
        decode_meta(meta)


def test_every_message_is_accepted_or_refused_rightly_and_served_byte_for_byte(
    live_stack: LiveStack, messages: list[bytes]
) -> None:
    login = live_stack.new_account()
    client = Smtp(live_stack.smtp_port)
    accepted: list[bytes] = []
    for number, octets in enumerate(messages):
        if number and number % A_SESSION == 0:
            client.close()
            client = Smtp(live_stack.smtp_port)
        marked = b"X-Corpus: %d\r\n" % number + octets
        code = client.send(login, marked)
        assert code[:1] == expected_code(marked), f"message {number}: {code!r}"
        if code.startswith(b"2"):
            accepted.append(marked)
    client.close()
    live_stack.wait_settled()
    served = list(read_all(live_stack.http_port, login, live_stack.password).values())
    assert len(served) == len(accepted)
    by_number = dict(_numbered(served))
    for marked in accepted:
        octets = by_number[next(_numbers(marked))]
        assert octets.endswith(b"\r\n" + marked), marked[:200]


def _numbers(octets: bytes) -> Iterator[int]:
    for found in re.finditer(rb"(?m)^X-Corpus: (\d+)\r$", octets):
        yield int(found.group(1))


def _numbered(served: list[bytes]) -> Iterator[tuple[int, bytes]]:
    for octets in served:
        yield next(_numbers(octets)), octets


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_bare_cr_and_bare_lf_are_refused_whatever_the_message(
    live_stack: LiveStack, messages: list[bytes], line_end: bytes
) -> None:
    login = live_stack.new_account()
    for octets in messages[:40]:
        client = Smtp(live_stack.smtp_port)
        broken = octets.replace(b"\r\n", line_end, 3) if octets.count(b"\r\n") > 3 else b"a: b" + line_end + octets
        assert client.send(login, broken).startswith(b"5")
        client.close()
    live_stack.wait_settled()
    assert not read_all(live_stack.http_port, login, live_stack.password)
