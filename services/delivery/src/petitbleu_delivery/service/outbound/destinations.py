"""What is known of a destination: how many letters it takes at once, and whether it can be reached."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from petitbleu_delivery.domain.outbound import Answer
from petitbleu_delivery.service.outbound.lines import Line

_DOWN_FIRST: Final = 60.0
_DOWN_LONGEST: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and times of sending, in numbers, octets and seconds.

    Attributes:
        connections: Letters on their way at once.
        a_destination: The same to one destination, once it has shown that it takes them.
        first: To a destination of which nothing is known.
        units: Units in hand.
        octets: Octets of letters in memory.
        first_retry: Pause after the first attempt; doubled by each.
        longest_retry: Longest pause.
        expires: After so long a recipient has failed (RFC 5321 §4.5.4.1: four to five days).
        warns: After so long the sender is told that it takes long.
        slow_after: A letter that is on its way for so long is counted apart from `connections`.
        slow: Such letters at once, in memory as the others are; beyond them, they keep their places.
    """

    connections: int = 200
    a_destination: int = 20
    first: int = 5
    units: int = 5000
    octets: int = 256 << 20
    first_retry: float = 300.0
    longest_retry: float = 4 * 3600.0
    expires: float = 5 * 86400.0
    warns: float = 4 * 3600.0
    slow_after: float = 3.0
    slow: int = 1000


@dataclass(slots=True)
class Destination:
    """A domain to which units go.

    Attributes:
        name: It, in A-labels.
        allowed: Letters to it at once; the fraction is what it has earned towards the next.
        waiting: Units for it that are in hand and not on their way.
        active: Letters on their way to it.
        slow: Those of them that are for long.
        failures: How often, one time after the other, it could not be reached.
        down_until: Unix seconds before which it is left in peace.
        ready: In which class it stands in line for its next unit; None when it does not.
    """

    name: str
    allowed: float
    waiting: Line = field(default_factory=Line)
    active: int = 0
    slow: int = 0
    failures: int = 0
    down_until: float = 0.0
    ready: int | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits for it or is on its way to it."""
        return not self.waiting and not self.active

    @property
    def stuck(self) -> bool:
        """Whether several letters are on their way to it, and all of them for long: it may hang."""
        return self.slow > 1 and self.slow == self.active

    @property
    def takes_more(self) -> bool:
        """Whether another unit may be begun."""
        return bool(self.waiting) and self.active < int(self.allowed) and not self.stuck

    def learn(self, answers: Sequence[Answer], limits: Limits) -> bool:
        """Have more at once where mail is taken, and peace for a while where nobody is reached; say whether it was reached."""
        if any(answer.reached for answer in answers):
            self.forgive()
            if all(answer.reply.code not in {0, 421} for answer in answers):
                self.allowed = min(self.allowed + 0.5, limits.a_destination)
            else:
                self.allowed = max(1.0, self.allowed / 2)
            return True
        self.failures += 1
        self.allowed = max(1.0, self.allowed / 2)
        pause = min(_DOWN_FIRST * (1 << min(self.failures - 1, 10)), _DOWN_LONGEST, limits.first_retry)
        self.down_until = time.time() + jittered(pause)
        return False

    def forgive(self) -> None:
        """Forget that it could not be reached."""
        self.failures = 0
        self.down_until = 0.0


def jittered(seconds: float) -> float:
    """Spread what fell together: up to a tenth more or less."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 — no secret
