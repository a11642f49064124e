"""Clients that begin and do not go on, before and after TLS: each counts from its first octet on, for a bounded time and in bounded memory."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.smtp.servers import Ours, make_certificate
from tests.conformance.smtp.test_smtp_slow_senders import MIB, gauge, pss
from tests.ports import free_port

CROWD = 500
EACH = 20
# A session is some KiB, one under TLS some tens more
ALLOWED_GROWTH = CROWD * (128 << 10)
Start = Callable[..., Ours]


class Doors:
    """A server with both doors of submission."""

    def __init__(self, start: Start, directory: Path, **settings: str) -> None:
        self.certificate, key = make_certificate(directory, "localhost")
        self.starttls, self.implicit = free_port(), free_port()
        self.server = start(
            tls_cert=str(self.certificate), tls_key=str(key), submission_port=str(self.starttls),
            submissions_port=str(self.implicit), **settings,
        )  # fmt: skip

    def port(self, name: str) -> int:
        return {"mx": self.server.port, "starttls": self.starttls, "implicit": self.implicit}[name]

    def greeted(self, name: str) -> bytes:
        """What a client that does as it should is greeted with, empty when it is not let in."""
        with socket.create_connection(("127.0.0.1", self.port(name)), timeout=30) as plain:
            if name != "implicit":
                return plain.recv(4)
            context = ssl.create_default_context(cafile=str(self.certificate))
            try:
                with context.wrap_socket(plain, server_hostname="localhost") as secure:
                    return secure.recv(4)
            except (ssl.SSLError, ConnectionError):
                return b""

    def open(self) -> int:
        return int(gauge(self.server, "petitbleu_ingest_sessions_open"))

    def come_to(self, sessions: int) -> None:
        deadline = time.monotonic() + 60
        while self.open() != sessions:
            assert time.monotonic() < deadline, f"{self.open()} sessions are open, not {sessions}"
            time.sleep(0.05)


@pytest.fixture
def crowd() -> Iterator[list[socket.socket]]:
    found: list[socket.socket] = []
    yield found
    for one in found:
        one.close()


def begin(port: int, words: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=60)
    one.sendall(words)
    return one


def ended(one: socket.socket) -> bytes:
    """Read to the end; what was said."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := one.recv(4096):
            said += piece
    return said


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half a ClientHello"])
def test_rfc8314_3_3_a_handshake_counts_before_it_is_done_and_has_an_end(
    ours_with: Start, tmp_path: Path, crowd: list[socket.socket], words: bytes
) -> None:
    doors = Doors(
        ours_with, tmp_path, smtp_connections_ip=str(EACH), smtp_exempt="192.0.2.0/24", tls_handshake_seconds="3"
    )
    crowd.extend(begin(doors.implicit, words) for _ in range(EACH))
    doors.come_to(EACH)
    for name in ("implicit", "starttls", "mx"):
        assert doors.greeted(name) == (b"" if name == "implicit" else b"421 ")
    assert doors.open() == EACH
    for one in crowd:
        ended(one)
    doors.come_to(0)
    assert doors.greeted("implicit") == b"220 "


@pytest.mark.parametrize("how", ["leaves", "waits"])
def test_rfc3207_a_handshake_that_fails_frees_its_session(
    ours_with: Start, tmp_path: Path, crowd: list[socket.socket], how: str
) -> None:
    doors = Doors(ours_with, tmp_path, tls_handshake_seconds="1")
    for name in ("starttls", "mx", "implicit"):
        for _ in range(5):
            one = begin(doors.port(name))
            crowd.append(one)
            if name != "implicit":
                one.recv(1000)
                one.sendall(b"EHLO c.example\r\n")
                while b"250 HELP" not in one.recv(4000):
                    pass
                one.sendall(b"STARTTLS\r\n")
                assert one.recv(1000).startswith(b"220 ")
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
    doors.come_to(15)
    if how == "leaves":
        for one in crowd:
            one.close()
    doors.come_to(0)


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_a_crowd_that_says_half_a_word_costs_little_and_holds_up_nobody(
    ours_with: Start, tmp_path: Path, crowd: list[socket.socket], door: str
) -> None:
    doors = Doors(
        ours_with, tmp_path, smtp_connections=str(CROWD + 10), smtp_command_seconds="8", tls_handshake_seconds="8"
    )
    assert doors.greeted(door) == b"220 "
    doors.come_to(0)
    before = pss(doors.server.pid)
    half = b"EH" if door == "starttls" else b"\x16\x03\x01\x02\x00\x01"
    crowd.extend(begin(doors.port(door), half) for _ in range(CROWD))
    doors.come_to(CROWD)
    for _ in range(5):
        for one in crowd:
            one.sendall(b"L")
        assert doors.greeted(door) == b"220 "
    growth = pss(doors.server.pid) - before
    print(f"{CROWD} half sessions at {door}: PSS grew {growth / MIB:.1f} MiB")
    assert growth <= ALLOWED_GROWTH
    doors.come_to(0)
    if door == "starttls":
        assert b"421 4.4.2" in ended(crowd[0])
    assert doors.greeted(door) == b"220 "


def test_rfc5321_4_5_3_2_7_a_command_that_comes_octet_by_octet_gets_no_more_time(
    ours_with: Start, tmp_path: Path
) -> None:
    doors = Doors(ours_with, tmp_path, smtp_command_seconds="2")
    with begin(doors.starttls) as one:
        one.recv(1000)
        one.settimeout(0.2)
        said = b""
        for _ in range(300):  # far longer than the limit: each octet comes well within it
            try:
                one.sendall(b"X")
                said += one.recv(1000)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if said:
                break
        assert said.startswith(b"421 4.4.2"), said


@pytest.mark.parametrize("tls", ["1", ""])
def test_the_proxy_s_word_comes_before_tls(ours_with: Start, tmp_path: Path, tls: str) -> None:
    doors = Doors(ours_with, tmp_path, proxy_protocol="true", proxy_trusted="127.0.0.0/8")
    addresses = socket.inet_aton("192.0.2.77") + socket.inet_aton("192.0.2.1") + b"\x10\x00\x10\x01"
    header = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + addresses
    name = "implicit" if tls else "starttls"
    with socket.create_connection(("127.0.0.1", doors.port(name)), timeout=30) as plain:
        if not tls:
            plain.sendall(header + b"EHLO c.example\r\n")
            assert plain.recv(4) == b"220 "
            return
        context = ssl.create_default_context(cafile=str(doors.certificate))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.do_handshake()
        plain.sendall(header + outgoing.read())  # both in one segment
        said = b""
        while not said:
            incoming.write(plain.recv(4096))
            try:
                secure.do_handshake()
                said = secure.read(4)
            except ssl.SSLWantReadError:
                pass
            if left := outgoing.read():
                plain.sendall(left)
        assert said == b"220 "


def test_rfc5321_4_5_3_1_10_ten_thousand_recipients_of_a_stranger(ours_with: Start) -> None:
    server = ours_with()
    before = pss(server.pid)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as one:
        answers = one.makefile("rb")
        answers.readline()
        one.sendall(b"EHLO c.example\r\n")
        while not answers.readline().startswith(b"250 "):
            pass
        one.sendall(b"MAIL FROM:<a@b.example>\r\n")
        assert answers.readline().startswith(b"250 ")
        codes: list[bytes] = []
        for start in range(0, 10_000, 100):
            one.sendall(b"".join(b"RCPT TO:<alice+%d@demo.test>\r\n" % number for number in range(start, start + 100)))
            codes += [answers.readline()[:9] for _ in range(100)]
        assert codes == [b"250 2.1.5"] * 1000 + [b"452 4.5.3"] * 9000
        one.sendall(b"DATA\r\n")
        assert answers.readline().startswith(b"354 ")
        one.sendall(b"Subject: x\r\n\r\nbody\r\n.\r\n")
        assert answers.readline().startswith(b"250 ")
    taken = [recipient.address for recipient in server.last_message().recipients]
    assert taken == [f"alice+{number}@demo.test" for number in range(1000)]
    growth = pss(server.pid) - before
    print(f"10,000 recipients: PSS grew {growth / MIB:.1f} MiB")
    assert growth <= 16 * MIB
