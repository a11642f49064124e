"""What `make run` shows: plain lines, and one line that says what start-up waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TextIO


class Console:
    """Writes lines; keeps at most one progress line, redrawn in place on a terminal and said once elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._drawn = False
        self._said = ""
        self._since = time.monotonic()

    def line(self, text: str) -> None:
        """Print a whole line."""
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def waiting(self, names: Iterable[str]) -> None:
        """Show what start-up waits for; nothing when `names` is empty."""
        what = ", ".join(names)
        if not what:
            self._clear()
            return
        if self._terminal:
            self._clear()
            self._stream.write(f"waiting for {what} ({time.monotonic() - self._since:.0f} s)")
            self._drawn = True
        elif what != self._said:
            self._stream.write(f"waiting for {what}\n")
        self._said = what
        self._stream.flush()

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False
