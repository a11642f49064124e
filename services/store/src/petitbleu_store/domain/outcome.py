"""Where a recipient stands."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from petitbleu_kit.ids import BlobId


class Outcome(enum.Enum):
    """Values of `recipient.outcome`, those of petitbleu.store.v1.Outcome; every one but OPEN is settled."""

    OPEN = 1
    FILED = 2
    HELD = 3
    QUEUED = 4
    DISCARDED = 5
    PARKED = 6
    SENT = 7
    FAILED = 8


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome to record.

    Attributes:
        accepted_id: The message.
        recipient_no: The recipient's number in its envelope.
        outcome: The outcome; OPEN counts a failed attempt.
        account_ids: Accounts that have the message, when filed or held; added to those that are known to have it.
        reason: A code, no free text.
        retry_after: For OPEN: seconds until it is published again.
    """

    accepted_id: BlobId
    recipient_no: int
    outcome: Outcome
    account_ids: Sequence[int] = ()
    reason: str = ""
    retry_after: float = 0.0
