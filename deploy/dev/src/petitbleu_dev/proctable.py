"""Reads the kernel's process table: who belongs to this stack. Standard library only; Linux only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Entry:
    """One process: its id, parent, process group and session, as in proc_pid_stat(5)."""

    pid: int
    parent: int
    group: int
    session: int
    state: str


def parse_stat(text: str) -> Entry:
    """Entry of one `/proc/<pid>/stat` line; the program's name may hold spaces and parentheses.

    Raises:
        ValueError: the text is not such a line.
    """
    head, separator, tail = text.rpartition(")")
    pid, _, _ = head.partition(" ")
    fields = tail.split()
    if not separator or len(fields) < 4:
        raise ValueError("not a process status line")
    return Entry(pid=int(pid), state=fields[0], parent=int(fields[1]), group=int(fields[2]), session=int(fields[3]))


def entries() -> Iterator[Entry]:
    """Every process that lives now; zombies are left out."""
    for directory in PROC.iterdir():
        if not directory.name.isdecimal():
            continue
        with suppress(OSError, ValueError):
            entry = parse_stat((directory / "stat").read_text(encoding="utf-8", errors="replace"))
            if entry.state not in {"Z", "X"}:
                yield entry


def family(leaders: Iterable[int], table: Iterable[Entry]) -> set[int]:
    """Leaders, their descendants, and whoever shares a leader's group or session, among `table`."""
    table = list(table)
    wanted = set(leaders)
    found = {entry.pid for entry in table if {entry.pid, entry.group, entry.session} & wanted}
    while True:
        more = {entry.pid for entry in table if entry.parent in found} - found
        if not more:
            return found
        found |= more


def carrying(marker: str) -> set[int]:
    """Processes whose environment at start held `marker`, a whole `NAME=value`; those of other users are not seen."""
    needle = os.fsencode(marker)
    found = set()
    for directory in PROC.iterdir():
        if directory.name.isdecimal():
            with suppress(OSError):
                if needle in (directory / "environ").read_bytes().split(b"\0"):
                    found.add(int(directory.name))
    return found


def children(pid: int) -> set[int]:
    """Direct children of a process, zombies included."""
    found = set()
    for task in (PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):
            found |= {int(child) for child in task.read_text(encoding="ascii").split()}
    return found


def send(pids: Iterable[int], signum: signal.Signals) -> None:
    """Signal each process that still lives and is ours."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)
