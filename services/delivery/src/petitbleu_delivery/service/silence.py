"""A peer that does not answer is left alone for a while: what waits for it holds up nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 8.0


class Silence:
    """How long a peer is not asked: longer each time that it does not answer, not at all once it does.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0
        self._seconds = 0.0

    @property
    def holds(self) -> bool:
        """Whether it is not to be asked now."""
        return self._clock() < self._until

    def lengthen(self) -> None:
        """It did not answer."""
        self._seconds = min(max(_FIRST_SECONDS, self._seconds * 2), _LONGEST_SECONDS)
        self._until = self._clock() + self._seconds

    def end(self) -> None:
        """It answered."""
        self._seconds = 0.0
