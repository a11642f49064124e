"""The octets of messages that a worker holds, over all its sessions, and who waits when they are too many."""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """A session that holds octets."""

    held: int

    def hold_reading(self) -> None:
        """Stop reading from the peer."""

    def release_reading(self) -> None:
        """Read again."""

    def give_up_message(self) -> None:
        """Drop the message in transfer and free its octets; its sender is told 452 4.3.1."""


class ByteBudget:
    """Counts octets. At `limit` every session stops reading at once; at three quarters of it they read again.

    All stop, not only the one that went over, so that the bound is passed by one read at most however many are ready.
    """

    def __init__(self, limit: int, wait: float) -> None:
        self.limit = limit
        self.used = 0
        self.peak = 0
        self.exhausted_at: float | None = None
        self._low = limit * 3 // 4
        self._half = limit // 2
        self._wait = wait
        self._holders: set[Holder] = set()

    @property
    def pressed(self) -> bool:
        """Whether half is in use: messages should leave for storage earlier."""
        return self.used > self._half

    @property
    def exhausted(self) -> bool:
        """Whether sessions wait."""
        return self.exhausted_at is not None

    def join(self, holder: Holder, now: float) -> None:
        """Say that a session begins to receive a message."""
        self._holders.add(holder)
        self.charge(holder, 0, now)

    def leave(self, holder: Holder, now: float) -> None:
        """Say that its message is over, and that it holds nothing of it."""
        self._holders.discard(holder)
        self.charge(holder, 0, now)
        holder.release_reading()

    def charge(self, holder: Holder, octets: int, now: float) -> None:
        """Say that a session now holds `octets` in all."""
        self.used += octets - holder.held
        holder.held = octets
        if self.used > self.peak:  # noqa: PLR1730 — a call of max() costs more than all the rest here
            self.peak = self.used
        if self.exhausted_at is None:
            if self.used >= self.limit:
                self.exhausted_at = now
                for other in self._holders:
                    other.hold_reading()
        elif self.used <= self._low:
            self.exhausted_at = None
            for other in list(self._holders):
                other.release_reading()
        elif holder in self._holders:
            holder.hold_reading()

    def relieve(self, now: float) -> int:
        """When sessions have waited too long, make the largest give up until there is room; return how many did."""
        if self.exhausted_at is None or now - self.exhausted_at < self._wait:
            return 0
        count = 0
        for holder in sorted(self._holders, key=lambda one: -one.held):
            if not self.exhausted:
                break
            holder.give_up_message()
            count += 1
        return count
