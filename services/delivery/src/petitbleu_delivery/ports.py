"""What delivery asks of its peers. Each call raises `PeerUnavailableError` or `PeerRefusedError` as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from petitbleu_delivery.domain.model import Filed, Placement, Recipient, Route, Settlement


class Decided(NamedTuple):
    """junior-guard's answer for one placement; an empty token means that it gave none, so wait."""

    token: str


class Answer(NamedTuple):
    """store's answer for one placement: what became of it, and whether the recipient's outcome is recorded already."""

    filed: Filed
    settled: bool = False


class Filing(Protocol):
    """store's FilingService."""

    async def list_open(self, accepted_ids: Sequence[bytes]) -> list[Recipient]:
        """Give the open recipients of accepted messages (ids of 16 octets, at most 1,000)."""
        ...

    async def file(self, placements: Sequence[Placement]) -> list[Answer]:
        """Put messages in accounts in one commit; the answers in order. At most 1,000."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record outcomes in one commit. At most 1,000."""
        ...


class Directory(Protocol):
    """accounts' DirectoryService."""

    async def resolve(self, addresses: Sequence[str]) -> list[Route]:
        """Say where addresses lead; the answers in order. At most 1,000."""
        ...


class Guard(Protocol):
    """junior-guard's GuardService."""

    async def check(self, placements: Sequence[Placement]) -> list[Decided]:
        """Decide on messages for guarded accounts; the answers in order. At most 1,000."""
        ...
