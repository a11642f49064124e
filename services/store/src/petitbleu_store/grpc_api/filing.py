"""FilingService: translation only. File and DecideHeld belong to the mailbox half."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from petitbleu.store.v1 import accept_pb2, filing_pb2, filing_pb2_grpc
from petitbleu_kit.ids import BlobId
from petitbleu_kit.rpc import caller, while_allowed
from petitbleu_kit.telemetry import parent_of, span, tracing_on
from petitbleu_store.adapters.postgres import Pool
from petitbleu_store.domain.outcome import Outcome, Settlement
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.accept import parameters_of, verdicts_of
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.ports import MailboxParts
from petitbleu_store.service.recipients import OpenMessage, Recipients

MAX_ITEMS = 1000


def blob_id_of(octets: bytes) -> BlobId:
    """Return an id from its 16 octets.

    Raises:
        StoreError: INVALID.
    """
    if len(octets) != 16:
        raise StoreError(Problem.INVALID, "an id is 16 octets")
    return BlobId(UUID(bytes=octets))


def _settlement(item: filing_pb2.SettleItem) -> Settlement:
    try:
        outcome = Outcome(item.outcome)
    except ValueError:
        raise StoreError(Problem.INVALID, "no outcome") from None
    return Settlement(
        blob_id_of(item.recipient.accepted_id), item.recipient.recipient_no, outcome, list(item.account_ids), item.reason,
        item.retry_after_ms / 1000,
    )  # fmt: skip


def _open_message(found: OpenMessage) -> filing_pb2.OpenMessage:
    message = found.message
    envelope = message.envelope
    return filing_pb2.OpenMessage(
        accepted_id=message.blob_id.bytes,
        mail_from=envelope.mail_from,
        header_from=envelope.header_from,
        from_authenticated=envelope.from_authenticated,
        size=message.size,
        received_at_ms=int(message.received_at.timestamp() * 1000),
        recipients=[
            filing_pb2.OpenRecipient(
                recipient_no=one.recipient_no,
                address=envelope.recipients[one.recipient_no].address,
                attempts=one.attempts,
                notify=envelope.recipients[one.recipient_no].notify,
                orcpt=envelope.recipients[one.recipient_no].orcpt,
            )
            for one in found.recipients
        ],
        traceparent=envelope.traceparent,
        origin=accept_pb2.Origin.ValueType(envelope.origin),
        submitter_account_id=envelope.submitter_account_id,
        submitter_tenant_id=envelope.submitter_tenant_id,
        verdicts=verdicts_of(envelope),
        parameters=parameters_of(envelope),
    )


class FilingServicer(filing_pb2_grpc.FilingServiceServicer):
    """From accepted to filed."""

    def __init__(self, pool: Pool, recipients: Recipients, mailboxes: MailboxParts) -> None:
        self._pool = pool
        self._recipients = recipients
        self._mailboxes = mailboxes

    @answered
    async def ListOpen(self, request: filing_pb2.ListOpenRequest, _context: Context) -> filing_pb2.ListOpenResponse:
        """Give open recipients."""
        return await self._list_open(request)

    @streamed
    async def ListOpenMany(
        self, request: AsyncIterator[filing_pb2.ListOpenRequest], _context: Context
    ) -> AsyncIterator[filing_pb2.ListOpenResponse]:
        """Give open recipients, one request after the other."""
        async for one in while_allowed(request):
            yield await self._list_open(one)

    async def _list_open(self, request: filing_pb2.ListOpenRequest) -> filing_pb2.ListOpenResponse:
        if len(request.accepted_ids) > MAX_ITEMS:
            raise StoreError(Problem.INVALID, "too many ids")
        ids = [blob_id_of(octets) for octets in request.accepted_ids]
        found = await self._recipients.list_open(self._pool, ids)
        return filing_pb2.ListOpenResponse(messages=[_open_message(message) for message in found])

    @answered
    async def File(self, request: filing_pb2.FileRequest, _context: Context) -> filing_pb2.FileResponse:
        """File or hold."""
        if tracing_on():
            with span("store.file", parent_of(caller().traceparent)):
                return await self._mailboxes.file(request)
        return await self._mailboxes.file(request)

    @streamed
    async def FileMany(
        self, request: AsyncIterator[filing_pb2.FileRequest], _context: Context
    ) -> AsyncIterator[filing_pb2.FileResponse]:
        """File or hold, one request after the other."""
        async for one in while_allowed(request):
            yield await self._mailboxes.file(one)

    @answered
    async def ListFolders(
        self, request: filing_pb2.ListFoldersRequest, _context: Context
    ) -> filing_pb2.ListFoldersResponse:
        """Give the mailboxes of accounts."""
        return await self._mailboxes.list_folders(request)

    @answered
    async def WeighWords(
        self, request: filing_pb2.WeighWordsRequest, _context: Context
    ) -> filing_pb2.WeighWordsResponse:
        """Say what is junk by the words of accounts."""
        return await self._mailboxes.weigh(request)

    @answered
    async def Settle(self, request: filing_pb2.SettleRequest, _context: Context) -> filing_pb2.SettleResponse:
        """Record outcomes."""
        if len(request.items) > MAX_ITEMS:
            raise StoreError(Problem.INVALID, "too many items")
        items = [_settlement(item) for item in request.items]
        await self._recipients.record(self._pool, items)
        return filing_pb2.SettleResponse()

    @answered
    async def DecideHeld(
        self, request: filing_pb2.DecideHeldRequest, _context: Context
    ) -> filing_pb2.DecideHeldResponse:
        """File or destroy held mail."""
        return await self._mailboxes.decide_held(request)
