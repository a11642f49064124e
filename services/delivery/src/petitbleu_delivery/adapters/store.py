"""store's FilingService behind the port `Filing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from petitbleu.store.v1 import accept_pb2, filing_pb2_grpc
from petitbleu.store.v1 import filing_pb2 as pb
from petitbleu_delivery.adapters.calls import ask, converse, same_length
from petitbleu_delivery.domain.model import Filed, Message, Outcome, Placement, Recipient, Settlement
from petitbleu_delivery.domain.prefix import prefix
from petitbleu_delivery.errors import Peer
from petitbleu_delivery.ports import Answer
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer as Channel

NEWCOMER: Final = "newcomer"
"""Keyword of a message to a child whose sender nobody has approved; the child's level let it in."""

_FILED: Final = {
    pb.FILE_STATUS_FILED: Filed.FILED,
    pb.FILE_STATUS_HELD: Filed.HELD,
    pb.FILE_STATUS_DECISION_REQUIRED: Filed.DECISION_REQUIRED,
    pb.FILE_STATUS_NO_ACCOUNT: Filed.NO_ACCOUNT,
    pb.FILE_STATUS_UNREADABLE: Filed.UNREADABLE,
}
_OUTCOME: Final = {
    Outcome.OPEN: pb.OUTCOME_OPEN,
    Outcome.FILED: pb.OUTCOME_FILED,
    Outcome.HELD: pb.OUTCOME_HELD,
    Outcome.QUEUED: pb.OUTCOME_QUEUED,
    Outcome.DISCARDED: pb.OUTCOME_DISCARDED,
    Outcome.PARKED: pb.OUTCOME_PARKED,
}


class StoreFiling:
    """Calls store.

    Args:
        channel: The channel to store.
        call_seconds: Deadline of a look-up.
        commit_seconds: Deadline of what commits.
    """

    def __init__(self, channel: Channel, call_seconds: float, commit_seconds: float) -> None:
        self._channel = channel
        self._stub = filing_pb2_grpc.FilingServiceStub(channel.channel)
        self._list_open: Lane[pb.ListOpenRequest, pb.ListOpenResponse] = Lane(
            channel, self._stub.ListOpenMany, self._stub.ListOpen
        )
        self._file: Lane[pb.FileRequest, pb.FileResponse] = Lane(channel, self._stub.FileMany, self._stub.File)
        self._call_seconds = call_seconds
        self._commit_seconds = commit_seconds

    async def list_open(self, accepted_ids: Sequence[bytes]) -> list[Recipient]:
        """Give the open recipients of accepted messages."""
        request = pb.ListOpenRequest(accepted_ids=accepted_ids)
        response = await converse(self._list_open, Peer.STORE, request, self._call_seconds)
        recipients = []
        for found in response.messages:
            verdicts = found.verdicts
            message = Message(
                found.accepted_id, found.mail_from, found.header_from, found.from_authenticated, found.traceparent, found.size,
                verdicts.treatment == accept_pb2.TREATMENT_JUNK,
                verdicts.envelope_authenticated or found.origin == accept_pb2.ORIGIN_SUBMITTED,
                late_results=verdicts.late_results, origin=found.origin, submitter_id=found.submitter_account_id,
                submitter_tenant_id=found.submitter_tenant_id, received_at=found.received_at_ms / 1000,
                dmarc_failed=verdicts.dmarc == accept_pb2.VERDICT_FAIL, spam_score=verdicts.spam_score,
                junk_recipients=frozenset(verdicts.junk_recipients),
            )  # fmt: skip
            recipients += [
                Recipient(message, r.recipient_no, r.address, r.attempts, bool(r.notify) and "SUCCESS" in r.notify)
                for r in found.recipients
            ]
        return recipients

    async def file(self, placements: Sequence[Placement]) -> list[Answer]:
        """Put messages in accounts, where their rules say."""
        request = pb.FileRequest()
        add = request.items.add
        for placement in placements:
            recipient = placement.recipient
            message = recipient.message
            item = add(
                account_id=placement.account_id,
                decision_token=placement.token,
                prefix=prefix(message.mail_from, recipient.address, message.late_results),
                sole=placement.sole,
                mailbox_roles=placement.roles,
                weigh_words=placement.weigh,
                edited_header=placement.header,
                edited_from=placement.header_from,
                keywords=(*placement.keywords, NEWCOMER) if placement.newcomer else placement.keywords,
            )
            for folder in placement.folders:
                item.folders.add(path=folder.path, role=folder.role, create=folder.create, mailbox_id=folder.mailbox_id)
            item.recipient.accepted_id = message.accepted_id
            item.recipient.recipient_no = recipient.number
        response = await converse(self._file, Peer.STORE, request, self._commit_seconds)
        same_length(Peer.STORE, len(placements), len(response.results))
        return [
            Answer(_FILED.get(result.status, Filed.FAILED), result.settled, result.message_id)
            for result in response.results
        ]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record outcomes."""
        request = pb.SettleRequest()
        add = request.items.add
        for settlement in settlements:
            item = add(
                outcome=_OUTCOME[settlement.outcome],
                account_ids=settlement.account_ids,
                reason=settlement.reason.value,
                retry_after_ms=int(settlement.retry_seconds * 1000),
            )
            item.recipient.accepted_id = settlement.recipient.message.accepted_id
            item.recipient.recipient_no = settlement.recipient.number
        await ask(self._channel, Peer.STORE, self._stub.Settle, request, self._commit_seconds)

    async def settle_queued(self, outcomes: Sequence[tuple[bytes, int, int, str]]) -> None:
        """Record what became of queued recipients: accepted id, number, 7 sent or 8 failed, and a code."""
        request = pb.SettleRequest()
        for accepted_id, number, outcome, reason in outcomes:
            item = request.items.add(outcome=pb.Outcome.ValueType(outcome), reason=reason)
            item.recipient.accepted_id = accepted_id
            item.recipient.recipient_no = number
        await ask(self._channel, Peer.STORE, self._stub.Settle, request, self._commit_seconds)
