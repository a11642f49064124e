"""AcceptService: translation only."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from petitbleu.store.v1 import accept_pb2, accept_pb2_grpc
from petitbleu_kit.ids import BlobId
from petitbleu_kit.rpc import caller, while_allowed
from petitbleu_kit.telemetry import parent_of, span, tracing_on
from petitbleu_store.domain.acceptance import Arriving
from petitbleu_store.domain.envelope import Envelope, Recipient
from petitbleu_store.domain.provenance import UNTOLD, packed
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.ports import MailboxParts
from petitbleu_store.service.acceptance import Acceptance
from petitbleu_store.service.staging import Staging

MAX_QUOTA_ACCOUNTS = 1000
_LAST_MS: Final = 253_402_300_799_000  # the end of the year 9999


def arriving(item: accept_pb2.AcceptItem) -> Arriving:
    """Return an item as the service takes it."""
    envelope = Envelope(
        item.mail_from,
        item.header_from,
        item.verdicts.from_authenticated,
        tuple(Recipient(one.address, one.notify, one.orcpt) for one in item.recipients),
        item.parameters.eight_bit,
        item.parameters.smtputf8,
        item.parameters.ret,
        item.parameters.envid,
        item.traceparent,
        item.origin,
        item.submitter_account_id,
        item.submitter_tenant_id,
        item.verdicts.SerializeToString() if item.HasField("verdicts") else b"",
        item.parameters.require_tls,
    )
    staged_id = item.staged_id
    return Arriving(
        item.idempotency_key, envelope, tuple(one.tenant_id for one in item.recipients), item.trace, item.body,
        BlobId(UUID(bytes=staged_id)) if len(staged_id) == 16 else None, hold_until(item.hold_until_ms),
        told=told(item),
    )  # fmt: skip


def hold_until(milliseconds: int) -> float:
    """Return Unix seconds of a time before which nobody is told, 0 for none; one beyond the calendar is at its end."""
    return min(max(milliseconds, 0), _LAST_MS) / 1000


def told(item: accept_pb2.AcceptItem) -> int:
    """Return what an item says of its origin, and what judging found, for the columns of its row."""
    if not item.HasField("verdicts"):
        return packed(origin=item.origin) if item.origin else UNTOLD
    found = item.verdicts
    return packed(
        origin=item.origin, from_authenticated=found.from_authenticated, envelope_authenticated=found.envelope_authenticated,
        spf=found.spf, dkim=found.dkim, dmarc=found.dmarc, arc=found.arc, treatment=found.treatment, spam_score=found.spam_score,
    )  # fmt: skip


def parameters_of(envelope: Envelope) -> accept_pb2.EnvelopeParameters:
    """Return the parameters of an envelope."""
    return accept_pb2.EnvelopeParameters(
        eight_bit=envelope.eight_bit, smtputf8=envelope.smtputf8, ret=envelope.ret, envid=envelope.envid,
        require_tls=envelope.require_tls,
    )  # fmt: skip


def verdicts_of(envelope: Envelope) -> accept_pb2.AuthenticationVerdicts:
    """Return what was found out about the sender."""
    return accept_pb2.AuthenticationVerdicts.FromString(envelope.verdicts)


class AcceptServicer(accept_pb2_grpc.AcceptServiceServicer):
    """The way in."""

    def __init__(self, acceptance: Acceptance, staging: Staging, mailboxes: MailboxParts) -> None:
        self._acceptance = acceptance
        self._staging = staging
        self._mailboxes = mailboxes

    @answered
    async def Accept(self, request: accept_pb2.AcceptRequest, _context: Context) -> accept_pb2.AcceptResponse:
        """Commit a batch."""
        return await self._accept(request)

    @streamed
    async def AcceptMany(
        self, request: AsyncIterator[accept_pb2.AcceptRequest], _context: Context
    ) -> AsyncIterator[accept_pb2.AcceptResponse]:
        """Commit batches, one after the other."""
        async for one in while_allowed(request):
            yield await self._accept(one)

    async def _accept(self, request: accept_pb2.AcceptRequest) -> accept_pb2.AcceptResponse:
        items = [arriving(item) for item in request.items]
        if tracing_on():
            with span("store.accept", parent_of(caller().traceparent)):
                results = await self._acceptance.accept(items, request.seen_keys)
        else:
            results = await self._acceptance.accept(items, request.seen_keys)
        return accept_pb2.AcceptResponse(
            results=[
                accept_pb2.AcceptResult(
                    status=accept_pb2.AcceptStatus.ValueType(result.status.value),
                    accepted_id=b"" if result.accepted_id is None else result.accepted_id.bytes,
                )
                for result in results
            ]
        )

    @answered
    async def Stage(
        self, request: AsyncIterator[accept_pb2.StageRequest], _context: Context
    ) -> accept_pb2.StageResponse:
        """Take a large body."""
        staged = await self._staging.stage(_pieces(request))
        return accept_pb2.StageResponse(staged_id=staged.blob_id.bytes)

    @answered
    async def CheckQuota(
        self, request: accept_pb2.CheckQuotaRequest, _context: Context
    ) -> accept_pb2.CheckQuotaResponse:
        """Say which accounts are over quota."""
        return await self._check_quota(request)

    @streamed
    async def CheckQuotaMany(
        self, request: AsyncIterator[accept_pb2.CheckQuotaRequest], _context: Context
    ) -> AsyncIterator[accept_pb2.CheckQuotaResponse]:
        """Say it, one question after the other."""
        async for one in while_allowed(request):
            yield await self._check_quota(one)

    async def _check_quota(self, request: accept_pb2.CheckQuotaRequest) -> accept_pb2.CheckQuotaResponse:
        if len(request.account_ids) > MAX_QUOTA_ACCOUNTS:
            raise StoreError(Problem.INVALID, "too many accounts")
        return accept_pb2.CheckQuotaResponse(
            over_quota_account_ids=await self._mailboxes.over_quota(list(request.account_ids))
        )

    @answered
    async def ListOverQuota(
        self, _request: accept_pb2.ListOverQuotaRequest, _context: Context
    ) -> accept_pb2.ListOverQuotaResponse:
        """Name all accounts that are over quota."""
        full = await self._mailboxes.full_accounts()
        return accept_pb2.ListOverQuotaResponse(
            account_ids=full.account_ids, age_milliseconds=math.ceil(full.age_seconds * 1000), complete=full.complete
        )


async def _pieces(request: AsyncIterator[accept_pb2.StageRequest]) -> AsyncIterator[bytes]:
    octets = 0
    begun = ended = False
    async for part in request:
        match part.WhichOneof("part"):
            case "header" if not begun:
                begun = True
                yield part.header.trace
            case "data" if begun and not ended:
                octets += len(part.data)
                yield part.data
            case "end" if begun and not ended:
                ended = True
                if part.end.octets != octets:
                    raise StoreError(Problem.INVALID, "octets do not add up")
            case _:
                raise StoreError(Problem.INVALID, "parts out of order")
    if not ended:
        raise StoreError(Problem.INVALID, "the body does not end")
