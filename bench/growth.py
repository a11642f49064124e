"""How a cost grows when the work grows: reads against the size of a mailbox, delivery against the number of accounts.

The machine may be shared, so sizes are measured in turn, round by round, and each round is compared with its neighbour:
the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import processes
from load import JmapEyes, Load, Sender, message, send_spread, smtp_source, wait_for
from mailpath import percentile
from ours import PASSWORD, Ours

# Loaded before it is looked whether all is visible: what is under way stays small, and a failure is told early.
_LOAD_AT_ONCE = 10_000
_LISTED = 50
# Below this the stack has nothing left to do for what was loaded: packing, vacuum, events.
_QUIET_CORE = 0.12
_QUIET_SECONDS = 4.0


def quiet(ours: Ours, say: Callable[[str], None], seconds: float = 120) -> None:
    """Wait until a stack is idle, so that the work of loading it is not counted for what comes after."""
    deadline = time.monotonic() + seconds
    while True:
        before = processes.usage(ours.pids()).cpu
        time.sleep(_QUIET_SECONDS)
        cores = (processes.usage(ours.pids()).cpu - before) / _QUIET_SECONDS
        if cores < _QUIET_CORE:
            return
        if time.monotonic() > deadline:
            say(f"  after {seconds:.0f} s the stack still uses {cores:.2f} cores; measured nevertheless")
            return


def _list_many(ours: Ours, eyes: JmapEyes, times: int) -> tuple[float, list[float]]:
    """CPU milliseconds of each list, of all processes, and the seconds that each took."""
    clocks = []
    before = processes.usage(ours.pids()).cpu
    for _ in range(times):
        started = time.perf_counter()
        listed = eyes.list_fifty()
        clocks.append(time.perf_counter() - started)
        if listed != _LISTED:
            raise RuntimeError(f"{listed} messages listed, not {_LISTED}")
    return (processes.usage(ours.pids()).cpu - before) * 1000 / times, clocks


def _fill(ours: Ours, size: int, say: Callable[[str], None]) -> JmapEyes:
    """Make an account and send it so many mails by SMTP; return its eyes."""
    user = f"reader{size}"
    ours.create(user)
    eyes = JmapEyes(ours.http_port, f"{user}@demo.test", PASSWORD)
    started = time.monotonic()
    sent = 0
    while sent < size:
        count = min(_LOAD_AT_ONCE, size - sent)
        smtp_source(ours.smtp_port, f"{user}@demo.test", Load(1024, 20, kept=True), count)
        sent += count
        wait_for(eyes, sent)
    say(f"  loaded {size} mails by SMTP in {time.monotonic() - started:.0f} s")
    return eyes


def reads(
    ours: Ours, sizes: Sequence[int], say: Callable[[str], None], rounds: int = 7, times: int = 60
) -> list[dict[str, Any]]:
    """Email/query + Email/get of 50 against mailboxes of each size, in turn."""
    eyes = {size: _fill(ours, size, say) for size in sizes}
    ours.pack()
    quiet(ours, say)
    for reader in eyes.values():
        _list_many(ours, reader, 20)  # warm-up, not counted
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    clocks: dict[int, list[list[float]]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            spent, taken = _list_many(ours, eyes[size], times)
            cpu[size].append(spent)
            clocks[size].append(taken)
    rows = []
    for size in sizes:
        every = [clock for taken in clocks[size] for clock in taken]
        rows.append({
            "messages": size, "rounds": rounds, "reads": rounds * times,
            "cpu_ms": statistics.median(cpu[size]), "cpu_ms_of_rounds": cpu[size],
            "ratio": _paired(cpu[size], cpu[sizes[0]]),
            "p50_ms": percentile(every, 0.5) * 1000, "p99_ms": percentile(every, 0.99) * 1000,
            "wall_ratio": _paired([statistics.median(taken) for taken in clocks[size]],
                                  [statistics.median(taken) for taken in clocks[sizes[0]]]),
        })  # fmt: skip
        eyes[size].close()
    return rows


def _paired(measured: Sequence[float], smallest: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(measured, smallest, strict=True))


class _Town:
    """A stack with so many accounts, none with mail."""

    def __init__(self, ours: Ours, size: int, say: Callable[[str], None]) -> None:
        self.ours = ours
        self.size = size
        started = time.monotonic()
        ours.create("sentinel")
        ours.create_many("m%d", size)
        say(f"  made {size} accounts in {time.monotonic() - started:.0f} s")
        self._eyes = JmapEyes(ours.http_port, "sentinel@demo.test", PASSWORD)
        self._chooser = random.Random(20261122)

    def deliver(self, messages: int, among: int) -> dict[str, Any]:
        """Send mail to accounts chosen at random among so many; return what it cost until all of it was in its mailboxes."""
        targets = [f"m{self._chooser.randrange(among)}@demo.test" for _ in range(messages)]
        before = processes.cpu_by_name(self.ours.roots())
        started = time.monotonic()
        send_spread(self.ours.smtp_port, targets, 8192)
        # The last mail goes to an account that can be seen; delivery is not in order, so none may be open either.
        seen = self._eyes.count()
        sender = Sender(self.ours.smtp_port)
        sender.send("sentinel@demo.test", message(1, 1024, "sentinel@demo.test"))
        sender.close()
        wait_for(self._eyes, seen + 1, pause=0.2)
        deadline = time.monotonic() + 120
        while left := self.ours.status()["open_recipients"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{left} recipients are still open after 120 s")
            time.sleep(0.2)
        seconds = time.monotonic() - started
        after = processes.cpu_by_name(self.ours.roots())
        by_process = {name: (after[name] - before.get(name, 0.0)) * 1000 / messages for name in sorted(after)}
        return {"cpu_ms": sum(by_process.values()), "seconds": seconds, "by_process": by_process}

    def close(self) -> None:
        """Hang up."""
        self._eyes.close()


def accounts(
    stacks: Sequence[Ours], sizes: Sequence[int], messages: int, say: Callable[[str], None], rounds: int = 9
) -> list[dict[str, Any]]:
    """Delivery's CPU a message when mail goes to accounts chosen at random among few or many: one stack for each size.

    Among many, most mail is the first in minutes to its account, and must look up what is remembered of few; so a last row
    sends to as many accounts of the larger stack as the smaller one has: it grows only with what else is there.
    """
    towns = [_Town(ours, size, say) for ours, size in zip(stacks, sizes, strict=True)]
    cells = [(town, town.size) for town in towns] + [(towns[-1], sizes[0])]
    for town in towns:
        quiet(town.ours, say)
    for town, among in cells:
        town.deliver(messages, among)  # warm-up, not counted
    found: list[list[dict[str, Any]]] = [[] for _ in cells]
    for number in range(rounds):
        order = list(enumerate(cells))
        for index, (town, among) in order if number % 2 == 0 else reversed(order):
            found[index].append(town.deliver(messages, among))
    rows = []
    for (town, among), measured in zip(cells, found, strict=True):
        cpu = [one["cpu_ms"] for one in measured]
        rows.append({
            "accounts": town.size, "among": among, "rounds": rounds, "messages": messages,
            "cpu_ms_per_message": statistics.median(cpu), "cpu_ms_of_rounds": cpu,
            "ratio": _paired(cpu, [one["cpu_ms"] for one in found[0]]),
            "seconds": statistics.median(one["seconds"] for one in measured),
            "wall_ratio": _paired([one["seconds"] for one in measured], [one["seconds"] for one in found[0]]),
            "by_process": {name: statistics.median(one["by_process"].get(name, 0.0) for one in measured)
                           for name in measured[0]["by_process"]},
        })  # fmt: skip
    for town in towns:
        town.close()
    return rows


def idle(ours: Ours, seconds: float = 30) -> dict[str, Any]:
    """What the whole stack takes when nothing happens."""
    time.sleep(5)
    before = processes.cpu_by_name(ours.roots())
    time.sleep(seconds)
    after = processes.cpu_by_name(ours.roots())
    return {
        "pss_mib": processes.pss_mib(ours.pids()),
        "pss_mib_by_process": {name: processes.pss_mib([pid]) for name, pid in ours.roots().items()},
        "core_percent": sum(after[name] - before.get(name, 0) for name in after) / seconds * 100,
        "core_percent_by_process": {name: (after[name] - before.get(name, 0)) / seconds * 100 for name in after},
    }
