"""`make bench`: every benchmark in one run, a table on standard output and a file in bench/results/.

Both sides run with their shipped defaults, durability on. This machine may be shared: read the ratios and the CPU time.
The exit status is 0 when all that was asked for was measured, whatever the verdicts at the end say; 1 when a part could not be
measured: the other parts are measured all the same, and the table says which is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boxes
import families
import growth
import guard
import judging
import mailpath
import outbound
import peers
import processes
import push
import search
import verdicts
import world
from load import Load
from ours import Ours

RESULTS = Path(__file__).parent / "results"
MAIN = [Load(8192, 20, kept=True), Load(8192, 20, kept=False)]
OTHERS = [Load(8192, 1, True), Load(8192, 1, False), Load(61440, 20, True), Load(61440, 20, False), Load(61440, 1, True), Load(61440, 1, False)]  # fmt: skip
CELLS = (
    "idle",
    "push",
    "lone",
    "mail",
    "boxes",
    "reads",
    "judging",
    "search",
    "accounts",
    "outbound",
    "guard",
    "alerts",
    "signups",
)
# Measured on stacks of their own.
APART = {"accounts", "search", "outbound", "guard", "alerts", "signups"}
PAIRED = {"lone", "mail", "boxes"}
BOXES = [1000, 10_000, 100_000]
# From the ports of the first stack to those of the second, in steps that meet none of its ports.
SECOND = 100
THIRD = 200


def _say(line: str = "") -> None:
    print(line, flush=True)


class Bench:
    """One run.

    Args:
        options: The command line.
        root: An empty directory that everybody may enter.
    """

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        self.quick: bool = options.quick
        self.offset: int = options.offset
        self.root = root
        self.failed: dict[str, str] = {}
        self.result: dict[str, Any] = {
            "machine": {"cpus": os.cpu_count(), "kernel": platform.release()},
            "at": int(time.time()),
            "quick": self.quick,
            "failed": self.failed,
        }
        self.ours = Ours(root / "ours", self.offset)
        self.peer = peers.Peer(root / "peer", 5025 + self.offset, 5143 + self.offset)

    def run(self, wanted: set[str]) -> None:
        """Measure what is wanted; one cell that fails leaves the others."""
        lack = peers.missing()
        if lack and wanted & PAIRED:
            _say(f"NO PEER: {lack}; the side-by-side cells are skipped")
        with contextlib.ExitStack() as last:
            last.callback(self.ours.stop)
            last.callback(self.peer.stop)
            if wanted - APART:
                self.ours.start()
                self.ours.create("target")
            for name, work in (("idle", self._idle), ("push", self._push)):
                if name in wanted:
                    self._cell(name, work)
            if wanted & PAIRED and not lack and self._cell("peer", self._start_peer):
                for name, work in (("lone", self._lone), ("mail", self._mail), ("boxes", self._boxes)):
                    if name in wanted:
                        self._cell(name, work)
            self.peer.stop()
            if "reads" in wanted:
                self._cell("reads", self._reads)
            if "judging" in wanted:
                self._cell("judging", lambda: self._judging(lack))
            if wanted & APART:
                self.ours.stop()  # what it holds by now is not part of these comparisons
            for name, work in (
                ("search", self._search),
                ("accounts", self._accounts),
                ("outbound", self._outbound),
                ("guard", self._guard),
                ("alerts", self._alerts),
                ("signups", self._sign_ups),
            ):
                if name in wanted:
                    self._cell(name, work)

    def _cell(self, name: str, work: Callable[[], None]) -> bool:
        started = time.monotonic()
        try:
            work()
        except Exception as error:  # noqa: BLE001 — it is told, and fails the run at its end
            traceback.print_exc()
            self.failed[name] = f"{type(error).__name__}: {error}"[:2000]
            _say(f"\nNOT MEASURED: {name}: {self.failed[name]}")
            return False
        finally:
            self.result.setdefault("seconds", {})[name] = round(time.monotonic() - started)
        return True

    def _start_peer(self) -> None:
        (self.root / "peer").mkdir(mode=0o755)
        self.peer.start(["target", *[f"boxes{size}" for size in self._sizes()]])

    def _idle(self) -> None:
        found = self.result["idle"] = growth.idle(self.ours)
        _say(f"\nidle: {found['pss_mib']:.0f} MiB PSS, {found['core_percent']:.1f} % of a core")
        for name, value in sorted(found["pss_mib_by_process"].items()):
            _say(f"  {name:14} {value:7.0f} MiB {found['core_percent_by_process'].get(name, 0):6.2f} %")

    def _push(self) -> None:
        _say("\npush connections, half event streams, half WebSockets")
        count, changes = (200, 20) if self.quick else (2000, 200)
        self.result["push"] = push.push(self.ours, count, changes, _say)
        for line in push.lines(self.result["push"]):
            _say(line)

    def _lone(self) -> None:
        both = mailpath.sides(self.ours, self.peer)
        found = self.result["lone"] = mailpath.lone(both, "target", 40 if self.quick else 200)
        _say(f"\na lone message, {found['tries']} tries")
        for side in ("ours", "peer"):
            row = found[side]
            _say(f"  {side:5} accept p50 {row['accept_ms']['p50']:6.1f} p99 {row['accept_ms']['p99']:6.1f} ms, "
                 f"visible p50 {row['visible_ms']['p50']:6.1f} p99 {row['visible_ms']['p99']:6.1f} ms")  # fmt: skip

    def _mail(self) -> None:
        both = mailpath.sides(self.ours, self.peer)
        found = self.result["mail"] = []
        before = mailpath.segments(self.ours)
        for load in MAIN:
            found.append(mailpath.compare(both, "target", load, 3 if self.quick else 7, 1000 if self.quick else 2000))
            _compared(found[-1])
        bodies, puts = (after - start for after, start in zip(mailpath.segments(self.ours), before, strict=True))
        self.result["mails_per_segment_put"] = bodies / puts if puts else None
        _say(f"\nmails in each segment PUT: {bodies:.0f} in {puts:.0f} PUTs = {bodies / puts if puts else 0:.0f}")
        self.result["steps"] = mailpath.steps(self.ours, "target", MAIN[0], 2000)
        _say("\nCPU of each of our processes, " + MAIN[0].name)
        for name, value in self.result["steps"].items():
            _say(f"  {name:14} {value:7.3f} ms/message")
        self.result["fsyncs"] = {
            side.name: mailpath.fsyncs(side, "target", MAIN[0], 400, self.root) for side in both
        }  # fmt: skip
        _say(f"fsyncs a message: {self.result['fsyncs']}")
        if not self.quick:
            for load in OTHERS:
                found.append(mailpath.compare(both, "target", load, 3, 400 if load.octets > 10_000 else 600))
                _compared(found[-1])
        self.result["pss_mib_after_load"] = {side.name: processes.pss_mib(side.pids()) for side in both}
        _say(f"PSS after load, MiB: {self.result['pss_mib_after_load']}")

    def _sizes(self) -> list[int]:
        return [200, 1000] if self.quick else BOXES

    def _boxes(self) -> None:
        _say("\na client's day, ours by JMAP and the peer by IMAP")
        self.result["boxes"] = boxes.boxes(self.ours, self.peer, self._sizes(), _say, 3 if self.quick else 5)

    def _reads(self) -> None:
        _say("\nEmail/query + Email/get of 50, newest first")
        sizes = [200, 1000] if self.quick else [1000, 10_000, 100_000]
        self.result["reads"] = growth.reads(self.ours, sizes, _say)
        for row in self.result["reads"]:
            _say(f"  {row['messages']:7} messages {row['cpu_ms']:6.2f} ms CPU ({row['ratio']:.2f} x), "
                 f"p50 {row['p50_ms']:.1f} ({row['wall_ratio']:.2f} x) p99 {row['p99_ms']:.1f} ms")  # fmt: skip

    def _judging(self, lack: str) -> None:
        """Judging on and off; the peer judges by rspamd."""
        _say("\nsigned mail, 8 KiB, 20 sessions kept: ours with judging off and on, Postfix + Dovecot + rspamd")
        peer = None
        if lack or judging.Filter.missing():
            _say(f"NO PEER: {lack or 'rspamd is not installed'}")
        else:
            (self.root / "judged").mkdir(mode=0o755)
            ports = (5225 + self.offset, 5243 + self.offset)
            peer = peers.Peer(self.root / "judged", *ports, milter=ports[0] + 7)
        rounds, count = (2, 300) if self.quick else (7, 1000)
        try:
            self.result["judging"] = judging.judging(self.ours, peer, self.root, "target", rounds, count, _say)
        finally:
            if peer is not None:
                peer.stop()

    def _search(self) -> None:
        _say("\nsearch, in two stacks")
        stacks = [Ours(self.root / "alone", self.offset + SECOND), Ours(self.root / "crowded", self.offset + THIRD)]
        with contextlib.ExitStack() as last:
            for stack in stacks:
                last.callback(stack.stop)
                stack.start()
            size, others = (500, 20_000) if self.quick else (10_000, 1_000_000)
            self.result["search"] = search.search(stacks, size, others, _say, 3 if self.quick else 7)
        for line in search.lines(self.result["search"]):
            _say(line)

    def _accounts(self) -> None:
        _say("\ndelivery, 8 KiB, 20 sessions kept, mail spread over accounts; a stack for each size")
        sizes = [100, 1000] if self.quick else [1000, 100_000]
        stacks = [Ours(self.root / "few", self.offset + SECOND), Ours(self.root / "many", self.offset + THIRD)]
        with contextlib.ExitStack() as last:
            for stack in stacks:
                last.callback(stack.stop)
                stack.start()
            self.result["accounts"] = growth.accounts(stacks, sizes, 600 if self.quick else 2000, _say)
        rows = self.result["accounts"]
        for row in rows:
            _say(f"  {row['accounts']:7} accounts, mail to {row['among']:6} of them {row['cpu_ms_per_message']:6.2f} ms CPU/message ({row['ratio']:.2f} x), "
                 f"{row['messages'] / row['seconds']:.0f} messages/s ({1 / row['wall_ratio']:.2f} x)")  # fmt: skip
        for name in rows[0]["by_process"]:
            _say(f"    {name:14}" + "".join(f"{row['by_process'].get(name, 0):8.3f}" for row in rows) + " ms/message")

    def _outbound(self) -> None:
        lack = world.missing()
        if lack:
            raise RuntimeError(f"no peer: {lack}")
        _say("\nmail that goes out, to a Postfix that discards it")
        root, port = self.root / "out", 5025 + self.offset + SECOND
        root.mkdir(mode=0o755)
        resolver = world.Resolver(root / "names", f"127.77.{self.offset % 250}.53")
        sink, silence = world.Sink(root / "sink", port), world.Silence(port)
        theirs = outbound.PeerSending(root / "peer", port + 1, port, resolver.address)
        settings = {
            "PETITBLEU_DKIM_ED25519": "0", "PETITBLEU_OUTBOUND_PORT": str(port), "PETITBLEU_DNS": f"{resolver.address}:53",
            "PETITBLEU_EGRESS_ALLOW": "127.0.0.0/8",
        }  # fmt: skip
        mine = Ours(root / "ours", self.offset + THIRD, settings)
        with contextlib.ExitStack() as last:
            for part in (silence.close, resolver.stop, sink.stop, theirs.stop, mine.stop):
                last.callback(part)
            for begin in (resolver.start, sink.start, theirs.start, mine.start):
                begin()
            pair = outbound.Bench((outbound.OurSending(mine), theirs), sink, silence, _say)
            rounds, count = (2, 500) if self.quick else (7, 2000)
            self.result["outbound"] = outbound.outbound(mine, pair, rounds, count)
        for line in outbound.lines(self.result["outbound"]):
            _say(line)

    def _guard(self) -> None:
        sizes, batches = ((200, 2000), 100) if self.quick else ((1000, 100_000), 600)
        _say(f"\nchecks of children's mail, batches of {guard.BATCH}, {guard.CORRESPONDENTS} correspondents a child")
        self.result["guard"] = guard.guard(self.root, self.offset, sizes, batches, _say)

    def _alerts(self) -> None:
        tries = 20 if self.quick else 200
        _say(f"\nmail that waits, until a guardian's page shows who wrote it, {tries} tries")
        found = self.result["alerts"] = families.alerts(self.root, self.offset + SECOND, tries)
        _say("  " + ", ".join(f"{name} {value:.0f} ms" for name, value in found["shown_ms"].items()))

    def _sign_ups(self) -> None:
        seconds = 30 if self.quick else 600
        _say(f"\n{families.SIGN_UPS_A_SECOND} sign-ups/s for {seconds} s beside {families.MAILS_A_SECOND} mails/s")
        found = self.result["signups"] = families.sign_ups(self.root, self.offset + THIRD, seconds, _say)
        for name, value in found.items():
            _say(f"  {name}: {value}")


def _compared(table: dict[str, Any]) -> None:
    _say(f"\n{table['name']}  ({table['rounds']} rounds of {table['messages']})")
    for side in ("ours", "peer"):
        row = table[side]
        _say(f"  {side:5} {row['messages_per_second']:8.0f} messages/s {row['cpu_ms_per_message']:7.2f} ms CPU/message "
             f"{row['bytes_written_per_message'] / 1024:8.1f} KiB written/message")  # fmt: skip
    _say(f"  ratio {table['throughput_ratio']:8.2f} x          {table['cpu_ratio']:7.2f}")


def _stop(_signum: int, _frame: Any) -> None:
    raise SystemExit("stopped")  # through every `finally`, so that no stack is left behind


def main() -> int:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and smaller mailboxes: to try the benchmark itself"
    )
    parser.add_argument("--only", choices=CELLS, action="append", default=[])
    parser.add_argument("--offset", type=int, default=900, help="added to our ports; also 100 and 200 more are used")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    root = Path(tempfile.mkdtemp(prefix="petitbleu-bench-"))
    root.chmod(0o755)
    bench = Bench(options, root)
    try:
        with contextlib.ExitStack() as last:
            last.callback(_finish, bench)
            bench.run(set(options.only) or set(CELLS))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if bench.failed else 0


def _finish(bench: Bench) -> None:
    """Print the verdicts and write the results, also those of a run that was cut short."""
    rows = bench.result["promises"] = verdicts.table(bench.result)
    _say("\nwhat is promised" + (" (a quick run: fewer rounds than promised)" if bench.quick else ""))
    for line in verdicts.lines(rows):
        _say(line)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps(bench.result, indent=1))
    _say(f"\nwritten: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")


if __name__ == "__main__":
    sys.exit(main())
