"""What processes cost, read from /proc: CPU, memory and bytes written of whole process trees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def tree(roots: list[int]) -> list[int]:
    """Return the pids of `roots` and of all that descend from them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = set(roots)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return sorted(pid for pid in found if pid in parents)


@dataclass(frozen=True)
class Usage:
    """CPU seconds (user + system, ended children included) and bytes handed to the kernel for writing."""

    cpu: float
    written: int


def usage(roots: list[int]) -> Usage:
    """Sum the usage of whole trees. A child's CPU counts for its parent once it has ended and been waited for."""
    cpu = 0.0
    written = 0
    for pid in tree(roots):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(int(field) for field in fields[11:15]) / _TICK
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    written += int(line.split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return Usage(cpu, written)


def cpu_by_name(roots: dict[str, int]) -> dict[str, float]:
    """CPU seconds so far of each named tree."""
    return {name: usage([pid]).cpu for name, pid in roots.items()}


def pss_mib(roots: list[int]) -> float:
    """Proportional set size of whole trees in MiB."""
    total = 0
    for pid in tree(roots):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024
