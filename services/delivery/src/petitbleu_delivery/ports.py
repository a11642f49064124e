"""What delivery asks of its peers. Each call raises `PeerUnavailableError` or `PeerRefusedError` as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from petitbleu_delivery.domain.model import Filed, Placement, Recipient, Route, Settlement
from petitbleu_delivery.domain.outbound import Answer as SentAnswer
from petitbleu_delivery.domain.outbound import Letter, Reply, Verdict
from petitbleu_delivery.domain.sources import Source


class Decided(NamedTuple):
    """junior-guard's answer for one placement; an empty token means that it gave none, so wait, unless it is to be dropped."""

    token: str
    newcomer: bool = False
    dropped: bool = False


class Answer(NamedTuple):
    """store's answer for one placement: what became of it, and whether the recipient's outcome is recorded already."""

    filed: Filed
    settled: bool = False
    message_id: int = 0
    """The message in the account, where it was filed."""


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


class Rules(Protocol):
    """The rules of mailboxes."""

    async def apply(self, placements: Sequence[Placement]) -> None:
        """Say of each placement where it is to be filed, or that it is discarded, and do what else the rules want."""
        ...


class Reports(Protocol):
    """Hears of mail without a sender that was filed: some of it are reports on what was submitted."""

    async def hear(self, filed: Sequence[Placement]) -> None:
        """Look at what was filed. Raises `PeerUnavailableError`: it is to be told again."""


class HearsFiled(Protocol):
    """Counts whose mail came, or who wrote to whom."""

    def note(self, settlements: Iterable[Settlement]) -> None:
        """Hear what became of recipients."""


class Returned(Protocol):
    """What is known of bounces."""

    def concerns(self, recipients: Sequence[Recipient]) -> bool:
        """Whether any of these is to be judged."""
        ...

    async def judged(
        self, recipients: Sequence[Recipient], routes: Mapping[str, Route]
    ) -> tuple[Sequence[Recipient], Mapping[str, Route]]:
        """Return recipients, in order, with what is a forged bounce marked as junk, and where their addresses lead."""
        ...


class ReturnPaths(Protocol):
    """What is done with bounces of what rules sent on."""

    def concerns(self, recipients: Sequence[Recipient]) -> bool:
        """Whether any of these is one."""
        ...

    async def returned(self, recipients: Sequence[Recipient]) -> tuple[Sequence[Recipient], list[Settlement]]:
        """Send them on; return the other recipients, and what became of these."""
        ...


class Submitter(NamedTuple):
    """Somebody of ours who sends: whether a child, the preferred language (BCP 47), whether the account is disabled or being closed, its address."""

    account_id: int
    guarded: bool
    language: str
    stopped: bool = False
    address: str = ""
    tenant_id: int = 0


class SubmitterDirectory(Protocol):
    """accounts, for who submits."""

    async def submitters(self, account_ids: Sequence[int]) -> list[Submitter]:
        """Describe accounts; those that are not known are left out. At most 1,000."""
        ...


class Leaving(NamedTuple):
    """A recipient of a message that an account sends. The id has 16 octets."""

    account_id: int
    accepted_id: bytes
    address: str


class OutgoingGuard(Protocol):
    """junior-guard's word on what children send."""

    async def check_outgoing(self, leaving: Sequence[Leaving]) -> list[bool]:
        """Say for each, in order, whether it may go. At most 1,000."""
        ...


class Word(Enum):
    """What is said of a recipient of what an account sends: it goes, waits, nothing leaves the account any more, or for now."""

    GOES = 1
    WAITS = 2
    STOPPED = 3
    SUSPENDED = 4


class WayOut(Protocol):
    """The second gate: what leaves an account."""

    async def open_to(self, recipients: Sequence[Recipient]) -> list[Word]:
        """Say for each recipient of a message whether it may be sent to now."""
        ...


class StillOpen(Protocol):
    """The second gate, for what has waited behind it."""

    async def still(self, account_id: int, accepted_id: bytes, addresses: Sequence[str]) -> list[Word]:
        """Say for each recipient of a message whether it may be sent to now."""
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


class Transport(Protocol):
    """Carries letters to other servers, over connections that it keeps."""

    async def deliver(self, destination: str, letter: Letter) -> list[SentAnswer]:
        """Send a letter to a domain (A-labels) or to `[host]:port`; one answer for each recipient, in order.

        It raises for nothing that a peer does: what a server refuses, breaks off or never answers is an answer.

        Raises:
            NotInHandError: the letter is not ours any more, and was not sent to its end.
        """
        ...

    async def close(self) -> None:
        """End the connections that are kept."""
        ...


class SourceChooser(Protocol):
    """Says from which of our addresses letters leave; see `service.outbound.sources`."""

    def pool_of(self, letter: Letter) -> str:
        """Return the pool by which a letter leaves."""
        ...

    def families(self, pool: str) -> set[int]:
        """Return the families of addresses that a pool has: 4, 6."""
        ...

    async def choose(self, pool: str, host: str, family: int) -> Source | None:
        """Return from where the next letter to an exchanger leaves, and count it; None when the pool has no such address."""
        ...

    async def again(self, source: Source, host: str) -> bool:
        """Count one more letter over a connection; False when it must not leave by this one."""
        ...

    def learn(self, source: Source, host: str, replies: Sequence[Reply]) -> None:
        """Hear what a server answered to a letter, or to the connection."""
        ...


class DomainSigner(Protocol):
    """Signs messages by the keys of the domains that are hosted here (RFC 6376)."""

    async def sign(self, body: bytes, domain: str, tenant_id: int) -> bytes:
        """Return a message with our signatures in front; as it is when the domain is not the tenant's."""
        ...


class News(NamedTuple):
    """What became of one recipient of a message that somebody submitted; `reply` is None for one who is hosted here."""

    accepted_id: bytes
    account_id: int
    number: int
    verdict: Verdict
    reply: Reply | None


class FiledNotices(Protocol):
    """Tells senders of ours what was filed here."""

    async def filed(self, recipients: Sequence[Recipient]) -> None:
        """Send the notices that these recipients' senders asked for; twice is as once."""
        ...


class SubmissionNews(Protocol):
    """Hears what became of submitted messages."""

    async def record(self, news: Sequence[News]) -> None:
        """Keep it; told twice, it is the same as once."""
        ...


class Hosting(NamedTuple):
    """A hosted domain: its name in lower case and A-labels, and its tenant."""

    domain: str
    tenant_id: int


class HostedDomains(Protocol):
    """accounts' DirectoryService, as far as domains go."""

    async def hosting(self, domain: str) -> Hosting | None:
        """Say for whom a domain (U- or A-labels) is hosted here, None when it is not."""
        ...
