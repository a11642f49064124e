"""What delivery counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from petitbleu_delivery.adapters.queue_rows import Waiting
from petitbleu_delivery.domain.model import Outcome, Reason, Settlement
from petitbleu_delivery.domain.outbound import Priority, Reply
from petitbleu_delivery.errors import Peer

ROUNDS: Final = Counter("petitbleu_delivery_rounds_total", "Rounds of recipients", ["result"])
ROUND_RECIPIENTS: Final = Histogram(
    "petitbleu_delivery_round_recipients",
    "Recipients in a round",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
)
STAGE_SECONDS: Final = Histogram(
    "petitbleu_delivery_stage_seconds", "Time of each stage of a round", ["stage"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)  # fmt: skip
OUTCOMES: Final = Counter("petitbleu_delivery_outcomes_total", "Outcomes recorded", ["outcome", "reason"])
IN_FLIGHT: Final = Gauge("petitbleu_delivery_in_flight", "Recipients in the round under way")
WAITING: Final = Gauge("petitbleu_delivery_waiting_for_guard", "Recipients that wait for junior-guard's answer")
BAD_EVENTS: Final = Counter("petitbleu_delivery_bad_events_total", "Events that could not be read, skipped")
RETURNED = Counter(
    "petitbleu_delivery_returned_total",
    "Mail without a sender that came back, by what its address says of it",
    ["standing"],
)
RETURN_PATHS = Counter(
    "petitbleu_delivery_return_paths_total",
    "Bounces that came to rewritten senders, by what became of them",
    ["result"],
)
BOUNCES = Counter("petitbleu_delivery_bounces_total", "Bounces of what we sent, by what was learnt of them", ["result"])
COMPLAINTS = Counter("petitbleu_delivery_complaints_total", "Feedback reports, by what was learnt of them", ["result"])
SCANS = Counter(
    "petitbleu_delivery_scans_total", "Submitted messages at scanners, by what they said", ["scanner", "answer"]
)
ABUSE = Counter("petitbleu_delivery_abuse_total", "Accounts whose sending was held back", ["stage"])
SUPPRESSIONS = Counter(
    "petitbleu_delivery_suppressions_total",
    "Recipients that their server refused for good, and those kept back for it",
    ["event"],
)
PERMITS: Final = Counter(
    "petitbleu_delivery_permits_total", "Messages that asked whether they may be sent", ["verdict"]
)
UNLISTED: Final = Counter(
    "petitbleu_delivery_unlisted_total", "Accepted messages whose recipients store refused to list; they stay open"
)
OUTBOUND_ANSWERS: Final = Counter(
    "petitbleu_delivery_outbound_answers_total", "Answers of other servers, by recipient", ["verdict"]
)
OUTBOUND_ACTIVE: Final = Gauge("petitbleu_delivery_outbound_active", "Letters on their way to other servers")
OUTBOUND_SLOW: Final = Gauge(
    "petitbleu_delivery_outbound_slow", "Letters on their way for long, beside those that are active"
)
OUTBOUND_IN_HAND: Final = Gauge(
    "petitbleu_delivery_outbound_in_hand", "Units of the queue that this process has in hand"
)
OUTBOUND_WAITING: Final = Gauge("petitbleu_delivery_outbound_waiting", "Units in the queue, counted up to 100,000")
OUTBOUND_OLDEST: Final = Gauge(
    "petitbleu_delivery_outbound_oldest_seconds", "Age of the oldest unit among those that are due next"
)

OUTBOUND_UNITS: Final = Gauge(
    "petitbleu_delivery_outbound_units", "The same by class and by why they wait", ["priority", "reason"]
)
OUTBOUND_CLASS_OLDEST: Final = Gauge(
    "petitbleu_delivery_outbound_class_oldest_seconds", "The same by class", ["priority"]
)
OUTBOUND_REPLIES: Final = Counter(
    "petitbleu_delivery_outbound_replies_total",
    "Answers by recipient, by class of the code (2, 4, 5, or none where no server said one), and of the enhanced status (RFC 3463)",
    ["code", "status"],
)

_MAX_WAITING: Final = 100_000
_CLASSES: Final = frozenset(one.value for one in Priority)
# Reasons that are words of ours; statuses are shown by their first two numbers, of which there are few.
_REASONS: Final = frozenset(
    {
        "",
        "destination-down",
        "paused",
        "keys-away",
        "unreadable",
        "delivery-failed",
        "waits-for-guard",
        "sender-suspended",
    }
    | {f"{peer.value}-away" for peer in Peer}
)
_STATUS: Final = re.compile(r"[245]\.[0-7](?=\.)")


def queue_is(waiting: Iterable[Waiting]) -> None:
    """Show what waits for other servers."""
    units: dict[tuple[str, str], int] = {}
    oldest = {one.name.lower(): 0.0 for one in Priority}
    total = 0
    for one in waiting:
        name = Priority(one.priority).name.lower() if one.priority in _CLASSES else "other"
        units[name, _kind_of(one.reason)] = units.get((name, _kind_of(one.reason)), 0) + one.units
        oldest[name] = max(oldest.get(name, 0.0), one.oldest)
        total += one.units
    OUTBOUND_WAITING.set(total)
    OUTBOUND_OLDEST.set(max(oldest.values()))
    OUTBOUND_UNITS.clear()
    for (name, reason), count in units.items():
        OUTBOUND_UNITS.labels(priority=name, reason=reason).set(count)
    for name, seconds in oldest.items():
        OUTBOUND_CLASS_OLDEST.labels(priority=name).set(seconds)


def answered(reply: Reply) -> None:
    """Count what a server said of a recipient."""
    code = str(reply.code // 100) if reply.code // 100 in {2, 4, 5} else "none"
    OUTBOUND_REPLIES.labels(code=code, status=_kind_of(reply.enhanced)).inc()


def _kind_of(reason: str) -> str:
    if reason in _REASONS:
        return reason or "new"
    status = _STATUS.match(reason)
    return status[0] if status is not None else "other"


class Tally:
    """Counts since start, for the operator's status; bounded whatever waits."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.settled = 0
        self.parked = 0
        self._waiting: dict[tuple[bytes, int], None] = {}

    @property
    def waiting_for_guard(self) -> int:
        """Recipients that this process has seen waiting for junior-guard and not settled since (at most 100,000)."""
        return len(self._waiting)

    def begin(self, recipients: int) -> None:
        """Begin a round."""
        self.in_flight += recipients
        IN_FLIGHT.set(self.in_flight)
        ROUND_RECIPIENTS.observe(recipients)

    def end(self, recipients: int) -> None:
        """End a round, however it went."""
        self.in_flight -= recipients
        IN_FLIGHT.set(self.in_flight)

    def recorded(self, settlements: Iterable[Settlement]) -> None:
        """Count outcomes that store has recorded."""
        groups: dict[tuple[Outcome, Reason], int] = {}
        for settlement in settlements:
            kind = (settlement.outcome, settlement.reason)
            groups[kind] = groups.get(kind, 0) + 1
            recipient = settlement.recipient
            if settlement.reason is Reason.WAITS_FOR_GUARD:
                if len(self._waiting) < _MAX_WAITING:
                    self._waiting[recipient.message.accepted_id, recipient.number] = None
            elif self._waiting:
                self._waiting.pop((recipient.message.accepted_id, recipient.number), None)
        for (outcome, reason), count in groups.items():
            OUTCOMES.labels(outcome=outcome.name.lower(), reason=reason.value).inc(count)
            if outcome is not Outcome.OPEN:
                self.settled += count
            if outcome is Outcome.PARKED:
                self.parked += count
        WAITING.set(len(self._waiting))
