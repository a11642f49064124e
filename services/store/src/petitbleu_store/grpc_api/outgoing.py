"""OutgoingService: translation only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from petitbleu.store.v1 import accept_pb2, outgoing_pb2, outgoing_pb2_grpc
from petitbleu_store.domain.acceptance import AcceptedStatus
from petitbleu_store.domain.envelope import Envelope, Recipient
from petitbleu_store.grpc_api.accept import hold_until, parameters_of
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.grpc_api.filing import blob_id_of
from petitbleu_store.service.accepted_reading import Begin, End
from petitbleu_store.service.outgoing import NoMessageError, Outgoing, Submission, UnreadableError

# Octets of a message in one piece of a stream
_PIECE: Final = 256 << 10
_STATUS = {
    AcceptedStatus.OK: outgoing_pb2.SUBMIT_STATUS_OK,
    AcceptedStatus.REPEAT: outgoing_pb2.SUBMIT_STATUS_REPEAT,
}


def _header(begin: Begin) -> outgoing_pb2.AcceptedHeader:
    message = begin.message
    if message is None:
        return outgoing_pb2.AcceptedHeader(accepted_id=begin.accepted_id.bytes)
    envelope = message.envelope
    return outgoing_pb2.AcceptedHeader(
        accepted_id=message.blob_id.bytes,
        found=True,
        mail_from=envelope.mail_from,
        recipients=[
            accept_pb2.AcceptRecipient(address=one.address, notify=one.notify, orcpt=one.orcpt)
            for one in envelope.recipients
        ],
        parameters=parameters_of(envelope),
        origin=accept_pb2.Origin.ValueType(envelope.origin),
        submitter_account_id=envelope.submitter_account_id,
        submitter_tenant_id=envelope.submitter_tenant_id,
        header_from=envelope.header_from,
        from_authenticated=envelope.from_authenticated,
        size=message.size,
        received_at_ms=int(message.received_at.timestamp() * 1000),
    )


def _submission(request: outgoing_pb2.SubmitRequest) -> Submission:
    parameters = request.parameters
    envelope = Envelope(
        request.mail_from,
        request.header_from,
        True,
        tuple(Recipient(one.address, one.notify, one.orcpt) for one in request.recipients),
        parameters.eight_bit,
        parameters.smtputf8,
        parameters.ret,
        parameters.envid,
        "",
        accept_pb2.ORIGIN_SUBMITTED,
        request.account_id,
        request.tenant_id,
        accept_pb2.AuthenticationVerdicts(
            from_authenticated=True, envelope_authenticated=True, spam_score=request.spam_score
        ).SerializeToString(),
        parameters.require_tls,
    )
    return Submission(
        request.submission_id, request.account_id, request.message_id, envelope,
        tuple(one.tenant_id for one in request.recipients), request.trace, hold_until(request.hold_until_ms),
        request.spam_score,
    )  # fmt: skip


class OutgoingServicer(outgoing_pb2_grpc.OutgoingServiceServicer):
    """The way out."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    @streamed
    async def ReadAccepted(
        self, request: outgoing_pb2.ReadAcceptedRequest, _context: Context
    ) -> AsyncIterator[outgoing_pb2.ReadAcceptedResponse]:
        """Stream accepted messages."""
        ids = [blob_id_of(octets) for octets in request.accepted_ids]
        async for part in self._outgoing.reading.read(ids, request.max_octets):
            match part:
                case Begin():
                    yield outgoing_pb2.ReadAcceptedResponse(header=_header(part))
                case End(octets, whole):
                    end = outgoing_pb2.AcceptedEnd(octets=octets, whole=whole)
                    yield outgoing_pb2.ReadAcceptedResponse(end=end)
                case _:
                    yield outgoing_pb2.ReadAcceptedResponse(data=part)

    @answered
    async def Submit(self, request: outgoing_pb2.SubmitRequest, _context: Context) -> outgoing_pb2.SubmitResponse:
        """Accept a message of an account."""
        try:
            accepted = await self._outgoing.submit(_submission(request))
        except NoMessageError:
            return outgoing_pb2.SubmitResponse(status=outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE)
        except UnreadableError:
            return outgoing_pb2.SubmitResponse(status=outgoing_pb2.SUBMIT_STATUS_UNREADABLE)
        known = accepted.accepted_id
        return outgoing_pb2.SubmitResponse(status=_STATUS[accepted.status], accepted_id=known.bytes if known else b"")

    @streamed
    async def ReadToSubmit(
        self, request: outgoing_pb2.ReadToSubmitRequest, _context: Context
    ) -> AsyncIterator[outgoing_pb2.ReadToSubmitResponse]:
        """Stream a message of an account as `Submit` would accept it."""
        octets = 0
        try:
            found = await self._outgoing.read(
                request.submission_id, request.account_id, request.tenant_id, request.message_id
            )
            if found is None:
                yield _begun(outgoing_pb2.SUBMIT_STATUS_REPEAT)
                return
            async for piece in found:
                if piece and not octets:
                    yield _begun(outgoing_pb2.SUBMIT_STATUS_OK)
                octets += len(piece)
                for at in range(0, len(piece), _PIECE):
                    yield outgoing_pb2.ReadToSubmitResponse(data=piece[at : at + _PIECE])
        except NoMessageError:
            yield _begun(outgoing_pb2.SUBMIT_STATUS_NO_MESSAGE)
        except UnreadableError:
            if octets:
                yield outgoing_pb2.ReadToSubmitResponse(end=outgoing_pb2.AcceptedEnd(octets=octets, whole=False))
            else:
                yield _begun(outgoing_pb2.SUBMIT_STATUS_UNREADABLE)
        else:
            if not octets:
                yield _begun(outgoing_pb2.SUBMIT_STATUS_OK)
            yield outgoing_pb2.ReadToSubmitResponse(end=outgoing_pb2.AcceptedEnd(octets=octets, whole=True))


def _begun(status: outgoing_pb2.SubmitStatus.ValueType) -> outgoing_pb2.ReadToSubmitResponse:
    return outgoing_pb2.ReadToSubmitResponse(header=outgoing_pb2.ToSubmitHeader(status=status))
