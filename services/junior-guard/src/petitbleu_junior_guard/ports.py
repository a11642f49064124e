"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from petitbleu_junior_guard.domain.alerts import NewsKind
from petitbleu_junior_guard.domain.correspondents import Action, Known, Spoken
from petitbleu_junior_guard.domain.rules import Item, Knowledge, Level, Reason, Verdict
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import SenderAction

if TYPE_CHECKING:
    from petitbleu_junior_guard.ports_schools import Copier


class Correspondent(msgspec.Struct, frozen=True):
    """An address, hashed and sealed; `skeleton_hash` is the same for those that look alike."""

    address_hash: bytes
    skeleton_hash: bytes
    sealed: bytes


class Registration(msgspec.Struct, frozen=True):
    """A child, and who all its guardians are (account → address). Year and month of birth are 0 where not known."""

    account_id: int
    tenant_id: int
    guardians: dict[int, Correspondent | None]
    level: Level
    language: str = ""
    birth_year: int = 0
    birth_month: int = 0


class Actor(msgspec.Struct, frozen=True):
    """Who changes something: a person's account with its tenant, or the operator (`NOBODY`).

    Until `cooling_until` (Unix seconds) it may be somebody else who took the person's place.
    """

    party: int
    tenant_id: int = 0
    cooling_until: int = 0

    @property
    def name(self) -> str:
        """As the audit has it."""
        return str(self.party) if self.party else "operator"


class Asked(msgspec.Struct, frozen=True):
    """A message to decide on: `sender` is the canonical address of its author, None when there is none; the hashes are empty then."""

    item: Item
    sender: str | None
    address_hash: bytes
    skeleton_hash: bytes


class Ruling(msgspec.Struct, frozen=True):
    """A decision by rule, to be recorded. `sealed` is the sender's address where guardians are to see it."""

    asked: Asked
    verdict: Verdict
    reason: Reason
    sealed: bytes = b""

    @property
    def account_id(self) -> int:
        """The child's account."""
        return self.asked.item.account_id

    @property
    def accepted_id(self) -> bytes:
        """The message."""
        return self.asked.item.accepted_id


Rule: TypeAlias = Callable[[Sequence[Asked], Sequence[Knowledge]], list[Ruling]]
"""The rules: what is decided by what is known."""


class Errand(msgspec.Struct, frozen=True):
    """A decision that store is to carry out."""

    account_id: int
    accepted_id: bytes
    verdict: Verdict
    decided_at: datetime


class WaitingRow(msgspec.Struct, frozen=True):
    """A sender whose mail waits."""

    sender_hash: bytes
    authenticated: bool
    sealed: bytes
    looks_alike: bool
    first_at: datetime
    last_at: datetime
    messages: int


class WaitingRows(msgspec.Struct, frozen=True):
    """What waits for a child, and numbers of what else there was."""

    senders: Sequence[WaitingRow]
    unannounced: int
    dropped: int
    expired: int


class Cleared(msgspec.Struct, frozen=True):
    """What a decision on a sender was on, and whose decision stands now: `decided_by` is 0 when nobody ever decided."""

    errands: Sequence[Errand]
    decided_by: int
    action: SenderAction | None


class GroupRow(msgspec.Struct, frozen=True):
    """A group to be kept; `group_id` is 0 for a new one."""

    group_id: int
    kind: Circle
    sealed_name: bytes
    members: Sequence[Correspondent]


class KnownGroup(msgspec.Struct, frozen=True):
    """A group as it is kept: names and addresses are sealed."""

    group_id: int
    kind: Circle
    sealed_name: bytes
    members: Sequence[bytes]
    spoken: Sequence[Spoken]
    school_ends_at: datetime | None = None
    """Of a school's class."""


class ChildRow(msgspec.Struct, frozen=True):
    """A child as its guardians see it; numbers are 0 where not known."""

    account_id: int
    level: Level
    language: str
    birth_year: int
    birth_month: int
    guardian_ids: Sequence[int]


class Entry(msgspec.Struct, frozen=True):
    """An entry of the audit; `sealed` is the address that it is about, when it is about one."""

    done_at: datetime
    actor: str
    action: str
    subject: str
    sealed: bytes | None


class NewsRow(msgspec.Struct, frozen=True):
    """One thing to tell a guardian of one child; `messages` counts where something waits."""

    account_id: int
    kind: NewsKind
    sealed: bytes
    authenticated: bool
    looks_alike: bool
    since: datetime
    messages: int


class Letter(msgspec.Struct, frozen=True):
    """A mail to a guardian; without rows there is nothing to tell any more."""

    number: int
    guardian_id: int
    rows: Sequence[NewsRow]


class Person(msgspec.Struct, frozen=True):
    """What accounts says of an account."""

    address: str
    tenant_id: int
    language: str


class Records(Protocol):
    """What junior-guard keeps. Each call raises `GuardError(DATABASE_AWAY)` when it cannot be answered: never a guess."""

    async def knowledge(self, asked: Sequence[Asked], now: datetime) -> list[Knowledge]:
        """Say what is known of each message."""
        ...

    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        ...

    async def hold(self, account_id: int, asked: Sequence[Asked], rule: Rule, now: datetime) -> list[Ruling]:
        """Record decisions on messages for one child that are to wait, in order: the rules are asked anew under the child's lock.

        What there is no room for is to be destroyed (HELD_LIMIT), and is counted; what waits already keeps its room.
        """
        ...

    async def newcomers(self, rulings: Sequence[Ruling], now: datetime) -> None:
        """Have guardians told of senders who are new and whose mail was let in, of each once."""
        ...

    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now, None when no such message was held."""
        ...

    async def carried(self, account_id: int, accepted_id: bytes) -> None:
        """Note that store carried a decision out."""
        ...


class PendingRow(msgspec.Struct, frozen=True):
    """A change that waits: whose, what it is about (keyed hashes), what it is (sealed), since when and until when."""

    change_id: int
    guardian_id: int
    tenant_id: int
    kind: str
    subject: bytes
    digest: bytes
    sealed: bytes
    sealed_about: bytes
    asked_at: datetime
    due_at: datetime


class PendingChanges(Protocol):
    """Keeps changes that wait."""

    async def keep(self, account_id: int, actor: Actor, row: PendingRow) -> datetime:
        """Keep a change, tell the guardians of it, and say when it will be done; a repeat is the same change. NOT_YOURS, TOO_MANY."""
        ...

    async def list_for(self, account_id: int, actor: Actor) -> list[PendingRow]:
        """Give what waits for a child, the next first. NOT_YOURS."""
        ...

    async def cancel(self, account_id: int, actor: Actor, change_id: int) -> None:
        """Forget a change that waits, as a guardian. NOT_YOURS, NO_CHANGE."""
        ...

    async def settle(self, account_id: int, subject: bytes, party: int | None) -> None:
        """Forget what waits about a subject, of one guardian or (None) of all."""
        ...

    async def due(self, now: datetime, most: int) -> list[tuple[int, PendingRow]]:
        """Lease changes that have waited long enough, with their children."""
        ...

    async def done(self, account_id: int, change_id: int, *, void: bool) -> None:
        """Forget a change that was done, or came to nothing."""
        ...


class Bell(Protocol):
    """Tells pages that are open that something changed."""

    def ring(self, account_ids: Sequence[int], *, child: bool) -> None:
        """Say that the affairs of children changed, as guardians see them; with `child`, as they see them themselves as well."""
        ...


class Waiting(Protocol):
    """What waits for children. Each call raises `GuardError`: DATABASE_AWAY, and NOT_YOURS where there is an actor."""

    async def list_for(self, account_id: int, actor: Actor) -> WaitingRows:
        """Give what waits for a child to a guardian."""
        ...

    async def decide(
        self, account_id: int, sender_hash: bytes, actor: Actor, action: SenderAction, now: datetime, *,
        authenticated: bool, ends_at: datetime | None, although_alike: bool, skeletons: Callable[[bytes], bytes],
    ) -> Cleared:  # fmt: skip
        """Decide on what waits from a sender; `skeletons` gives the skeleton's hash of a sealed address.

        Raises:
            GuardError: also NO_SENDER, LOOKS_ALIKE, REFUSED_BY_OTHERS.
        """
        ...

    async def due(self, now: datetime, most: int) -> list[Errand]:
        """Lease decisions that store was not told of, or did not carry out."""
        ...

    async def give_up(self, errand: Errand) -> None:
        """Tell store no more of a decision."""
        ...

    async def expire(self, now: datetime, most: int) -> int:
        """Decide that what waited too long is to be destroyed; how many messages that were."""
        ...


class Families(Protocol):
    """Children, their guardians and levels. Each call raises `GuardError`: DATABASE_AWAY, NOT_A_CHILD."""

    async def register(self, registration: Registration) -> None:
        """Register a child with all its guardians; idempotent. Their addresses are family; the level is taken the first time only."""
        ...

    async def set_level(self, account_id: int, level: Level, actor: Actor) -> None:
        """Move a child's level; idempotent."""
        ...

    async def approve(self, account_id: int, correspondent: Correspondent, actor: Actor) -> None:
        """Approve a correspondent. Idempotent."""
        ...


class Guardianship(Protocol):
    """What guardians see of their children. Each call raises `GuardError`: DATABASE_AWAY, NOT_YOURS."""

    async def children(self, actor: Actor) -> list[ChildRow]:
        """Give a guardian's children."""
        ...

    async def move_level(self, account_id: int, level: Level, actor: Actor) -> None:
        """Move a child's level as a guardian; idempotent."""
        ...

    async def audit_of(self, account_id: int, actor: Actor, limit: int, before: datetime | None) -> list[Entry]:
        """Give the latest entries of the audit, before a time if given."""
        ...


class Correspondents(Protocol):
    """What persons say of addresses. Each call raises `GuardError`: DATABASE_AWAY, NOT_YOURS or NOT_A_CHILD, TOO_MANY, LOOKS_ALIKE."""

    async def set_voice(
        self, account_id: int, one: Correspondent, actor: Actor, action: Action, ends_at: datetime | None, now: datetime,
        *, although_alike: bool,
    ) -> tuple[Level, Known]:  # fmt: skip
        """Say something of a correspondent as a guardian; idempotent."""
        ...

    async def list_for(self, account_id: int, actor: Actor) -> tuple[Level, list[Known]]:
        """Give a child's correspondents to a guardian."""
        ...

    async def ask(self, child: Actor, one: Correspondent, now: datetime) -> tuple[Level, Known]:
        """Ask for a correspondent as the child, or add it where the level lets it; idempotent."""
        ...

    async def own(self, child: Actor) -> tuple[Level, list[Known]]:
        """Give a child its own correspondents."""
        ...


class Groups(Protocol):
    """A child's groups. Each call raises `GuardError`: DATABASE_AWAY, NOT_YOURS, NO_GROUP, TOO_MANY."""

    async def put(self, account_id: int, group: GroupRow, actor: Actor, ends_at: datetime | None) -> int:
        """Make a group and approve it, or replace name and members of one; its id."""
        ...

    async def set_voice(
        self, account_id: int, group_id: int, actor: Actor, action: Action, ends_at: datetime | None, copier: Copier,
        now: datetime,
    ) -> None:  # fmt: skip
        """Say something of a group; idempotent. A school's class has members while it is approved, and no approval beyond its year."""
        ...

    async def list_for(self, account_id: int, actor: Actor) -> list[KnownGroup]:
        """Give a child's groups to a guardian."""
        ...


class News(Protocol):
    """What guardians are to be told. Each call raises `GuardError`: DATABASE_AWAY."""

    async def ring(self, now: datetime) -> None:
        """Begin a letter to each guardian who is to be told something and was not written to for an hour."""
        ...

    async def letters(self, now: datetime) -> list[Letter]:
        """Lease letters that are begun and not known to be durable."""
        ...

    async def done(self, letter: Letter) -> None:
        """Forget a letter that is durable, and what is told by it."""
        ...

    async def remind(self, now: datetime) -> int:
        """Have guardians told once more of what waits for three days; how many senders that are."""
        ...


class Invitation(msgspec.Struct, frozen=True):
    """Somebody is invited to be a guardian of a child; `sealed` is the address, under the child's seal."""

    account_id: int
    invitation_id: int
    invited_by: int
    sealed: bytes
    ends_at: datetime


class Guardians(Protocol):
    """Keeps invitations and agreements. Each call raises `GuardError`: DATABASE_AWAY."""

    async def invite(
        self, account_id: int, actor: Actor, invitee_hash: bytes, sealed: bytes, ends_at: datetime
    ) -> None:
        """Invite somebody as a guardian; a repeat is the same invitation, that ends later. NOT_YOURS, TOO_MANY."""
        ...

    async def mine(self, actor: Actor, invitee_hash: bytes, now: datetime) -> list[Invitation]:
        """Give the invitations of somebody."""
        ...

    async def of_child(
        self, account_id: int, actor: Actor, now: datetime
    ) -> tuple[list[Invitation], list[tuple[int, int]]]:
        """Give a child's open invitations, and who agrees to whose leaving (guardian, by whom). NOT_YOURS."""
        ...

    async def accept(
        self, account_id: int, invitation_id: int, actor: Actor, invitee_hash: bytes, own: Correspondent, now: datetime
    ) -> None:
        """Become a guardian by an invitation, which is used up. NO_INVITATION, TOO_MANY."""
        ...

    async def decline(
        self, account_id: int, invitation_id: int, actor: Actor, invitee_hash: bytes, now: datetime
    ) -> None:
        """Use an invitation up without becoming anything. NO_INVITATION."""
        ...

    async def withdraw(self, account_id: int, invitation_id: int, actor: Actor) -> None:
        """Take an invitation back, as any guardian. NOT_YOURS, NO_INVITATION."""
        ...

    async def leave(self, account_id: int, guardian_id: int, actor: Actor, now: datetime) -> bool:
        """Agree that a guardian is one no more; whether that is done: the guardian and one other agree. NOT_YOURS, LAST_GUARDIAN."""
        ...

    async def stay(self, account_id: int, guardian_id: int, actor: Actor) -> None:
        """Forget who agreed that a guardian is one no more, as any guardian. NOT_YOURS."""
        ...

    async def prune(self, now: datetime) -> None:
        """Forget invitations that are over."""
        ...


class Links(Protocol):
    """Keeps the links of alerts. Each call raises `GuardError`: DATABASE_AWAY."""

    async def keep(self, guardian_id: int, digest: bytes, account_id: int, ends_at: datetime) -> None:
        """Keep a link; a repeat changes nothing, one that was used stays used."""
        ...

    async def use(self, actor: Actor, digest: bytes, now: datetime) -> int | None:
        """Use a guardian's link up; the child, None when there is no such link, or none any more."""
        ...

    async def prune(self, now: datetime) -> None:
        """Forget links that are over."""
        ...


class Post(Protocol):
    """accounts and store, as alerts need them. Each call raises `GuardError`: PEER_AWAY."""

    async def people(self, account_ids: Collection[int]) -> dict[int, Person]:
        """Describe accounts that work; others are left out."""
        ...

    async def send(self, letter: Letter, to: Person, body: bytes) -> None:
        """Make a mail to a guardian durable; a repeat is a no-op."""
        ...


class HeldMail(Protocol):
    """store's door for decisions."""

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        """Have store file or destroy a held message; raises `GuardError` (STORE_AWAY, STORE_REFUSES, NOT_HELD)."""
        ...
