"""Log files of the children: appended to by the child itself, kept small by the supervisor."""

from __future__ import annotations

import os
import shutil
from io import FileIO
from pathlib import Path

ROTATE_BYTES = 16 * 1024 * 1024
KEPT_ROTATIONS = 2
TAIL_BYTES = 8192
SHOWN_CHARACTERS = 300


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def open_log(path: Path) -> FileIO:
    """Open for appending, mode 0600; appending is what lets `rotate` cut the file under its writer."""
    return FileIO(path, "a", opener=_private)


def rotate(path: Path, limit: int = ROTATE_BYTES) -> bool:
    """Copy a log over `limit` bytes to `.1` (and `.1` to `.2`), then cut it; whether it did.

    The writer keeps its descriptor: what it writes between the copy and the cut is lost, which a log may be.

    Raises:
        OSError: there is no room for the copy; the log is as it was.
    """
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    names = [path.with_name(f"{path.name}.{number}") for number in range(1, KEPT_ROTATIONS + 1)]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)
    try:
        shutil.copy2(path, names[0])
    except OSError:
        names[0].unlink(missing_ok=True)
        raise
    os.truncate(path, 0)
    return True


def last_line(path: Path) -> str:
    """Last line of a log that is not blank, shortened; `-` when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return "-"
    for line in reversed(lines):
        if line.strip():
            return line.strip()[:SHOWN_CHARACTERS]
    return "-"
