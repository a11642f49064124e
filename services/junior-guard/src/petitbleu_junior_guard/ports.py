"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Level, Reason, Verdict


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
    """Who changes something: a person's account with its tenant, or the operator (`NOBODY`)."""

    party: int
    tenant_id: int = 0

    @property
    def name(self) -> str:
        """As the audit has it."""
        return str(self.party) if self.party else "operator"


class Ruling(msgspec.Struct, frozen=True):
    """A decision by rule, to be recorded."""

    account_id: int
    accepted_id: bytes
    verdict: Verdict
    reason: Reason


class Records(Protocol):
    """What junior-guard keeps. Each call raises `GuardError(DATABASE_AWAY)` when it cannot be answered: never a guess."""

    async def knowledge(
        self, items: Sequence[Item], hashes: Sequence[bytes], skeletons: Sequence[bytes], now: datetime
    ) -> list[Knowledge]:
        """Say what is known of each item; `hashes` are of their senders and of the senders' skeletons, empty for none."""
        ...

    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        ...

    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now, None when no such message was held."""
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


class HeldMail(Protocol):
    """store's door for decisions."""

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        """Have store file or destroy a held message; raises `GuardError` (STORE_AWAY, STORE_REFUSES, NOT_HELD)."""
        ...
