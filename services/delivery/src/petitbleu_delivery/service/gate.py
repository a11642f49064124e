"""The gate before a child's mailbox, seen from delivery: no decision of junior-guard, no filing.

store enforces it; this side asks for the decisions, and stops asking for a moment when junior-guard is away, so that a
silent guard holds up nobody else's mail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from prometheus_client import Gauge

from petitbleu_delivery.domain.model import Filed, Placement
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import Guard
from petitbleu_delivery.service.halving import by_halves
from petitbleu_delivery.service.silence import Silence
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_away = Gauge("petitbleu_delivery_guard_away", "1 while junior-guard is not asked because it did not answer")
MAX_ITEMS: Final = 1000


class Gate:
    """Asks junior-guard.

    Args:
        guard: The service.
        clock: Seconds that only grow.
    """

    def __init__(self, guard: Guard, clock: Callable[[], float] = monotonic) -> None:
        self._guard = guard
        self._silence = Silence(clock)

    async def decide(self, placements: Sequence[Placement]) -> list[Placement]:
        """Put a decision's token in each placement; return those that have one now.

        A placement without an answer keeps the state DECISION_REQUIRED (it waits); one that junior-guard refuses to judge
        alone, though it answers otherwise, becomes GUARD_REFUSED, and one of which too much waits already becomes DROPPED.
        """
        for placement in placements:
            placement.token = ""
            placement.filed = Filed.DECISION_REQUIRED
        if not placements or self._silence.holds:
            return []
        try:
            answers = await by_halves(placements, self._guard.check, MAX_ITEMS)
        except PeerUnavailableError as error:
            self._silence.lengthen()
            _away.set(1)
            _log.warning("junior-guard does not answer: its mail waits", code=error.code, waiting=len(placements))
            return []
        self._silence.end()
        _away.set(0)
        for placement, answer in zip(placements, answers, strict=True):
            if isinstance(answer, PeerRefusedError):
                placement.filed = Filed.GUARD_REFUSED
            else:
                placement.token = answer.token
                placement.newcomer = answer.newcomer
                if answer.dropped:
                    placement.filed = Filed.DROPPED
        return [placement for placement in placements if placement.token]
