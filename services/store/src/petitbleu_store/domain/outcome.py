"""Where a recipient stands."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """Values of `recipient.outcome`, those of petitbleu.store.v1.Outcome; every one but OPEN is settled."""

    OPEN = 1
    FILED = 2
    HELD = 3
    QUEUED = 4
    DISCARDED = 5
    PARKED = 6
