"""AdminService: translation only."""

from __future__ import annotations

from collections.abc import AsyncIterator

from petitbleu.store.v1 import mailbox_pb2, mailbox_pb2_grpc
from petitbleu_store.core import Core
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.ports import KeyEncryption, MailboxParts
from petitbleu_store.service.compaction import Compaction
from petitbleu_store.service.packer import BusyElsewhereError, Packer
from petitbleu_store.service.status import status
from petitbleu_store.service.verify import Verification


class AdminServicer(mailbox_pb2_grpc.AdminServiceServicer):
    """The operator's door."""

    def __init__(
        self, core: Core, mailboxes: MailboxParts, packer: Packer, compaction: Compaction, key_encryption: KeyEncryption
    ) -> None:
        self._core = core
        self._mailboxes = mailboxes
        self._packer = packer
        self._compaction = compaction
        self._key_encryption = key_encryption

    @streamed
    async def Verify(
        self, request: mailbox_pb2.VerifyRequest, _context: Context
    ) -> AsyncIterator[mailbox_pb2.VerifyResponse]:
        """Verify everything."""
        async for result in Verification(self._core, self._mailboxes).run(bodies=request.bodies):
            yield mailbox_pb2.VerifyResponse(
                blobs=result.blobs,
                messages=result.messages,
                octets=result.octets,
                finding=result.finding,
                done=result.done,
            )

    @answered
    async def RotateKeys(
        self, _request: mailbox_pb2.RotateKeysRequest, _context: Context
    ) -> mailbox_pb2.RotateKeysResponse:
        """Wrap every key under the active key-encryption key."""
        self._key_encryption.reload()
        rotated = await self._core.intake.rotate()
        rotated += await self._mailboxes.rotate_account_keys()
        return mailbox_pb2.RotateKeysResponse(rotated=rotated)

    @answered
    async def Pack(self, _request: mailbox_pb2.PackRequest, _context: Context) -> mailbox_pb2.PackResponse:
        """Pack now."""
        try:
            packed = await self._packer.pack_now()
        except BusyElsewhereError:
            raise StoreError(Problem.AWAY, "the packer is at work") from None
        return mailbox_pb2.PackResponse(segments=packed.segments, bodies=packed.bodies)

    @answered
    async def Compact(self, _request: mailbox_pb2.CompactRequest, _context: Context) -> mailbox_pb2.CompactResponse:
        """Compact now."""
        try:
            done = await self._compaction.compact()
        except BusyElsewhereError:
            raise StoreError(Problem.AWAY, "the packer is at work") from None
        return mailbox_pb2.CompactResponse(
            rewritten=done.rewritten, deleted=done.deleted, freed_octets=done.freed_octets
        )

    @answered
    async def GetStatus(
        self, _request: mailbox_pb2.GetStatusRequest, _context: Context
    ) -> mailbox_pb2.GetStatusResponse:
        """Give counts."""
        found = await status(self._core)
        counts = await self._mailboxes.counts()
        return mailbox_pb2.GetStatusResponse(
            open_recipients=found.open_recipients,
            parked_recipients=found.parked_recipients,
            hot_bodies=found.hot_bodies,
            hot_octets=found.hot_octets,
            segments=found.segments,
            outbox_pending=found.outbox_pending,
            accounts=counts.accounts,
            held=counts.held,
            removed_messages=counts.removed_messages,
            removed_octets=counts.removed_octets,
        )
