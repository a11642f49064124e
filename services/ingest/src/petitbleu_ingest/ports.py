"""What ingest needs of other services, so that its use cases can be tried without a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from petitbleu_ingest.domain.message import Incoming


class Place(msgspec.Struct, frozen=True):
    """What an address is here, as accounts says (`petitbleu.accounts.v1.Resolution`); `status` is its AddressStatus."""

    status: int
    account_ids: tuple[int, ...]
    domain_id: int
    tenant_id: int


class Accepted(msgspec.Struct, frozen=True):
    """What store made of one message; `accepted_id` is empty unless it is durable."""

    accepted_id: bytes
    repeat: bool = False


class FullList(msgspec.Struct, frozen=True):
    """The accounts that were at or over their quota, at most `age_seconds` ago; unless `complete`, nothing is said of any."""

    account_ids: frozenset[int]
    age_seconds: float
    complete: bool


class StoreFullError(Exception):
    """Store is over one of its bounds."""


class StoreAwayError(Exception):
    """Store did not answer, or could not say yes: nothing is known of the message."""


class Upload(Protocol):
    """One large body on its way to stable storage."""

    pending: int

    def put(self, piece: bytes) -> None:
        """Queue the next octets; `pending` grows and falls again when they have left."""

    def finish(self) -> Awaitable[bytes]:
        """Say that all is queued; gives the staged id once it is durable. Raises `StoreAwayError`, `StoreFullError`."""

    def abort(self) -> None:
        """Give it up; nothing is kept."""


class Store(Protocol):
    """Makes messages durable."""

    async def accept(self, messages: Sequence[Incoming], seen: Sequence[bytes]) -> Sequence[Accepted]:
        """Commit messages and marks; one result each. Raises `StoreAwayError`, `StoreFullError`."""

    def stage(self, trace: bytes, progress: Callable[[], None]) -> Upload:
        """Begin a large body; `progress` is called whenever `pending` fell or the upload failed."""

    async def over_quota(self, account_ids: Sequence[int]) -> frozenset[int]:
        """Return those accounts that are at or over their quota now. Raises whatever the call does."""

    async def full_accounts(self) -> FullList:
        """Return all accounts that were at or over their quota a while ago. Raises `StoreAwayError`, `StoreFullError`."""


class Directory(Protocol):
    """Knows every address."""

    async def resolve(self, addresses: Sequence[str]) -> Sequence[Place]:
        """Say for each address what it is here."""
