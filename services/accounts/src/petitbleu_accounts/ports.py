"""What the use cases need of the outside, where more than one implementation exists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeVar

from petitbleu_accounts.domain.identities import Book
from petitbleu_accounts.domain.people import Draft

Result = TypeVar("Result")


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


class IdentityTable(Protocol):
    """Where books of identities are kept."""

    async def book(self, account_id: int) -> tuple[Book, int] | None:
        """Give an account's book and from which modseq on its changes are known; None without an active account."""

    async def work(self, account_id: int, work: Callable[[Book], Awaitable[Result]]) -> Result | None:
        """Let `work` change an account's book, alone, and keep what it changed; None without an active account."""

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Give the modseqs of the accounts whose identities were looked at before."""
