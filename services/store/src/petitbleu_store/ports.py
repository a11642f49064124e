"""What the store needs and more than one thing can provide, and the seam between its two halves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import grpc.aio

from petitbleu.store.v1 import filing_pb2
from petitbleu_kit.ids import BlobId

if TYPE_CHECKING:
    from petitbleu_store.service.acceptance import Acceptance


class KeyEncryption(Protocol):
    """The operator's key-encryption key: a file, or a KMS."""

    async def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key of 32 octets under the active key-encryption key; `purpose` is bound to it."""

    async def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt what `wrap` made with the same purpose.

        Raises:
            WrongKeyError: another key, purpose or changed octets.
        """

    def reload(self) -> None:
        """Learn of keys added, and of another active one, before a rotation."""

    def is_current(self, wrapped: bytes) -> bool:
        """Whether it is wrapped under the key that is active now."""


@dataclass(frozen=True, slots=True)
class VerifiedMessages:
    """Progress of the mailbox half's verification: messages looked at since the last one, and findings as "kind id: what is wrong"."""

    messages: int
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverQuota:
    """The accounts that were at or over their quota.

    Attributes:
        account_ids: The accounts; none unless `complete`.
        age_seconds: How old that is: what was committed before then is in it.
        complete: Whether these are all; else nothing is said of any account.
    """

    account_ids: tuple[int, ...]
    age_seconds: float
    complete: bool


class MailboxCounts(NamedTuple):
    """Accounts, messages held for a guardian, deleted messages that can be brought back, and the octets of these."""

    accounts: int
    held: int
    removed_messages: int
    removed_octets: int


class MailboxParts(Protocol):
    """The mailbox half, as acceptance and administration see it (`mailbox_parts.make(core)` returns one)."""

    def add_to(self, server: grpc.aio.Server, acceptance: Acceptance) -> None:
        """Add the servicers of OutgoingService, MailboxService, ReadingService and AccountService."""

    async def run(self) -> None:
        """Do background work until cancelled."""

    async def close(self) -> None:
        """End what was started for requests."""

    async def file(self, request: filing_pb2.FileRequest) -> filing_pb2.FileResponse:
        """FilingService.File."""

    async def weigh(self, request: filing_pb2.WeighWordsRequest) -> filing_pb2.WeighWordsResponse:
        """FilingService.WeighWords."""

    async def list_folders(self, request: filing_pb2.ListFoldersRequest) -> filing_pb2.ListFoldersResponse:
        """FilingService.ListFolders."""

    async def decide_held(self, request: filing_pb2.DecideHeldRequest) -> filing_pb2.DecideHeldResponse:
        """FilingService.DecideHeld."""

    async def over_quota(self, account_ids: Sequence[int]) -> list[int]:
        """Those of the accounts that are at or over their quota."""

    async def full_accounts(self) -> OverQuota:
        """All accounts that were at or over their quota a short while ago."""

    async def still_referred(self, blobs: Sequence[tuple[BlobId, Sequence[int]]]) -> set[BlobId]:
        """Those of the blobs to which a message (or held message) of one of the named accounts still refers."""

    def verify(self, *, bodies: bool) -> AsyncIterator[VerifiedMessages]:
        """Check rows against counters, and that each message's blob exists; with `bodies`, that it opens under its key."""

    async def counts(self) -> MailboxCounts:
        """Count accounts, held and deleted messages."""

    async def rotate_account_keys(self) -> int:
        """Wrap each account key that is not under the active key-encryption key again; return how many."""
