"""A message that is about to be submitted, as store would accept it: read for who looks it through before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc.aio

from petitbleu.delivery.v1 import submission_pb2
from petitbleu.store.v1 import outgoing_pb2, outgoing_pb2_grpc
from petitbleu_delivery.adapters.calls import failure
from petitbleu_delivery.adapters.outgoing import trace_lines
from petitbleu_delivery.domain.submissions import Submission
from petitbleu_delivery.errors import Peer, PeerUnavailableError
from petitbleu_kit.rpc import Peer as Channel
from petitbleu_kit.scanners.scanning import Letter


class StoreToSubmit:
    """Calls store's OutgoingService.

    Args:
        channel: The channel to store.
        seconds: Deadline of a message.
        hostname: Name said in Received.
    """

    def __init__(self, channel: Channel, seconds: float, hostname: str) -> None:
        self._channel = channel
        self._stub = outgoing_pb2_grpc.OutgoingServiceStub(channel.channel)
        self._seconds = seconds
        self._hostname = hostname

    def letter(self, account_id: int, submission: Submission) -> Letter:
        """Return what scanners are told beside the octets: the account as its number, and nobody's network address."""
        envelope = submission_pb2.SubmissionEnvelope.FromString(submission.envelope)
        recipients = [one.address for one in envelope.recipients]
        return Letter(
            "", "", envelope.mail_from.address, recipients, submission.submission_id.hex(), str(account_id)
        )  # fmt: skip

    async def read(self, account_id: int, submission: Submission, take: Callable[[bytes], Awaitable[None]]) -> bool:
        """Give a message to `take`, our own lines first; say whether it is new to store and was given as a whole.

        Raises:
            PeerUnavailableError: store does not answer, or broke off.
            PeerRefusedError: it refuses the question.
        """
        request = outgoing_pb2.ReadToSubmitRequest(
            submission_id=submission.submission_id, account_id=account_id, tenant_id=submission.tenant_id,
            message_id=submission.message_id,
        )  # fmt: skip
        envelope = submission_pb2.SubmissionEnvelope.FromString(submission.envelope)
        octets = 0
        try:
            call = self._stub.ReadToSubmit(request, timeout=self._seconds, metadata=self._channel.metadata())
            async for part in call:
                match part.WhichOneof("part"):
                    case "header":
                        if part.header.status != outgoing_pb2.SUBMIT_STATUS_OK:
                            return False
                        await take(trace_lines(envelope, submission, self._hostname))
                    case "data":
                        octets += len(part.data)
                        await take(part.data)
                    case "end":
                        return part.end.whole and part.end.octets == octets
        except grpc.aio.AioRpcError as error:
            raise failure(error, Peer.STORE) from None
        raise PeerUnavailableError(Peer.STORE, "MALFORMED_ANSWER")
