"""`methods.email_submission.Submissions` over gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from petitbleu.delivery.v1 import submission_pb2 as pb
from petitbleu.delivery.v1 import submission_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcSubmissions:
    """Submissions as delivery's SubmissionService answers.

    Args:
        peer: Channel to delivery.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = submission_pb2_grpc.SubmissionServiceStub(peer.channel)

    async def all(self, who: Identity) -> pb.ListSubmissionsResponse:
        """Give all submissions, without envelopes."""
        request = pb.ListSubmissionsRequest(account_id=who.account_id)
        call = self._stub.ListSubmissions
        return await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)

    async def get(self, who: Identity, numbers: Sequence[int] | None) -> pb.GetSubmissionsResponse:
        """Give at most 1,000 submissions whole; None asks for all."""
        request = pb.GetSubmissionsRequest(account_id=who.account_id, numbers=numbers, all=numbers is None)
        return await self._peer.call(self._stub.GetSubmissions, request, timeout=self._seconds, principal=who.principal)

    async def changes(self, who: Identity, since: int, most: int) -> pb.GetSubmissionChangesResponse:
        """Give what changed of them."""
        request = pb.GetSubmissionChangesRequest(account_id=who.account_id, since_modseq=since, max_changes=most)
        call = self._stub.GetSubmissionChanges
        return await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)

    async def update(self, who: Identity, request: pb.UpdateSubmissionsRequest) -> pb.UpdateSubmissionsResponse:
        """Change them in one commit, and let go out what is due."""
        request.account_id = who.account_id
        call = self._stub.UpdateSubmissions
        return await self._peer.call(call, request, timeout=self._seconds, principal=who.principal)
