"""What a tenant wants done with mail that comes in and was found wanting: pure."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

MOST_POINTS: Final = 1_000_000
"""Of the built-in scorer, in hundredths."""


class Measure(IntEnum):
    """What is done with a message; the values are the contract's and the rows'."""

    UNSAID = 0
    NONE = 1
    JUNK = 2
    REFUSE = 3


class InboundPolicy(NamedTuple):
    """What is said of a tenant, instead of what the settings of ingest say.

    Attributes:
        reject: What a DMARC failure does where the domain owner asks for `reject`.
        quarantine: The same where it is `quarantine`.
        listed: What a client on a block list does.
        spam: What the spam scanner's rejection does.
        junk_points: From how many points, in hundredths, mail is Junk: 0 never, None as the settings say.
        refuse_points: From how many it is refused: 0 or None never.
    """

    reject: Measure = Measure.UNSAID
    quarantine: Measure = Measure.UNSAID
    listed: Measure = Measure.UNSAID
    spam: Measure = Measure.UNSAID
    junk_points: int | None = None
    refuse_points: int | None = None


NO_POLICY: Final = InboundPolicy()


class SaidPolicy(NamedTuple):
    """A tenant's policy, and since when, in Unix seconds."""

    tenant_id: int
    policy: InboundPolicy
    changed_at: float = 0.0
