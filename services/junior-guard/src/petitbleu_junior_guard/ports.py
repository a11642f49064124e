"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from petitbleu_junior_guard.domain.rules import Item, Knowledge, Reason, Verdict


class Correspondent(msgspec.Struct, frozen=True):
    """An approved address, hashed and sealed."""

    address_hash: bytes
    sealed: bytes


class Ruling(msgspec.Struct, frozen=True):
    """A decision by rule, to be recorded."""

    account_id: int
    accepted_id: bytes
    verdict: Verdict
    reason: Reason


class Records(Protocol):
    """What junior-guard keeps. Each call raises `GuardError(DATABASE_AWAY)` when it cannot be answered: never a guess."""

    async def knowledge(self, items: Sequence[Item], hashes: Sequence[bytes]) -> list[Knowledge]:
        """Say what is known of each item; `hashes` are of their senders, empty for none."""
        ...

    async def record(self, rulings: Sequence[Ruling]) -> None:
        """Record decisions by rule; what a person decided stays."""
        ...

    async def register(self, account_id: int, tenant_id: int, guardians: Mapping[int, Correspondent | None]) -> None:
        """Register a child with all its guardians; idempotent. The guardians' addresses are approved."""
        ...

    async def approve(self, account_id: int, correspondent: Correspondent, actor: str) -> bool:
        """Approve a correspondent; False when the account is not registered as a child's. Idempotent."""
        ...

    async def decide(self, account_id: int, accepted_id: bytes, verdict: Verdict, actor: str) -> Verdict | None:
        """Record a person's decision on a held message; return what stands now, None when no such message was held."""
        ...


class HeldMail(Protocol):
    """store's door for decisions."""

    async def decide(self, account_id: int, accepted_id: bytes, token: str) -> None:
        """Have store file or destroy a held message; raises `GuardError` (STORE_AWAY, STORE_REFUSES, NOT_HELD)."""
        ...
