"""`make bench`: every benchmark in one run, a table on standard output and a file in bench/results/.

Both sides run with their shipped defaults, durability on. This machine may be shared: read the ratios and the CPU time.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import growth
import mailpath
import peers
import processes
from load import Load
from ours import Ours

RESULTS = Path(__file__).parent / "results"
MAIN = [Load(8192, 20, kept=True), Load(8192, 20, kept=False)]
OTHERS = [Load(8192, 1, True), Load(8192, 1, False), Load(61440, 20, True), Load(61440, 20, False), Load(61440, 1, True), Load(61440, 1, False)]  # fmt: skip


def _say(line: str = "") -> None:
    print(line, flush=True)


def _cell(table: dict[str, Any]) -> None:
    _say(f"\n{table['name']}  ({table['rounds']} rounds of {table['messages']})")
    for side in ("ours", "peer"):
        row = table[side]
        _say(f"  {side:5} {row['messages_per_second']:8.0f} messages/s {row['cpu_ms_per_message']:7.2f} ms CPU/message "
             f"{row['bytes_written_per_message'] / 1024:8.1f} KiB written/message")  # fmt: skip
    _say(f"  ratio {table['throughput_ratio']:8.2f} x          {table['cpu_ratio']:7.2f}")


def main() -> int:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and smaller mailboxes: to try the benchmark itself"
    )
    parser.add_argument("--only", choices=["mail", "lone", "idle", "reads", "accounts"], action="append", default=[])
    parser.add_argument("--offset", type=int, default=900, help="added to our ports")
    options = parser.parse_args()
    wanted = set(options.only) or {"mail", "lone", "idle", "reads", "accounts"}
    lack = peers.missing()
    if lack:
        _say(f"NO PEER: {lack}; the side-by-side cells are skipped")
    root = Path(tempfile.mkdtemp(prefix="petitbleu-bench-"))
    root.chmod(0o755)
    result: dict[str, Any] = {
        "machine": {"cpus": __import__("os").cpu_count(), "kernel": platform.release()},
        "at": int(time.time()),
    }
    ours = Ours(root / "ours", options.offset)
    peer = peers.Peer(root / "peer", 5025 + options.offset, 5143 + options.offset)
    try:
        ours.start()
        ours.create("target")
        if not lack:
            (root / "peer").mkdir(mode=0o755)
            peer.start(["target"])
        if "idle" in wanted:
            result["idle"] = growth.idle(ours)
            _say(f"\nidle: {result['idle']['pss_mib']:.0f} MiB PSS, {result['idle']['core_percent']:.1f} % of a core")
            for name, value in sorted(result["idle"]["pss_mib_by_process"].items()):
                _say(f"  {name:14} {value:7.0f} MiB {result['idle']['core_percent_by_process'].get(name, 0):6.2f} %")
        if not lack:
            both = mailpath.sides(ours, peer)
            if "lone" in wanted:
                result["lone"] = mailpath.lone(both, "target", 40 if options.quick else 200)
                _say(f"\na lone message, {result['lone']['tries']} tries")
                for side in ("ours", "peer"):
                    row = result["lone"][side]
                    _say(f"  {side:5} accept p50 {row['accept_ms']['p50']:6.1f} p99 {row['accept_ms']['p99']:6.1f} ms, "
                         f"visible p50 {row['visible_ms']['p50']:6.1f} p99 {row['visible_ms']['p99']:6.1f} ms")  # fmt: skip
            if "mail" in wanted:
                result["mail"] = []
                for load in MAIN:
                    result["mail"].append(
                        mailpath.compare(
                            both, "target", load, 3 if options.quick else 7, 1000 if options.quick else 2000
                        )
                    )
                    _cell(result["mail"][-1])
                result["steps"] = mailpath.steps(ours, "target", MAIN[0], 2000)
                _say("\nCPU of each of our processes, " + MAIN[0].name)
                for name, value in result["steps"].items():
                    _say(f"  {name:14} {value:7.3f} ms/message")
                result["fsyncs"] = {side.name: mailpath.fsyncs(side, "target", MAIN[0], 400, root) for side in both}
                _say(f"fsyncs a message: {result['fsyncs']}")
                if not options.quick:
                    for load in OTHERS:
                        result["mail"].append(
                            mailpath.compare(both, "target", load, 3, 400 if load.octets > 10_000 else 600)
                        )
                        _cell(result["mail"][-1])
                result["pss_mib_after_load"] = {side.name: processes.pss_mib(side.pids()) for side in both}
                _say(f"PSS after load, MiB: {result['pss_mib_after_load']}")
                ours.cli("store", "pack")
                bodies = ours.metric("store", "petitbleu_store_segment_bodies_sum")
                puts = ours.metric("store", "petitbleu_store_segment_bodies_count")
                result["mails_per_segment_put"] = bodies / puts if puts else None
                _say(f"mails in each segment PUT: {result['mails_per_segment_put']}")
            peer.stop()
        if "reads" in wanted:
            result["reads"] = growth.reads(ours, [200, 1000] if options.quick else [1000, 10_000, 100_000])
            _say("\nEmail/query + Email/get of 50, newest first")
            for row in result["reads"]:
                _say(
                    f"  {row['messages']:7} messages {row['cpu_ms']:6.2f} ms CPU ({row['ratio']:.2f} x) p50 {row['p50_ms']:.1f} p99 {row['p99_ms']:.1f} ms"
                )
        if "accounts" in wanted:
            result["accounts"] = growth.accounts(
                ours, [100, 1000] if options.quick else [1000, 100_000], 600 if options.quick else 3000
            )
            _say("\ndelivery, mail spread over accounts")
            for row in result["accounts"]:
                _say(
                    f"  {row['accounts']:7} accounts {row['cpu_ms_per_message']:6.2f} ms CPU/message ({row['ratio']:.2f} x)"
                )
    finally:
        peer.stop()
        ours.stop()
        shutil.rmtree(root, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps(result, indent=1))
    _say(f"\nwritten: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
