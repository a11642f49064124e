"""store's OutgoingService behind the port `Outgoing`: a message of an account becomes accepted mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from petitbleu.delivery.v1 import submission_pb2
from petitbleu.store.v1 import accept_pb2, outgoing_pb2_grpc
from petitbleu.store.v1 import outgoing_pb2 as pb
from petitbleu_delivery.adapters.calls import ask
from petitbleu_delivery.domain.submissions import GONE, REFUSED, UNREADABLE, Submission
from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.service.submissions.ports import Handed
from petitbleu_kit.rpc import Peer as Channel

_FAILURES: Final = {
    pb.SUBMIT_STATUS_NO_MESSAGE: Handed(None, GONE),
    pb.SUBMIT_STATUS_UNREADABLE: Handed(None, UNREADABLE),
}


class StoreOutgoing:
    """Calls store.

    Args:
        channel: The channel to store.
        seconds: Deadline of a submission.
        hostname: Name said in Received.
    """

    def __init__(self, channel: Channel, seconds: float, hostname: str) -> None:
        self._channel = channel
        self._stub = outgoing_pb2_grpc.OutgoingServiceStub(channel.channel)
        self._seconds = seconds
        self._hostname = hostname

    async def submit(self, account_id: int, submission: Submission, spam_score: int) -> Handed:
        """Make accepted mail of a message in the account, once however often it is asked."""
        envelope = submission_pb2.SubmissionEnvelope.FromString(submission.envelope)
        request = pb.SubmitRequest(
            submission_id=submission.submission_id, account_id=account_id, tenant_id=submission.tenant_id,
            message_id=submission.message_id,
            header_from=envelope.header_from, mail_from=envelope.mail_from.address,
            recipients=[
                accept_pb2.AcceptRecipient(address=one.address, notify=one.notify, orcpt=one.orcpt)
                for one in envelope.recipients
            ],
            parameters=accept_pb2.EnvelopeParameters(
                eight_bit=envelope.eight_bit, smtputf8=envelope.smtputf8, ret=envelope.ret, envid=envelope.envid,
                require_tls=envelope.require_tls,
            ),
            trace=trace_lines(envelope, submission, self._hostname),
            spam_score=spam_score,
        )  # fmt: skip
        try:
            answer = await ask(self._channel, Peer.STORE, self._stub.Submit, request, self._seconds)
        except PeerRefusedError as error:
            if error.lasting:
                return Handed(None, REFUSED)
            raise PeerUnavailableError(Peer.STORE, error.code) from None
        if answer.status in {pb.SUBMIT_STATUS_OK, pb.SUBMIT_STATUS_REPEAT} and len(answer.accepted_id) == 16:
            return Handed(answer.accepted_id)
        failure = _FAILURES.get(answer.status)
        if failure is None:
            raise PeerUnavailableError(Peer.STORE, "MALFORMED_ANSWER")
        return failure


def trace_lines(
    envelope: submission_pb2.SubmissionEnvelope, submission: Submission, hostname: str
) -> bytes:  # fmt: skip
    """Return what comes before the message: Received (RFC 5321 §4.4), then Date and Message-ID where it has none.

    All of it follows from the submission alone, so that whoever hands it over again says the same. The person's network address
    is nobody's business.
    """
    sent = format_datetime(datetime.fromtimestamp(submission.send_at_ms / 1000, UTC))
    name = submission.submission_id.hex()
    lines = [f"Received: by {hostname} (Petit Bleu) with HTTP id {name};\r\n\t{sent}\r\n"]
    if envelope.lacks_date:  # RFC 6409 §8.2
        lines.append(f"Date: {sent}\r\n")
    if envelope.lacks_message_id:  # RFC 6409 §8.3
        lines.append(f"Message-ID: <{name}@{hostname}>\r\n")
    return "".join(lines).encode()
