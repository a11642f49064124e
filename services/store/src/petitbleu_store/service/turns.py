"""Turns at something scarce: few at once, and each account waits for its own before it stands in the line of all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from petitbleu_store.errors import Problem, StoreError


@dataclass(slots=True)
class _Line:
    """Those of one account: the one whose turn it is, or who stands in the line of all for it, and those behind."""

    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    inside: int = 0


class Turns:
    """Gives turns. One account never stands in the line of all twice, so another waits for one of its turns at most.

    Args:
        at_once: Turns at once, of all accounts; an account has one.
        waiting: How many of one account may be inside or wait.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._waiting = waiting
        self._lines: dict[int, _Line] = {}

    @contextlib.asynccontextmanager
    async def turn(self, account_id: int) -> AsyncIterator[None]:
        """Wait for an account's turn, and have it.

        Raises:
            StoreError: BUSY when too many of the account wait already.
        """
        line = self._lines.setdefault(account_id, _Line())
        if line.inside >= self._waiting:
            raise StoreError(Problem.BUSY)
        line.inside += 1
        try:
            async with line.turn, self._all:
                yield
        finally:
            line.inside -= 1
            if not line.inside:
                del self._lines[account_id]
