"""What the use cases need of the outside, where more than one implementation exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from petitbleu_accounts.domain.people import Draft


class MailStore(Protocol):
    """store, as far as accounts needs it. Every call raises `AccountsError` UNAVAILABLE when it may be tried again."""

    async def create(self, drafts: Sequence[Draft]) -> None:
        """Make the accounts' rows, mailboxes and keys; idempotent."""

    async def set_quota(self, account_id: int, quota_octets: int) -> None:
        """Set the octets an account may use, 0 without limit."""

    async def erase(self, account_id: int) -> None:
        """Destroy an account's key and mail; idempotent."""


class Guard(Protocol):
    """junior-guard, as far as accounts needs it."""

    async def register_child(self, draft: Draft, guardian_addresses: Sequence[str]) -> None:
        """Say whose child it is; idempotent. Raises `AccountsError` UNAVAILABLE when it may be tried again."""


class Windows(Protocol):
    """Counters that start anew every window."""

    async def take(self, keys: Sequence[str]) -> list[int]:
        """Count one in each key and return the counts, this one included."""

    async def give_back(self, keys: Sequence[str]) -> None:
        """Uncount one in each key."""
