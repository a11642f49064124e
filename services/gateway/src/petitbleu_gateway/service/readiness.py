"""Whether the whole stack answers: every service and every backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

_REMEMBERED_SECONDS: Final = 0.5
"""Probes are not repeated more often, so that nobody can make the stack busy by asking how it is."""


class Readiness:
    """Asks all at once, and gives the names of those that do not answer.

    Args:
        checks: Name → whether it answers; an error means no.
    """

    def __init__(self, checks: Mapping[str, Callable[[], Awaitable[bool]]]) -> None:
        self._checks = checks
        self._at = float("-inf")
        self._failing: list[str] = []
        self._lock = asyncio.Lock()

    async def failing(self) -> list[str]:
        """Return the names of those that do not answer, sorted."""
        async with self._lock:
            if time.monotonic() - self._at > _REMEMBERED_SECONDS:
                answers = await asyncio.gather(*(check() for check in self._checks.values()), return_exceptions=True)
                self._failing = sorted(
                    name for name, answer in zip(self._checks, answers, strict=True) if answer is not True
                )
                self._at = time.monotonic()
            return self._failing
