"""Push subscriptions (RFC 8620 §7.2) as this service thinks of them, and who posts to them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

SLICES: Final = 32
PARTITIONS_A_SLICE: Final = 1024 // SLICES


class Outcome(IntEnum):
    """What became of one change; the numbers are those of the contract."""

    OK = 1
    NOT_FOUND = 2
    WRONG_CODE = 3
    TOO_MANY = 4
    LIMITED = 5


@dataclass(frozen=True, slots=True)
class Maker:
    """Whose subscriptions, and of which credential: 0 is the main password."""

    account_id: int
    partition: int
    credential_id: int


class Told(NamedTuple):
    """How much of an account a subscription was told."""

    modseq: int
    last_id: int
    identities: int
    submissions: int
    scripts: int
    vacation: int


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a user agent (RFC 8291 §2.1)."""

    p256dh: bytes
    auth: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """One change: a creation when `subscription_id` is 0.

    `expires_at` is in Unix seconds, None to leave it; `types` are set when `set_types`, None for all.
    """

    subscription_id: int
    destroy: bool = False
    device_client_id: str = ""
    url: str = field(default="", repr=False)
    keys: Keys | None = None
    expires_at: int | None = None
    set_types: bool = False
    types: tuple[str, ...] | None = None
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One as its owner sees it; `code` is empty while it is not verified."""

    subscription_id: int
    device_client_id: str
    code: str = field(repr=False)
    expires_at: int
    types: tuple[str, ...] | None


def new_code() -> str:
    """Return a verification code: 128 random bits (RFC 8620 §7.2.2: not to be guessed)."""
    return secrets.token_hex(16)


def bounded_end(asked: int | None, now: int, longest: int) -> int:
    """Return when a subscription ends: as asked, or sooner (RFC 8620 §7.2); 0 and None ask for the furthest."""
    furthest = now + longest
    return min(asked, furthest) if asked else furthest


def share_out(
    holders: Mapping[int, str | None], holder: str, live: int
) -> tuple[list[int], list[int]]:  # fmt: skip
    """Share the slices out evenly, each sender for itself.

    Args:
        holders: Slice → who holds it now, None for nobody.
        holder: The sender that asks.
        live: Senders that live, this one included.

    Returns:
        The slices that it holds from now on, and those that it gives back: nobody is robbed.
    """
    share = math.ceil(len(holders) / max(live, 1))
    mine = sorted(number for number, who in holders.items() if who == holder)
    free = sorted(number for number, who in holders.items() if who is None)
    kept, given = mine[:share], mine[share:]
    return kept + free[: share - len(kept)], given
