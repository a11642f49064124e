"""How a cost grows when the work grows: reads against the size of a mailbox, delivery against the number of accounts."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import processes
from load import JmapEyes, Load, Sender, message, send_spread, smtp_source, wait_for
from ours import PASSWORD, Ours

_SETTLE = 1.0


def _cpu_of(ours: Ours, work: Any, times: int) -> tuple[float, list[float]]:
    clocks = []
    before = processes.usage(ours.pids()).cpu
    for _ in range(times):
        started = time.perf_counter()
        work()
        clocks.append(time.perf_counter() - started)
    return (processes.usage(ours.pids()).cpu - before) * 1000 / times, clocks


def reads(ours: Ours, sizes: list[int], times: int = 200) -> list[dict[str, Any]]:
    """Email/query + Email/get of 50 against mailboxes of each size; each is read in turn, three times over."""
    eyes = {}
    for size in sizes:
        user = f"reader{size}"
        ours.create(user)
        smtp_source(ours.smtp_port, f"{user}@demo.test", Load(1024, 20, kept=True), size)
        eyes[size] = JmapEyes(ours.http_port, f"{user}@demo.test", PASSWORD)
        wait_for(eyes[size], size, seconds=1200)
    time.sleep(_SETTLE)
    for reader in eyes.values():
        for _ in range(20):
            assert reader.list_fifty() == 50
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    clocks: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(5):
        for size in sizes:
            spent, taken = _cpu_of(ours, eyes[size].list_fifty, times // 5)
            cpu[size].append(spent)
            clocks[size].extend(taken)
    smallest = statistics.median(cpu[sizes[0]])
    rows = []
    for size in sizes:
        ordered = sorted(clocks[size])
        rows.append({
            "messages": size, "cpu_ms": statistics.median(cpu[size]), "ratio": statistics.median(cpu[size]) / smallest,
            "p50_ms": ordered[len(ordered) // 2] * 1000, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        })  # fmt: skip
        eyes[size].close()
    return rows


def accounts(ours: Ours, sizes: list[int], messages: int = 3000, rounds: int = 3) -> list[dict[str, Any]]:
    """Delivery's CPU a message when mail goes to as many different accounts, among few or many."""
    chooser = random.Random(20261122)
    made = 0
    rows: list[dict[str, Any]] = []
    ours.create("sentinel")
    eyes = JmapEyes(ours.http_port, "sentinel@demo.test", PASSWORD)
    for size in sizes:
        ours.create_many(f"m{made}x%d", size - made)
        first, made = made, size
        names = [f"m{first}x{number}@demo.test" for number in range(size - first)]
        spent = []
        for round_number in range(rounds + 1):
            targets = [chooser.choice(names) for _ in range(messages)]
            before = processes.usage(ours.pids()).cpu
            send_spread(ours.smtp_port, targets, 8192)
            # The last mail goes to an account that can be seen; delivery is not in order, so the queue must be empty too.
            seen = eyes.count()
            sender = Sender(ours.smtp_port)
            sender.send("sentinel@demo.test", message(1, 1024, "sentinel@demo.test"))
            sender.close()
            wait_for(eyes, seen + 1)
            while ours.status()["open_recipients"]:
                time.sleep(0.2)
            if round_number:  # the first round warms the caches and is not counted
                spent.append((processes.usage(ours.pids()).cpu - before) * 1000 / messages)
        rows.append({"accounts": size, "cpu_ms_per_message": statistics.median(spent)})
    for row in rows:
        row["ratio"] = row["cpu_ms_per_message"] / rows[0]["cpu_ms_per_message"]
    eyes.close()
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
