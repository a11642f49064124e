"""Typed ids, and the partition that each belongs to."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from typing import Final, NewType
from uuid import UUID

AccountId = NewType("AccountId", int)
TenantId = NewType("TenantId", int)
DomainId = NewType("DomainId", int)
MessageId = NewType("MessageId", int)
MailboxId = NewType("MailboxId", int)
ThreadId = NewType("ThreadId", int)
BlobId = NewType("BlobId", UUID)
AcceptedId = BlobId  # the blob of an accepted message has its id

PARTITIONS: Final = 1024
RING_SLOTS: Final = 16

_PARTITION_SHIFT: Final = 52
_SLOT_SHIFT: Final = 72
_VERSION: Final = 8 << 76
_VARIANT: Final = 0b10 << 62


def partition_of_account(account_id: int) -> int:
    """Partition (0-1023) of an account: the first ten bits of the SHA-256 of its id, for ever."""
    digest = hashlib.sha256(account_id.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:2], "big") >> 6


def new_account_id() -> AccountId:
    """Return a random positive 63-bit id for an account."""
    return AccountId(secrets.randbits(62) | 1 << 62)


def new_row_id() -> int:
    """Return a random positive 63-bit id for a row that is not an account."""
    return secrets.randbits(62) | 1 << 62


def new_blob_id(partition: int, slot: int) -> BlobId:
    """Return a fresh id of a blob in a partition (0-1023) and a hot-ring slot (0-15).

    A UUID of version 8 (RFC 9562 §5.8): 48 bits of Unix milliseconds, then slot (4) and random (8), then partition (10)
    and random (52).
    """
    noise = int.from_bytes(os.urandom(8), "big")
    value = (
        ((time.time_ns() // 1_000_000) & (1 << 48) - 1) << 80
        | _VERSION
        | slot << _SLOT_SHIFT
        | (noise >> 56) << 64
        | _VARIANT
        | partition << _PARTITION_SHIFT
        | noise & (1 << _PARTITION_SHIFT) - 1
    )
    return BlobId(UUID(int=value))


def partition_of_blob(blob_id: UUID) -> int:
    """Partition (0-1023) that a blob id carries."""
    return (blob_id.int >> _PARTITION_SHIFT) & (PARTITIONS - 1)


def slot_of_blob(blob_id: UUID) -> int:
    """Hot-ring slot (0-15) that a blob id carries."""
    return (blob_id.int >> _SLOT_SHIFT) & (RING_SLOTS - 1)


def millis_of_blob(blob_id: UUID) -> int:
    """Unix milliseconds at which a blob id was made."""
    return blob_id.int >> 80
