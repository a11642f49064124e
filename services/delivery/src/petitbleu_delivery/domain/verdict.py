"""From what the directory and store said to the outcome of a recipient. Nothing here bounces: after the 250 there is no way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu_delivery.domain.model import Filed, Outcome, Placement, Reason, Recipient, Route, Settlement, Status
from petitbleu_delivery.domain.outbound import Reply

MAX_ATTEMPTS: Final = 10
"""Attempts before a recipient whose account store does not know, or on which store stumbles, is parked: about 25 minutes."""

SENDER_DISABLED: Final = Reply(0, "5.7.1", "the account that sent the message is disabled", "")
"""Why what a disabled account sent goes nowhere, for its own eyes."""

FIRST_RETRY_SECONDS: Final = 2.0
LAST_RETRY_SECONDS: Final = 600.0
LAST_GUARD_RETRY_SECONDS: Final = 60.0

_UNROUTABLE: Final = {
    Status.UNKNOWN: Reason.NO_SUCH_ADDRESS,
    Status.DISABLED: Reason.ACCOUNT_DISABLED,
    Status.REMOTE: Reason.NOT_HOSTED,
    Status.UNCLEAR: Reason.UNRESOLVABLE,
}
# What parks at once, worst first; what is tried again before it parks.
_PARKS: Final = (
    (Filed.UNREADABLE, Reason.UNREADABLE),
    (Filed.REFUSED, Reason.STORE_REFUSED),
)
_TRIES_AGAIN: Final = (
    (Filed.NO_ACCOUNT, Reason.NO_ACCOUNT),
    (Filed.FAILED, Reason.STORE_FAILED),
    (Filed.GUARD_REFUSED, Reason.GUARD_REFUSED),
)


def unroutable(recipient: Recipient, route: Route) -> Settlement | None:
    """Park a recipient whose address leads nowhere any more; None when it leads somewhere."""
    if route.status is Status.LOCAL and route.targets:
        return None
    return Settlement(recipient, Outcome.PARKED, _UNROUTABLE.get(route.status, Reason.NO_TARGET))


def pause(attempts: int, longest: float) -> float:
    """Seconds until the next attempt: doubled by each, up to a longest."""
    return min(FIRST_RETRY_SECONDS * (1 << min(attempts, 20)), longest)


def try_again(recipient: Recipient, reason: Reason) -> Settlement:
    """Try a recipient again later, or park it when that was done often enough."""
    if recipient.attempts + 1 >= MAX_ATTEMPTS:
        return Settlement(recipient, Outcome.PARKED, reason)
    return Settlement(recipient, Outcome.OPEN, reason, (), pause(recipient.attempts, LAST_RETRY_SECONDS))


def wait_for_guard(recipient: Recipient) -> Settlement:
    """Keep a recipient waiting for junior-guard: without a decision nothing reaches a child, however long it takes."""
    seconds = pause(recipient.attempts, LAST_GUARD_RETRY_SECONDS)
    return Settlement(recipient, Outcome.OPEN, Reason.WAITS_FOR_GUARD, (), seconds)


def stopped(recipient: Recipient) -> Settlement:
    """Park what an account sent that is disabled or being closed: nobody hears of it, and an operator may let it go on."""
    return Settlement(recipient, Outcome.PARKED, Reason.SENDER_DISABLED)


def suspended(recipient: Recipient) -> Settlement:
    """Keep a recipient of what somebody sent who may send nothing for now waiting, however long that takes."""
    seconds = pause(recipient.attempts, LAST_GUARD_RETRY_SECONDS)
    return Settlement(recipient, Outcome.OPEN, Reason.SENDER_SUSPENDED, (), seconds)


def outcome_of(recipient: Recipient, placements: Sequence[Placement]) -> Settlement:
    """Judge a recipient by all accounts that it leads to.

    It is settled only when each of them has its answer: until then those that have the message keep it, and filing it there
    again is a no-op. One filed account makes it *filed* (reason `partly-held` when another one, a child's, holds it: the
    held row lives on by itself and waits for its guardian); it is *held* when all that have it hold it.
    """
    states = {placement.filed for placement in placements}
    if states == {Filed.FILED}:  # nearly always
        return Settlement(recipient, Outcome.FILED, Reason.NONE, tuple(p.account_id for p in placements))
    for state, reason in _PARKS:
        if state in states:
            return Settlement(recipient, Outcome.PARKED, reason)
    # Waiting for a decision comes before giving up on another account: no recipient parks while a child's answer is open.
    if Filed.DECISION_REQUIRED in states:
        return wait_for_guard(recipient)
    for state, reason in _TRIES_AGAIN:
        if state in states:
            return try_again(recipient, reason)
    return _settled(recipient, placements)


def _settled(recipient: Recipient, placements: Sequence[Placement]) -> Settlement:
    """Return the outcome of a recipient of which each account has its answer: filed, held, discarded by a rule of its owner or dropped."""
    left = [placement for placement in placements if placement.filed not in {Filed.DISCARDED, Filed.DROPPED}]
    states = {placement.filed for placement in left}
    if not left:
        dropped = any(placement.filed is Filed.DROPPED for placement in placements)
        return Settlement(recipient, Outcome.DISCARDED, Reason.HELD_LIMIT if dropped else Reason.RULE)
    outcome = Outcome.FILED if Filed.FILED in states else Outcome.HELD
    reason = Reason.PARTLY_HELD if len(states) > 1 else Reason.NONE
    return Settlement(recipient, outcome, reason, tuple(p.account_id for p in left))
