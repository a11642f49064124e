"""Text as it is gathered from a file, up to a bound."""

from __future__ import annotations

from petitbleu_store.adapters.extraction.outcomes import Outcome


class Full(Exception):  # noqa: N818 - nothing went wrong: there is enough
    """There is as much text as may be."""


class ReadingError(Exception):
    """A file cannot be read; the outcome says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class Gathered:
    """Pieces of text, together at most so many characters."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        """Add a piece.

        Raises:
            Full: there is no room for all of it.
        """
        self._pieces.append(text[: self._room])
        self._room -= len(text)
        if self._room < 0:
            raise Full

    def text(self) -> str:
        """Return the text, lines without blanks at their ends, and none that is empty."""
        lines = map(str.strip, "".join(self._pieces).splitlines())
        return "\n".join([line for line in lines if line])
