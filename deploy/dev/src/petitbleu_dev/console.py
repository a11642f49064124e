"""What `make run` shows: plain lines, and one line that says what start-up waits for."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO


class Console:
    """Writes lines; keeps at most one progress line, redrawn in place on a terminal and said once elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._drawn = False
        self._said = ""
        self._since: float | None = None

    def line(self, text: str) -> None:
        """Print a whole line; one that cannot be printed (a file on a full disk, a pipe that nobody reads) ends nothing."""
        with suppress(OSError):
            self._clear()
            self._stream.write(text + "\n")
            self._stream.flush()

    def waiting(self, names: Iterable[str]) -> None:
        """Show what is waited for and for how long by now; no names end the wait."""
        with suppress(OSError):
            self._show(names)

    def _show(self, names: Iterable[str]) -> None:
        what = ", ".join(names)
        if not what:
            self._clear()
            self._since = None
            return
        if self._since is None:
            self._since = time.monotonic()
        if self._terminal:
            self._clear()
            self._stream.write(_fitted(f"waiting for {what}", f" ({time.monotonic() - self._since:.0f} s)"))
            self._drawn = True
        elif what != self._said:
            self._stream.write(f"waiting for {what}\n")
        self._said = what
        self._stream.flush()

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False


def _fitted(text: str, tail: str) -> str:
    """Text and tail in one row of the terminal: a row that wraps could not be taken back."""
    room = shutil.get_terminal_size().columns - 1 - len(tail)
    return (text if len(text) <= room else text[: max(0, room - 3)] + "...") + tail
