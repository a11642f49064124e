"""What judging mail costs: the same signed mail into ours with judging off and on, beside Postfix + Dovecot + rspamd.

A name server of this process answers from a table, so that all sides find SPF, DKIM and DMARC records and nothing leaves the machine.
The messages are signed by RSA-2048 before anything is measured.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import processes
from load import Eyes, ImapEyes, JmapEyes, wait_for
from ours import PASSWORD, Ours
from peers import PASSWORD as PEER_PASSWORD
from peers import Peer
from petitbleu_mail.auth.canonical import BodyHashes
from petitbleu_mail.auth.dkim_sign import SigningKey, signature_field, signing_body
from petitbleu_mail.auth.fields import Fields, split_message

_DOMAIN = "signing.example"
_SESSIONS = 20
_START_SECONDS = 120.0


class Names(threading.Thread):
    """A name server on the loopback: `records` maps a name to its type and zone-file data."""

    def __init__(self, records: dict[str, list[tuple[str, str]]]) -> None:
        super().__init__(daemon=True)
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        """Answer until the socket is closed."""
        while True:
            try:
                data, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            question = query.question[0]
            found = self._records.get(question.name.to_text(omit_final_dot=True).lower())
            if found is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                data_of = [text for kind, text in found if kind == dns.rdatatype.to_text(question.rdtype)]
                if data_of:
                    answer.answer.append(dns.rrset.from_text_list(question.name, 3600, "IN", question.rdtype, data_of))
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        """End it."""
        self._socket.close()


@dataclass
class Post:
    """Signed messages, and the records that they are checked by."""

    messages: list[bytes]
    records: dict[str, list[tuple[str, str]]]


def post(count: int, to: str, octets: int = 8192) -> Post:
    """Sign messages of a domain that sends from here and wants what fails rejected."""
    key = generate_private_key(65537, 2048)
    public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    signing = SigningKey(_DOMAIN, "bench", key)
    record = f"v=DKIM1; k=rsa; p={public}"
    pieces = " ".join(f'"{record[at : at + 250]}"' for at in range(0, len(record), 250))
    records = {
        _DOMAIN: [("TXT", '"v=spf1 ip4:127.0.0.1 -all"'), ("MX", f"10 mail.{_DOMAIN}."), ("A", "127.0.0.1")],
        f"mail.{_DOMAIN}": [("A", "127.0.0.1"), ("TXT", '"v=spf1 a -all"')],
        "1.0.0.127.in-addr.arpa": [("PTR", f"mail.{_DOMAIN}.")],
        f"_dmarc.{_DOMAIN}": [("TXT", '"v=DMARC1; p=reject"')],
        f"bench._domainkey.{_DOMAIN}": [("TXT", pieces)],
    }
    words = ["minutes", "of", "the", "meeting", "about", "letters", "tubes", "and", "stations", "in", "Paris"]
    text = "\r\n".join(" ".join(words[(n + m) % 11] for m in range(11)) for n in range(octets // 60)).encode()
    made = []
    for number in range(count):
        message = (
            f"From: Ann <ann@{_DOMAIN}>\r\nTo: <{to}>\r\nSubject: Minutes {number}\r\nDate: Sun, 22 Nov 2026 01:00:00 +0000\r\n"
            f"Message-ID: <{number}.{time.time_ns()}@{_DOMAIN}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
        ).encode() + text[: octets - 900] + b"\r\n"  # fmt: skip
        header, start = split_message(message)
        hashes = BodyHashes()
        body = signing_body(hashes)
        hashes.take([message[start:]])
        made.append(signature_field(Fields(header), body, signing, int(time.time())) + message)
    return Post(made, records)


async def _session(port: int, to: str, messages: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def said(code: bytes) -> None:
        line = await reader.readline()
        while line[3:4] == b"-":
            line = await reader.readline()
        if not line.startswith(code):
            raise RuntimeError(repr(line))

    await said(b"220")
    writer.write(f"EHLO mail.{_DOMAIN}\r\n".encode())
    await said(b"250")
    while messages:
        message = messages.pop()
        writer.write(f"MAIL FROM:<ann@{_DOMAIN}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            await said(code)
        writer.write(message + b".\r\n")
        await said(b"250")
    writer.write(b"QUIT\r\n")
    await said(b"221")
    writer.close()


def send(port: int, to: str, messages: Sequence[bytes]) -> None:
    """Send all by 20 sessions at a time, each kept. No message has a line that begins with a dot."""

    async def run() -> None:
        left = list(messages)
        await asyncio.gather(*[_session(port, to, left) for _ in range(_SESSIONS)])

    asyncio.run(run())


class Filter:
    """rspamd as Postfix's milter, its rules and modules as Debian ships them where they need no network beyond the name server."""

    def __init__(self, root: Path, port: int, dns_port: int) -> None:
        self.port = port
        self._root = root
        self._dns_port = dns_port
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> bool:
        """Whether there is no rspamd here."""
        return shutil.which("rspamd") is None

    def start(self) -> None:
        """Write the configuration, start it and wait until it listens."""
        root = self._root
        root.mkdir(parents=True)
        off = "".join(
            f"{name} {{ enabled = false; }}\n"
            for name in ("fuzzy_check", "rbl", "surbl", "asn", "greylist", "ratelimit", "phishing", "history_redis", "neural", "bayes_expiry", "dkim_signing")
        )  # fmt: skip
        (root / "rspamd.conf").write_text(
            f'.include "/etc/rspamd/common.conf"\n'
            f'options {{\n.include "/etc/rspamd/options.inc"\n}}\n'
            f'options {{ pidfile = "{root}/pid"; tempdir = "{root}"; control_socket = "{root}/control mode=0600"; rrd = ""; '
            f'history_file = ""; cache_file = "{root}/cache"; local_addrs = []; '
            f'dns {{ nameserver = ["127.0.0.1:{self._dns_port}"]; }} }}\n'
            f'logging {{ type = "file"; filename = "{root}/log"; level = "error"; }}\n'
            f'worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{self.port}"; milter = yes; timeout = 30s; count = 2; '
            f'upstream "local" {{ default = yes; self_scan = yes; }} }}\n' + off
        )
        self._process = subprocess.Popen(
            ["rspamd", "--insecure", "-f", "-c", str(root / "rspamd.conf")], cwd=root,
            stdout=subprocess.DEVNULL, stderr=(root / "err").open("wb"),
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(
                        f"rspamd does not listen: {(root / 'err').read_text(errors='replace')[-500:]}"
                    ) from None
                time.sleep(0.2)
            else:
                return

    def pids(self) -> list[int]:
        """Its root process."""
        return [self._process.pid] if self._process is not None else []

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _round(
    port: int, to: str, messages: Sequence[bytes], eyes: Eyes, pids: Callable[[], list[int]]
) -> tuple[float, float]:
    """Send and wait until all is seen; CPU milliseconds and messages a second."""
    seen = eyes.count()
    before = processes.usage(pids()).cpu
    clock = time.monotonic()
    send(port, to, messages)
    wait_for(eyes, seen + len(messages))
    seconds = time.monotonic() - clock
    return (processes.usage(pids()).cpu - before) * 1000 / len(messages), len(messages) / seconds


def judging(
    ours: Ours, peer: Peer | None, root: Path, user: str, rounds: int, count: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Compare; `peer` is one that is not started yet, None where there is none. Rounds are interleaved."""
    to = f"{user}@demo.test"
    made = post(rounds * count * (3 if peer is not None else 2) + 3 * count, to)
    names = Names(made.records)
    names.start()
    scanner = Filter(root / "rspamd", peer.smtp_port + 7, names.port) if peer is not None else None
    found: dict[str, list[tuple[float, float]]] = {"off": [], "on": [], "peer": []}
    try:
        if peer is not None and scanner is not None:
            scanner.start()
            peer.start([user])
        for number in range(rounds + 1):
            for side in ("off", "on", "peer"):
                if side == "peer" and (peer is None or scanner is None):
                    continue
                if side != "peer":
                    ours.restart("ingest", {"PETITBLEU_INGEST_JUDGE": side, "PETITBLEU_DNS": f"127.0.0.1:{names.port}"})
                batch, made.messages = made.messages[:count], made.messages[count:]
                eyes: Eyes
                if side == "peer" and peer is not None and scanner is not None:
                    watched = [*peer.pids(), *scanner.pids()]
                    eyes = ImapEyes(peer.imap_port, to, PEER_PASSWORD)
                    cost = _round(peer.smtp_port, to, batch, eyes, lambda roots=watched: roots)  # type: ignore[misc]
                else:
                    eyes = JmapEyes(ours.http_port, to, PASSWORD)
                    send(ours.smtp_port, to, batch[: count // 10])
                    batch = batch[count // 10 :]
                    time.sleep(1)
                    cost = _round(ours.smtp_port, to, batch, eyes, ours.pids)
                eyes.close()
                if number:  # the first round warms up
                    found[side].append(cost)
    finally:
        if scanner is not None:
            scanner.stop()
        names.close()
    table: dict[str, Any] = {
        side: {"cpu_ms": statistics.median(cpu for cpu, _ in rows), "per_second": statistics.median(rate for _, rate in rows)}
        for side, rows in found.items()
        if rows
    }  # fmt: skip
    table["more_ms"] = statistics.median(
        on[0] - off[0] for on, off in zip(found["on"], found["off"], strict=True)
    )  # fmt: skip
    for side, row in table.items():
        if isinstance(row, dict):
            say(f"  {side:5} {row['per_second']:8.0f} messages/s {row['cpu_ms']:7.2f} ms CPU/message")
    say(f"  judging costs {table['more_ms']:.2f} ms CPU a message")
    return table
