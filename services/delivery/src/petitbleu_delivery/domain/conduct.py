"""What an account's sending of late says of it: pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

WINDOW_DAYS: Final = 7
HISTORY_DAYS: Final = 30
_SEVERE: Final = 3


class Stage(IntEnum):
    """What is done; the values are the rows'."""

    FREE = 0
    SLOWED = 1
    SUSPENDED = 2


class Sign(StrEnum):
    """What speaks against an account; codes for operators and the log."""

    NEW_RECIPIENTS = "new-recipients"
    BOUNCES = "bounces"
    COMPLAINTS = "complaints"
    SPAM = "spam"


class Figures(NamedTuple):
    """An account's day: recipients sent to, those of them that are new to it, that do not exist, that complained; messages that a scanner took for spam."""

    sent: int = 0
    fresh: int = 0
    bounced: int = 0
    complained: int = 0
    spam: int = 0


class Thresholds(NamedTuple):
    """From where on something speaks against an account; a number of 0 is never reached.

    Attributes:
        fresh: New recipients in a day, at least.
        fresh_factor: And so many times those of its busiest day of the thirty before.
        bounces: Recipients who do not exist, in seven days, at least.
        bounce_rate: And this part of those sent to.
        complaints: Complaints in seven days, at least.
        complaint_rate: And this part of those sent to.
        spam: Messages in seven days that a scanner took for spam.
    """

    fresh: int
    fresh_factor: float
    bounces: int
    bounce_rate: float
    complaints: int
    complaint_rate: float
    spam: int


def judge(days: Mapping[int, Figures], today: int, limits: Thresholds) -> tuple[Stage, tuple[Sign, ...]]:
    """Return what is to be done about an account, and what speaks against it.

    One sign slows. Two suspend, and so does one that is three times what it takes; new recipients alone never do: who opens a shop writes to many.
    """
    now = days.get(today, Figures())
    window = [one for day, one in days.items() if today - WINDOW_DAYS < day <= today]
    busiest = max((one.fresh for day, one in days.items() if today - HISTORY_DAYS <= day < today), default=0)
    sent = sum(one.sent for one in window)
    signs: list[Sign] = []
    if limits.fresh and now.fresh > max(limits.fresh, limits.fresh_factor * busiest):
        signs.append(Sign.NEW_RECIPIENTS)
    severe = False
    for sign, count, least, rate in (
        (Sign.BOUNCES, sum(one.bounced for one in window), limits.bounces, limits.bounce_rate),
        (Sign.COMPLAINTS, sum(one.complained for one in window), limits.complaints, limits.complaint_rate),
        (Sign.SPAM, sum(one.spam for one in window), limits.spam, 0.0),
    ):
        if least and count >= least and count >= rate * sent:
            signs.append(sign)
            severe = severe or count >= _SEVERE * least
    if not signs:
        return Stage.FREE, ()
    return (Stage.SUSPENDED if severe or len(signs) > 1 else Stage.SLOWED), tuple(signs)
