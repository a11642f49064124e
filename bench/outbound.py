"""Mail that goes out, beside Postfix + OpenDKIM: both sign with RSA-2048 alone and send to one and the same Postfix, by STARTTLS.

A round is filled while the program that takes accepted mail in hand (our delivery, Postfix's queue manager) is stopped, and is measured
from the moment at which that goes on until the sink has the last message. How mail comes in is not counted: neither our commit in
store, nor Postfix's smtpd and cleanup. Postfix has its mail signed when it comes in, and we have when it goes out. So what OpenDKIM takes while
the queue is filled counts for the peer: its CPU as it is, and as time the least that it can take, which is that CPU spread evenly over all
cores; they have nothing left to do besides in a round. The messages a second without it are printed, too.
The CPU is that of all processes of a side, until its queue is empty and a second more. Names and sink are nobody's.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import processes
import world
from load import Sender, side_by_side_apart
from mailpath import percentile
from ours import PASSWORD, Ours
from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_kit.identity import Signer
from petitbleu_kit.rpc import Peer

FROM: Final = "bench@demo.test"
MANY: Final = 1000
_HANG_EACH: Final = 10
_ACCEPT_MOST: Final = 100
_REST_SECONDS: Final = 1.0
_STALLED_SECONDS: Final = 60.0
# What Debian's package sets, and what its users would not want otherwise for this work; in_flow_delay is of coming in, which is not counted.
_SENDER: Final = """\
myhostname = peer.demo.test
smtp_tcp_port = %(port)d
smtp_tls_security_level = may
smtp_tls_CApath = /etc/ssl/certs
smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache
smtpd_milters = inet:127.0.0.1:%(milter)d
in_flow_delay = 0
"""
_OPENDKIM: Final = """\
Mode s
Domain demo.test
Selector peer
KeyFile {base}/peer.private
Socket inet:{port}@127.0.0.1
Canonicalization relaxed/simple
OversignHeaders From
RequireSafeKeys no
Syslog no
"""


def _program(pid: int) -> str:
    """Name of a process's program; empty for one that has ended, as Postfix's come and go."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def letter(token: str, recipient: str, octets: int = 8192) -> bytes:
    """One plain mail of ours or of the peer's."""
    head = (
        f"From: Bench <{FROM}>\r\nTo: <{recipient}>\r\nSubject: Message {token}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n"
        f"Message-ID: <{token}@demo.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
    ).encode()
    line = b"The quick brown fox of line %06d jumps over the lazy dog once more.\r\n"
    return head + b"".join(line % number for number in range((octets - len(head)) // len(line % 0)))


class Sending(Protocol):
    """One side."""

    name: str

    def pids(self) -> list[int]:
        """Roots of all its processes."""
        ...

    def hold(self) -> None:
        """Take nothing in hand."""
        ...

    def fill(self, letters: Sequence[tuple[str, str]]) -> float:
        """Accept (token, recipient); CPU seconds that are counted for it."""
        ...

    def release(self) -> None:
        """Go on."""
        ...

    def waiting(self) -> int:
        """How much is in hand or in the queue."""
        ...


class OurSending:
    """Our deployment.

    Args:
        ours: Runs, with the domain demo.test.
    """

    name = "ours"

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self._account, self._tenant = asyncio.run(self._person())

    async def _person(self) -> tuple[int, int]:
        layout = self._ours.layout
        peer = Peer(f"unix:{layout.service_socket('accounts')}", "accounts", None, layout.operator_token.read_text().strip())  # fmt: skip
        wanted = accounts_pb2.NewAccount(address=FROM, password=PASSWORD)
        request = accounts_pb2.CreateAccountsRequest(accounts=[wanted])
        made = await peer.call(accounts_pb2_grpc.AdminServiceStub(peer.channel).CreateAccounts, request, timeout=20)
        await peer.channel.close(None)
        if made.results[0].error:
            raise RuntimeError(made.results[0].error)
        return made.results[0].account.account_id, made.results[0].account.tenant_id

    def pids(self) -> list[int]:
        """Services and backends."""
        return self._ours.pids()

    def _signal(self, number: signal.Signals) -> None:
        for pid in processes.tree([self._ours.roots()["delivery"]]):
            os.kill(pid, number)

    def hold(self) -> None:
        """Stop delivery."""
        self._signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let delivery go on."""
        self._signal(signal.SIGCONT)

    def fill(self, letters: Sequence[tuple[str, str]]) -> float:
        """Accept as the submission door does, in commits of a hundred."""
        asyncio.run(self._accept(letters))
        return 0.0

    async def _accept(self, letters: Sequence[tuple[str, str]]) -> None:
        layout = self._ours.layout
        signer = Signer.from_file("ingest", self._ours.identity("ingest"))
        peer = Peer(f"unix:{layout.service_socket('store')}", "store", signer)
        call = accept_pb2_grpc.AcceptServiceStub(peer.channel).Accept
        for start in range(0, len(letters), _ACCEPT_MOST):
            items = [
                accept_pb2.AcceptItem(
                    idempotency_key=hashlib.sha256(token.encode()).digest(), mail_from=FROM, header_from=FROM,
                    recipients=[accept_pb2.AcceptRecipient(address=recipient, tenant_id=self._tenant)],
                    trace=b"Received: from bench by demo.test; Sun, 22 Nov 2026 00:00:00 +0000\r\n", body=letter(token, recipient),
                    verdicts=accept_pb2.AuthenticationVerdicts(from_authenticated=True), origin=accept_pb2.ORIGIN_SUBMITTED,
                    submitter_account_id=self._account, submitter_tenant_id=self._tenant,
                )
                for token, recipient in letters[start : start + _ACCEPT_MOST]
            ]  # fmt: skip
            done = await peer.call(call, accept_pb2.AcceptRequest(items=items), timeout=60)
            if any(one.status != accept_pb2.ACCEPT_STATUS_OK for one in done.results):
                raise RuntimeError("store did not accept")
        await peer.channel.close(None)

    def waiting(self) -> int:
        """Units in delivery's hands."""
        return int(self._ours.metric("delivery", "petitbleu_delivery_outbound_in_hand"))


class PeerSending:
    """Postfix and OpenDKIM.

    Args:
        base: An empty directory.
        port: Where mail comes in; OpenDKIM has the next.
        sink_port: Port of all exchangers.
        resolver: Address of the name server.
    """

    name = "peer"

    def __init__(self, base: Path, port: int, sink_port: int, resolver: str) -> None:
        self._base = base
        self._milter = port + 1
        settings = _SENDER % {"port": sink_port, "milter": self._milter}
        self.postfix = world.Postfix(base / "postfix", "127.0.0.1", port, settings, resolver)
        self._opendkim: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start both."""
        self._base.mkdir(parents=True)
        subprocess.run(
            ["opendkim-genkey", "-b", "2048", "-d", "demo.test", "-s", "peer", "-D", str(self._base)], check=True,
            capture_output=True,
        )  # fmt: skip
        (self._base / "opendkim.conf").write_text(_OPENDKIM.format(base=self._base, port=self._milter))
        self._opendkim = subprocess.Popen(
            ["opendkim", "-f", "-x", str(self._base / "opendkim.conf")], stdout=subprocess.DEVNULL,
            stderr=(self._base / "opendkim.err").open("wb"),
        )  # fmt: skip
        self.postfix.start()

    def pids(self) -> list[int]:
        """Both roots."""
        return [*self.postfix.pids(), *self._signers()]

    def _signers(self) -> list[int]:
        return [] if self._opendkim is None else [self._opendkim.pid]

    def _signal(self, number: signal.Signals) -> None:
        found = [
            pid for pid in processes.tree(self.postfix.pids()) if _program(pid) == "qmgr"
        ]  # fmt: skip
        if len(found) != 1:
            raise RuntimeError("there is no queue manager")
        os.kill(found[0], number)

    def hold(self) -> None:
        """Stop the queue manager."""
        self._signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def fill(self, letters: Sequence[tuple[str, str]]) -> float:
        """Send by SMTP; what signing cost is counted."""
        before = processes.usage(self._signers()).cpu
        side_by_side_apart(_send, [(self.postfix.port, letters[at::20]) for at in range(20) if letters[at::20]])
        return processes.usage(self._signers()).cpu - before

    def waiting(self) -> int:
        """Messages in the queue."""
        return self.postfix.waiting()

    def stop(self) -> None:
        """End both."""
        self.postfix.stop()
        if self._opendkim is not None:
            self._opendkim.terminate()
            self._opendkim.wait(20)


def _send(port: int, letters: Sequence[tuple[str, str]]) -> None:
    sender = Sender(port)
    for token, recipient in letters:
        sender.send(recipient, letter(token, recipient))
    sender.close()


@dataclass(frozen=True)
class Round:
    """What a round cost: messages a second, signing included and without what of it was before, CPU milliseconds a message, p99 in seconds.

    The p99 is of the healthy, from release to arrival.
    """

    per_second: float
    unsigned_per_second: float
    cpu_ms: float
    p99: float


class Bench:
    """Both sides, and the world.

    Args:
        sides: They run.
        sink: The same.
        silence: The same.
        say: Prints.
    """

    def __init__(
        self, sides: Sequence[Sending], sink: world.Sink, silence: world.Silence, say: Callable[[str], None]
    ) -> None:
        self.sides = sides
        self.sink = sink
        self._silence = silence
        self._say = say
        self._number = 0

    def one(self, side: Sending, count: int, destinations: int, hanging: int = 0) -> Round:
        """Fill, release, and wait; `hanging` destinations never answer, and are none that were seen before."""
        self._number += 1
        silent = range(0, destinations, destinations // hanging) if hanging else ()
        names = world.recipients(count, destinations, silent, f"h{self._number}-")
        letters = [(f"{side.name}{self._number}-{at}", name) for at, name in enumerate(names)]
        due = [token.encode() for token, name in letters if name.endswith(world.HEALTHY_ZONE)]
        signed = dict(self.sink.signatures)
        side.hold()
        try:
            extra = side.fill(letters)
            start = processes.usage(side.pids()).cpu
        finally:
            clock = time.monotonic()
            side.release()
        taken = self._wait(due)
        if not hanging:
            self._rest(side)
        cpu = processes.usage(side.pids()).cpu - start + extra
        if not hanging:
            self._check(len(due), signed)
        self._silence.hang_up()
        found = sorted(self.sink.arrived.get(token, taken) - clock for token in due)
        last = max(self.sink.arrived.get(token, taken) for token in due) - clock
        # of those which always are healthy, that the undisturbed rounds are the same
        tenth = [
            self.sink.arrived.get(token.encode(), taken) - clock
            for at, (token, _) in enumerate(letters)
            if (at % destinations) % _HANG_EACH
        ]
        whole = last + extra / (os.cpu_count() or 1)
        return Round(len(due) / whole, len(due) / last, cpu * 1000 / count, percentile(tenth or found, 0.99))

    def _wait(self, due: Sequence[bytes]) -> float:
        """Wait until all came, or nothing for long; when it ended."""
        most, deadline = -1, 0.0
        while True:
            came = sum(token in self.sink.arrived for token in due)
            now = time.monotonic()
            if came > most:
                most, deadline = came, now + _STALLED_SECONDS
            if came == len(due) or now > deadline:
                if came < len(due):
                    self._say(f"    {len(due) - came} of {len(due)} did not come within {_STALLED_SECONDS:.0f} s")
                return now
            time.sleep(0.05)

    @staticmethod
    def _rest(side: Sending) -> None:
        deadline = time.monotonic() + _STALLED_SECONDS
        while side.waiting():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{side.name}: the queue is not empty")
            time.sleep(0.1)
        time.sleep(_REST_SECONDS)

    def _check(self, count: int, before: dict[str, int]) -> None:
        """Hold that each was signed once, by RSA, and came once.

        Raises:
            RuntimeError: it is not so; then nothing was compared.
        """
        new = {name: self.sink.signatures[name] - before[name] for name in before}
        if new != {"rsa": count, "ed25519": 0} or self.sink.doubled:
            raise RuntimeError(f"{count} messages, signatures {new}, {self.sink.doubled} twice")

    def compare(self, count: int, destinations: int, rounds: int) -> dict[str, Any]:
        """Take turns; medians, and the medians of the ratios of pairs."""
        found: dict[str, list[Round]] = {side.name: [] for side in self.sides}
        for number in range(rounds + 1):
            for side in self.sides if number % 2 else reversed(self.sides):
                one = self.one(side, count, destinations)
                if number:  # the first warms up
                    found[side.name].append(one)
        row: dict[str, Any] = {"destinations": destinations, "messages": count, "rounds": rounds}
        for name, costs in found.items():
            row[name] = {
                "messages_per_second": statistics.median(one.per_second for one in costs),
                "unsigned_per_second": statistics.median(one.unsigned_per_second for one in costs),
                "cpu_ms_per_message": statistics.median(one.cpu_ms for one in costs),
            }
        pairs = list(zip(found["ours"], found["peer"], strict=True))
        row["throughput_ratio"] = statistics.median(one.per_second / other.per_second for one, other in pairs)
        row["unsigned_ratio"] = statistics.median(one.per_second / other.unsigned_per_second for one, other in pairs)
        row["cpu_ratio"] = statistics.median(one.cpu_ms / other.cpu_ms for one, other in pairs)
        return row

    def hanging(self, side: Sending, count: int, rounds: int) -> dict[str, Any]:
        """Compare rounds in which a tenth of the destinations hangs with undisturbed ones."""
        ratios, times = [], []
        for number in range(rounds):
            pair: dict[bool, float] = {}
            for hangs in (False, True) if number % 2 else (True, False):
                pair[hangs] = self.one(side, count, MANY, MANY // _HANG_EACH if hangs else 0).p99
                if hangs:
                    self._settle(side)
            times.append((pair[False], pair[True]))
            ratios.append(pair[True] / pair[False])
        return {
            "undisturbed_p99_s": statistics.median(calm for calm, _ in times),
            "hanging_p99_s": statistics.median(hung for _, hung in times),
            "ratio": statistics.median(ratios),
        }

    def _settle(self, side: Sending) -> None:
        """Let go of what hangs, also of what is only begun then."""
        deadline = time.monotonic() + _STALLED_SECONDS
        while time.monotonic() < deadline:
            self._silence.hang_up()
            if isinstance(side, PeerSending):
                side.postfix.drop_all()
            if not side.waiting():
                return
            time.sleep(0.2)


def lines(found: dict[str, Any]) -> list[str]:
    """Return the results as text."""
    text = ["  both sign by RSA-2048 only (ours: PETITBLEU_DKIM_ED25519=0), checked at the sink"]
    for row in found["cells"]:
        text.append(f"  {row['destinations']} destinations ({row['rounds']} pairs of {row['messages']} messages)")
        for name in ("ours", "peer"):
            one = row[name]
            text.append(
                f"    {name:5} {one['messages_per_second']:8.0f} messages/s {one['cpu_ms_per_message']:7.2f} ms CPU/message"
            )
        text.append(f"    ratio {row['throughput_ratio']:8.2f} x          {row['cpu_ratio']:7.2f}")
        text.append(
            f"    peer  {row['peer']['unsigned_per_second']:8.0f} messages/s without the time of its signing, ratio {row['unsigned_ratio']:.2f}"
        )
    for name, row in found.get("hanging", {}).items():
        text.append(
            f"  a tenth of {MANY} hangs, {name}: p99 of the rest {row['hanging_p99_s']:.2f} s, undisturbed {row['undisturbed_p99_s']:.2f} s, ratio {row['ratio']:.2f}"
        )
    if "steps" in found:
        text.append("  CPU of each of our processes, 1 destination")
        text += [f"    {name:14} {value:7.3f} ms/message" for name, value in found["steps"].items() if value >= 0.005]
    return text


def outbound(ours: Ours, bench: Bench, rounds: int, count: int) -> dict[str, Any]:
    """Measure all."""
    found: dict[str, Any] = {"cells": [bench.compare(count, destinations, rounds) for destinations in (1, MANY)]}
    before = processes.cpu_by_name(ours.roots())
    bench.one(bench.sides[0], count, 1)
    after = processes.cpu_by_name(ours.roots())
    found["steps"] = {name: (after[name] - before.get(name, 0.0)) * 1000 / count for name in sorted(after)}
    found["hanging"] = {side.name: bench.hanging(side, count, max(1, rounds // 2)) for side in bench.sides}
    return found
