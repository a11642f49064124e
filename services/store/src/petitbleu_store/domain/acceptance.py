"""What arrives to be accepted, and what became of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from petitbleu_kit.ids import BlobId
from petitbleu_store.domain.envelope import Envelope
from petitbleu_store.domain.provenance import UNTOLD


class AcceptedStatus(enum.Enum):
    """Values are those of petitbleu.store.v1.AcceptStatus."""

    OK = 1
    REPEAT = 2
    STAGED_UNKNOWN = 3
    INVALID = 4


@dataclass(frozen=True, slots=True)
class Arriving:
    """A message to accept.

    Attributes:
        idempotency_key: 32 octets.
        envelope: Addresses and parameters.
        recipients: Tenant of each recipient, in the envelope's order.
        trace: Our trace lines, which come first in the blob.
        body: The message, unless it is staged.
        staged_id: The staged body.
        hold_until: Unix seconds before which nobody is told of it; 0 for at once.
        keep_key_days: Days for which its key makes a repeat harmless; 0 for the usual hours.
        told: Origin and verdicts (`provenance.packed`), for the columns of its row.
    """

    idempotency_key: bytes
    envelope: Envelope
    recipients: tuple[int, ...]
    trace: bytes = b""
    body: bytes = b""
    staged_id: BlobId | None = None
    hold_until: float = 0.0
    keep_key_days: int = 0
    told: int = UNTOLD


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one message: its id when it is durable, the earlier message's for a repeat."""

    status: AcceptedStatus
    accepted_id: BlobId | None = None
