"""A file system of its own that a test can fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a file system of that size; skips, loudly, where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("NOT ROOT: a disk that can be filled cannot be mounted")
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "tmpfs", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"NO MOUNT HERE: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    """Take all that is left of a file system, and give it back."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as out:
        for block in (1 << 20, 1 << 12):
            try:
                while True:
                    out.write(b"\0" * block)
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()
