"""ParkedService: translation only."""

from __future__ import annotations

from datetime import UTC, datetime

from petitbleu.store.v1 import filing_pb2, filing_pb2_grpc
from petitbleu_kit.rpc import caller
from petitbleu_store.grpc_api.answers import Context, answered
from petitbleu_store.grpc_api.filing import blob_id_of
from petitbleu_store.service.parked import ParkedRecipients, Reference
from petitbleu_store.service.trace import Trace

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


def _limit(asked: int) -> int:
    return min(_MAX_LIMIT, asked) if asked > 0 else _DEFAULT_LIMIT


def _millis(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp() * 1000)


def _references(recipients: list[filing_pb2.RecipientRef]) -> list[Reference]:
    return [(blob_id_of(one.accepted_id), one.recipient_no) for one in recipients]


class ParkedServicer(filing_pb2_grpc.ParkedServiceServicer):
    """The operator's door to parked recipients, and Trace."""

    def __init__(self, parked: ParkedRecipients, trace: Trace) -> None:
        self._parked = parked
        self._trace = trace

    @answered
    async def ListParked(
        self, request: filing_pb2.ListParkedRequest, _context: Context
    ) -> filing_pb2.ListParkedResponse:
        """Give a page."""
        page, token = await self._parked.list_page(request.page_token, _limit(request.limit))
        return filing_pb2.ListParkedResponse(
            recipients=[
                filing_pb2.ParkedRecipient(
                    recipient=filing_pb2.RecipientRef(accepted_id=one.accepted_id.bytes, recipient_no=one.recipient_no),
                    reason=one.reason,
                    attempts=one.attempts,
                    received_at_ms=_millis(one.received_at),
                    size=one.size,
                )
                for one in page
            ],
            next_page_token=token,
        )

    @answered
    async def ReplayParked(
        self, request: filing_pb2.ReplayParkedRequest, _context: Context
    ) -> filing_pb2.ReplayParkedResponse:
        """Open again."""
        if request.all:
            return filing_pb2.ReplayParkedResponse(replayed=await self._parked.replay_all())
        replayed = await self._parked.replay(_references(list(request.recipients)))
        return filing_pb2.ReplayParkedResponse(replayed=replayed)

    @answered
    async def DropParked(
        self, request: filing_pb2.DropParkedRequest, _context: Context
    ) -> filing_pb2.DropParkedResponse:
        """Discard."""
        return filing_pb2.DropParkedResponse(dropped=await self._parked.drop(_references(list(request.recipients))))

    @answered
    async def Trace(self, request: filing_pb2.TraceRequest, _context: Context) -> filing_pb2.TraceResponse:
        """Tell what became of a mail."""
        stories = await self._trace.look(
            caller=caller().service,
            sender=getattr(request, "from"),
            recipient=request.to,
            since=datetime.fromtimestamp(request.since_ms / 1000, UTC),
            limit=_limit(request.limit),
        )
        return filing_pb2.TraceResponse(
            entries=[
                filing_pb2.TraceEntry(
                    recipient=filing_pb2.RecipientRef(accepted_id=one.accepted_id.bytes, recipient_no=one.recipient_no),
                    received_at_ms=_millis(one.received_at),
                    outcome=filing_pb2.Outcome.ValueType(one.outcome),
                    settled_at_ms=_millis(one.settled_at),
                    reason=one.reason,
                    attempts=one.attempts,
                    account_ids=one.account_ids,
                    size=one.size,
                )
                for one in stories
            ]
        )
