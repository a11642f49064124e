"""SMTP to visible mailbox, side by side: the same load on us and on Postfix + Dovecot, rounds interleaved."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import processes
from load import Eyes, ImapEyes, JmapEyes, Load, Sender, message, smtp_source, wait_for
from ours import PASSWORD, Ours
from peers import PASSWORD as PEER_PASSWORD
from peers import Peer

# Between two looks at a mailbox: the same for both sides, and seldom enough that looking does not slow what is looked at.
_LOOK_SECONDS = 0.005


@dataclass(frozen=True)
class Round:
    """What one round of one side cost."""

    per_second: float
    cpu_ms: float
    written: float


@dataclass
class Side:
    """One side of the comparison."""

    name: str
    smtp_port: int
    pids: Callable[[], list[int]]
    eyes: Callable[[str], Eyes]


def sides(ours: Ours, peer: Peer) -> list[Side]:
    """Both sides."""
    return [
        Side("ours", ours.smtp_port, ours.pids, lambda user: JmapEyes(ours.http_port, f"{user}@demo.test", PASSWORD)),
        Side(
            "peer", peer.smtp_port, peer.pids, lambda user: ImapEyes(peer.imap_port, f"{user}@demo.test", PEER_PASSWORD)
        ),
    ]


def one_round(side: Side, user: str, load: Load, count: int) -> Round:
    """Send, wait until all is visible, and sum what it cost everywhere on that side."""
    eyes = side.eyes(user)
    before = eyes.count()
    start = processes.usage(side.pids())
    clock = time.monotonic()
    smtp_source(side.smtp_port, f"{user}@demo.test", load, count)
    wait_for(eyes, before + count)
    seconds = time.monotonic() - clock
    end = processes.usage(side.pids())
    eyes.close()
    return Round(count / seconds, (end.cpu - start.cpu) * 1000 / count, (end.written - start.written) / count)


def compare(both: list[Side], user: str, load: Load, rounds: int, count: int) -> dict[str, Any]:
    """Interleave rounds of both sides; return medians and ratios."""
    for side in both:
        one_round(side, user, load, max(50, count // 10))  # warm-up, not counted
    results: dict[str, list[Round]] = {side.name: [] for side in both}
    for _ in range(rounds):
        for side in both:
            results[side.name].append(one_round(side, user, load, count))
    table: dict[str, Any] = {"load": asdict(load), "name": load.name, "rounds": rounds, "messages": count}
    for name, found in results.items():
        table[name] = {
            "messages_per_second": statistics.median(found_round.per_second for found_round in found),
            "cpu_ms_per_message": statistics.median(found_round.cpu_ms for found_round in found),
            "bytes_written_per_message": statistics.median(found_round.written for found_round in found),
        }
    table["cpu_ratio"] = statistics.median(
        a.cpu_ms / b.cpu_ms for a, b in zip(results["ours"], results["peer"], strict=True)
    )
    table["throughput_ratio"] = statistics.median(
        a.per_second / b.per_second for a, b in zip(results["ours"], results["peer"], strict=True)
    )
    return table


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def lone(both: list[Side], user: str, tries: int, octets: int = 8192) -> dict[str, Any]:
    """Send one mail at a time on an idle system; time its 250 and its being visible, tries interleaved."""
    accept: dict[str, list[float]] = {side.name: [] for side in both}
    visible: dict[str, list[float]] = {side.name: [] for side in both}
    for side in both:  # neither is measured on files that it has just begun
        one_round(side, user, Load(octets, 20, kept=True), 1500)
    time.sleep(5)
    watching = [(side, side.eyes(user), Sender(side.smtp_port)) for side in both]
    counts = {side.name: eyes.count() for side, eyes, _ in watching}
    for number in range(tries):
        for side, eyes, sender in watching:
            body = message(number, octets, f"{user}@demo.test")
            started = time.perf_counter()
            accept[side.name].append(sender.send(f"{user}@demo.test", body))
            counts[side.name] += 1
            wait_for(eyes, counts[side.name], pause=_LOOK_SECONDS)
            visible[side.name].append(time.perf_counter() - started)
            time.sleep(0.02)
    for _, eyes, sender in watching:
        sender.close()
        eyes.close()
    return {
        "tries": tries,
        **{
            side.name: {
                "accept_ms": {"p50": percentile(accept[side.name], 0.5) * 1000, "p99": percentile(accept[side.name], 0.99) * 1000},
                "visible_ms": {"p50": percentile(visible[side.name], 0.5) * 1000, "p99": percentile(visible[side.name], 0.99) * 1000},
            }
            for side in both
        },
    }  # fmt: skip


def segments(ours: Ours) -> tuple[float, float]:
    """Bodies that were put in segments so far, and the PUTs that it took; what is hot is packed first."""
    ours.pack()
    name = "petitbleu_store_segment_bodies"
    return ours.metric("store", f"{name}_sum"), ours.metric("store", f"{name}_count")


def steps(ours: Ours, user: str, load: Load, count: int) -> dict[str, float]:
    """CPU milliseconds a message of each of our processes."""
    eyes = JmapEyes(ours.http_port, f"{user}@demo.test", PASSWORD)
    seen = eyes.count()
    before = processes.cpu_by_name(ours.roots())
    smtp_source(ours.smtp_port, f"{user}@demo.test", load, count)
    wait_for(eyes, seen + count)
    after = processes.cpu_by_name(ours.roots())
    return {name: (after[name] - before.get(name, 0.0)) * 1000 / count for name in sorted(after)}


def fsyncs(side: Side, user: str, load: Load, count: int, scratch: Path) -> float | None:
    """Fsyncs a message, None where nothing can be traced.

    Counted by strace in a round of its own: it slows everything, so nothing else is read from it.
    """
    pids = processes.tree(side.pids())
    out = scratch / f"strace-{side.name}"
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-o", str(out)]
    if shutil.which(command[0]) is None:
        return None
    tracer = subprocess.Popen(
        [*command, *(part for pid in pids for part in ("-p", str(pid)))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2)
        if tracer.poll() is not None:
            return None  # it may not trace here
        one_round(side, user, load, count)
    finally:
        tracer.terminate()
        tracer.wait(30)
    total = sum(
        int(match.group(1))
        for match in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(?:fsync|fdatasync|sync_file_range|syncfs)$", out.read_text(), re.MULTILINE)
    )  # fmt: skip
    return total / count if total else None
