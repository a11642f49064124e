"""The mailbox half of the store, wired: what bootstrap, acceptance and administration see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc.aio

from petitbleu.store.v1 import (
    filing_pb2,
    mailbox_pb2_grpc,
    outgoing_pb2_grpc,
    removed_pb2_grpc,
    sharing_pb2_grpc,
    uploads_pb2_grpc,
)
from petitbleu_kit.ids import BlobId
from petitbleu_kit.lifecycle import forever
from petitbleu_store.core import Core
from petitbleu_store.grpc_api.accounts import AccountServicer
from petitbleu_store.grpc_api.mailboxes import MailboxServicer
from petitbleu_store.grpc_api.outgoing import OutgoingServicer
from petitbleu_store.grpc_api.reads import ReadingServicer, Reads
from petitbleu_store.grpc_api.removed import RemovedServicer
from petitbleu_store.grpc_api.sharing import SharingServicer
from petitbleu_store.grpc_api.uploads import UploadServicer
from petitbleu_store.ports import MailboxCounts, OverQuota, VerifiedMessages
from petitbleu_store.service import mailbox_upkeep, quota, references
from petitbleu_store.service.acceptance import Acceptance
from petitbleu_store.service.accounts import AccountService
from petitbleu_store.service.erasure import Erasure
from petitbleu_store.service.filing import FilingService
from petitbleu_store.service.folders import Folders
from petitbleu_store.service.full_accounts import FullAccounts
from petitbleu_store.service.held import HeldService
from petitbleu_store.service.keyword_names import KeywordNames
from petitbleu_store.service.mailbox_cases import MailboxCases
from petitbleu_store.service.mailbox_verify import verify_accounts
from petitbleu_store.service.outgoing import Outgoing
from petitbleu_store.service.search import Search
from petitbleu_store.service.staging import Staging
from petitbleu_store.service.uploads import Uploads
from petitbleu_store.service.words import Words


class Parts:
    """Implements `petitbleu_store.ports.MailboxParts`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.book = core.book
        names = KeywordNames()
        self.search = Search.make(core, self.book)
        self.words = Words(core, self.book, self.search.loader)
        self.cases = MailboxCases.make(core, self.book, names, self.search, self.words)
        self.accounts = AccountService(core, self.book, self.cases.ends)
        settings = core.settings
        self.upload_staging = Staging(
            core.cold, core.objects, core.intake, spool=settings.spool() / "uploads", max_stages=settings.max_upload_stages,
            max_spool_octets=settings.spool_octets, max_body_octets=settings.max_body_octets, level=settings.zstd_level,
        )  # fmt: skip
        self.uploads = Uploads(core, self.upload_staging)
        self.erasure = Erasure(core, self.book, names, self.uploads, self.cases.ends)
        self.filing = FilingService(core, self.book, self.words)
        self.folders = Folders(core, self.book)
        self.held = HeldService(core, self.book, self.filing)
        self.full = FullAccounts(core.cold)

    def add_to(self, server: grpc.aio.Server, acceptance: Acceptance) -> None:
        """Add the servicers of OutgoingService, MailboxService, UploadService, RemovedService, SharingService, ReadingService and AccountService."""
        outgoing = Outgoing(self._core, self.book, acceptance)
        outgoing_pb2_grpc.add_OutgoingServiceServicer_to_server(OutgoingServicer(outgoing), server)
        mailbox_pb2_grpc.add_MailboxServiceServicer_to_server(MailboxServicer(self.cases), server)
        uploads_pb2_grpc.add_UploadServiceServicer_to_server(UploadServicer(Reads(self.cases), self.uploads), server)
        removed_pb2_grpc.add_RemovedServiceServicer_to_server(RemovedServicer(self.cases), server)
        sharing_pb2_grpc.add_SharingServiceServicer_to_server(SharingServicer(self.cases), server)
        mailbox_pb2_grpc.add_ReadingServiceServicer_to_server(ReadingServicer(Reads(self.cases)), server)
        mailbox_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(self.accounts, self.erasure), server)

    async def run(self) -> None:
        """Finish erasures, keep tables bounded, index mail and learn words, until cancelled."""
        await asyncio.gather(
            forever("store.mailboxes", mailbox_upkeep.SECONDS, self.upkeep),
            self.search.index.run(),
            self.words.run(),
        )

    async def close(self) -> None:
        """End what was started."""
        await self.search.close()
        await self.words.close()

    async def upkeep(self) -> None:
        """Do the background work once."""
        await self.erasure.resume()
        await self.uploads.sweep()
        await self.cases.purging.expire()
        await mailbox_upkeep.forget_gone(self._core.cold)
        await mailbox_upkeep.prune_changes(self._core.cold)

    async def file(self, request: filing_pb2.FileRequest) -> filing_pb2.FileResponse:
        """FilingService.File."""
        response = await self.filing.file(request)
        self.search.index.note({item.account_id for item in request.items})
        return response

    async def weigh(self, request: filing_pb2.WeighWordsRequest) -> filing_pb2.WeighWordsResponse:
        """FilingService.WeighWords."""
        return await self.filing.weigh(request)

    async def list_folders(self, request: filing_pb2.ListFoldersRequest) -> filing_pb2.ListFoldersResponse:
        """FilingService.ListFolders."""
        return await self.folders.listed(request)

    async def decide_held(self, request: filing_pb2.DecideHeldRequest) -> filing_pb2.DecideHeldResponse:
        """FilingService.DecideHeld."""
        await self.held.decide(request)
        return filing_pb2.DecideHeldResponse()

    async def over_quota(self, account_ids: Sequence[int]) -> list[int]:
        """Those of the accounts that are at or over their quota."""
        return await quota.over_quota(self._core.pool, self.book, account_ids)

    async def full_accounts(self) -> OverQuota:
        """All accounts that were at or over their quota a short while ago."""
        return await self.full.listed()

    async def still_referred(self, blobs: Sequence[tuple[BlobId, Sequence[int]]]) -> set[BlobId]:
        """Those of the blobs to which a message (or held message) of one of the named accounts still refers."""
        return await references.still_referred(self._core.cold, blobs)

    def verify(self, *, bodies: bool) -> AsyncIterator[VerifiedMessages]:
        """Check rows against counters, and that each message's blob exists; with `bodies`, that it opens under its key."""
        return verify_accounts(self._core, self.book, bodies=bodies)

    async def counts(self) -> MailboxCounts:
        """Accounts, messages held for a guardian, deleted messages that can be brought back, and the octets of these."""
        return await references.counts(self._core.cold)

    async def rotate_account_keys(self) -> int:
        """Wrap each account key that is not under the active key-encryption key again; return how many."""
        return await mailbox_upkeep.rotate_account_keys(self._core)


async def make(core: Core) -> Parts:
    """Wire the mailbox half, and close what a restored back-up must not open again."""
    parts = Parts(core)
    parts.upload_staging.start()
    await parts.erasure.replay()
    return parts
