"""Outlives the supervisor by a moment: when its pipe closes, it ends every process of the stack.

`kill -9` of the supervisor runs no code of ours there. The kernel then signals the direct children (see `shim`), but
neither their own children nor a process that asked for another signal. This process reads the list of leaders
from standard input, one `add <pid> <signal>` or `del <pid>` a line. The pipe closes when the supervisor dies, however.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from petitbleu_dev import proctable

GENTLE_SECONDS = 3.0
"""Time that leaders get after their own stop signal; every promise holds under SIGKILL, so it can be short."""

TICK_SECONDS = 0.05


def read_leaders(lines: Iterable[str]) -> dict[int, signal.Signals] | None:
    """Leaders still registered when `lines` end, with the signal that stops each; None after an orderly `bye`."""
    leaders: dict[int, signal.Signals] = {}
    for line in lines:
        with suppress(ValueError):  # a line cut short by the supervisor's death
            match line.split():
                case ["add", pid, signum]:
                    leaders[int(pid)] = signal.Signals(int(signum))
                case ["del", pid]:
                    leaders.pop(int(pid), None)
                case ["bye"]:
                    return None
    return leaders


def end(leaders: dict[int, signal.Signals], marker: str) -> None:
    """Stop the leaders, then kill whatever of their families is left."""
    known = proctable.family(leaders, proctable.entries())
    for pid, signum in leaders.items():
        proctable.send([pid], signum)
    deadline = time.monotonic() + GENTLE_SECONDS
    while time.monotonic() < deadline:
        alive = {entry.pid for entry in proctable.entries()}
        if not alive & (known | proctable.family(leaders, proctable.entries())):
            break
        time.sleep(TICK_SECONDS)
    while True:
        table = list(proctable.entries())
        alive = {entry.pid for entry in table}
        left = (known | proctable.family(leaders, table) | proctable.carrying(marker)) & alive
        if not left:
            return
        proctable.send(left, signal.SIGKILL)
        time.sleep(TICK_SECONDS)


def main() -> None:
    """Wait for the pipe to close, then end what is left."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    leaders = read_leaders(sys.stdin)
    if leaders is not None:
        end(leaders, sys.argv[1])


if __name__ == "__main__":
    main()
