"""What submissions ask of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol, TypeVar

from petitbleu_delivery.domain.submissions import Heard, Ledger, News, Step, Submission

Result = TypeVar("Result")


class Place(NamedTuple):
    """Which submission."""

    account_id: int
    number: int


class SubmissionTable(Protocol):
    """Where submissions are kept."""

    async def all(self, account_id: int) -> tuple[list[Submission], int]:
        """Give all that are not gone, without envelopes and news, and the modseq."""

    async def get(self, account_id: int, numbers: Collection[int]) -> tuple[list[Submission], int]:
        """Give those of these that are not gone, whole, and the modseq."""

    async def steps(self, account_id: int, since: int) -> tuple[list[Step], int, int]:
        """Give what moved after a modseq, the modseq, and the one from which on all is told."""

    async def states(self, account_ids: Collection[int]) -> dict[int, int]:
        """Give the modseqs of accounts that ever submitted anything."""

    async def work(
        self,
        account_id: int,
        numbers: Collection[int],
        work: Callable[[Ledger], Awaitable[Result]],
        *,
        new: Collection[bytes] = (),
    ) -> Result:
        """Let `work` change submissions of an account, alone, and write what it changed; `new`: ids of what it may make."""

    async def due(self, at_ms: int, most: int) -> list[Place]:
        """Give submissions that wait for somebody to hand them over."""

    async def concerned(self, mail: Sequence[tuple[int, bytes]]) -> set[int]:
        """Return the accounts of which mail (account and accepted id) is, or may come to be, a submission's."""
        ...

    async def hear(self, account_id: int, heard: Sequence[Heard]) -> None:
        """Record what became of accepted mail of an account, whether or not it is a submission's."""

    async def prune(self, keep_ms: int) -> None:
        """Destroy what has long been over, and forget news of mail that is no submission's."""


class Handed(NamedTuple):
    """What store made of a submission: its accepted id, or why there is none and never will be."""

    accepted_id: bytes | None
    failure: News | None = None


class Stopped(Protocol):
    """accounts. Raises `PeerUnavailableError`."""

    async def __call__(self, account_id: int, /) -> bool:
        """Say whether nothing leaves an account any more: it is disabled, being closed, or not there."""


class Outgoing(Protocol):
    """store's OutgoingService. Raises `PeerUnavailableError`."""

    async def submit(self, account_id: int, submission: Submission, spam_score: int) -> Handed:
        """Make accepted mail of a message in the account, once however often it is asked; its score in hundredths of a point."""


class Permits(Protocol):
    """Who may send how much."""

    async def permit(self, account_id: int, tenant_id: int, recipients: int, key: bytes = b"") -> int:
        """Count recipients, once a `key`; return 0 when the account may send to them, else seconds after which it may."""
