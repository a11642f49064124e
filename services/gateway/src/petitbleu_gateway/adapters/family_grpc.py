"""`ports.Family` over gRPC."""

from __future__ import annotations

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.junior_guard.v1 import family_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcFamily:
    """Guardians and children as junior-guard answers them.

    Args:
        peer: Channel to junior-guard.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._guardians = family_pb2_grpc.FamilyServiceStub(peer.channel)
        self._children = family_pb2_grpc.ChildServiceStub(peer.channel)

    async def children(self, who: Identity) -> pb.ListChildrenResponse:
        """Give the children that a person guards."""
        request = pb.ListChildrenRequest()
        return await self._peer.call(
            self._guardians.ListChildren, request, timeout=self._seconds, principal=who.principal
        )

    async def move_level(self, who: Identity, request: pb.MoveLevelRequest) -> pb.MoveLevelResponse:
        """Move a child's level."""
        return await self._peer.call(self._guardians.MoveLevel, request, timeout=self._seconds, principal=who.principal)

    async def waiting(self, who: Identity, request: pb.ListWaitingRequest) -> pb.ListWaitingResponse:
        """Give what waits for a child."""
        return await self._peer.call(
            self._guardians.ListWaiting, request, timeout=self._seconds, principal=who.principal
        )

    async def decide(self, who: Identity, request: pb.DecideSenderRequest) -> pb.DecideSenderResponse:
        """Decide on a sender."""
        return await self._peer.call(
            self._guardians.DecideSender, request, timeout=self._seconds, principal=who.principal
        )

    async def correspondents(
        self, who: Identity, request: pb.ListCorrespondentsRequest
    ) -> pb.ListCorrespondentsResponse:
        """Give a child's correspondents."""
        return await self._peer.call(
            self._guardians.ListCorrespondents, request, timeout=self._seconds, principal=who.principal
        )

    async def say(self, who: Identity, request: pb.SetVoiceRequest) -> pb.SetVoiceResponse:
        """Say something of a correspondent."""
        return await self._peer.call(self._guardians.SetVoice, request, timeout=self._seconds, principal=who.principal)

    async def pending(self, who: Identity, request: pb.ListPendingChangesRequest) -> pb.ListPendingChangesResponse:
        """Give the changes that wait for a child."""
        return await self._peer.call(
            self._guardians.ListPendingChanges, request, timeout=self._seconds, principal=who.principal
        )

    async def cancel(self, who: Identity, request: pb.CancelPendingChangeRequest) -> pb.CancelPendingChangeResponse:
        """Cancel one."""
        return await self._peer.call(
            self._guardians.CancelPendingChange, request, timeout=self._seconds, principal=who.principal
        )

    async def open_link(self, who: Identity, request: pb.OpenAlertLinkRequest) -> pb.OpenAlertLinkResponse:
        """Use a link of an alert up."""
        return await self._peer.call(
            self._guardians.OpenAlertLink, request, timeout=self._seconds, principal=who.principal
        )

    async def audit(self, who: Identity, request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        """Give who did what for a child."""
        return await self._peer.call(self._guardians.ListAudit, request, timeout=self._seconds, principal=who.principal)

    async def mine(self, who: Identity) -> pb.GetMineResponse:
        """Give a child its own level and correspondents."""
        request = pb.GetMineRequest()
        return await self._peer.call(self._children.GetMine, request, timeout=self._seconds, principal=who.principal)

    async def ask(self, who: Identity, request: pb.AskForRequest) -> pb.AskForResponse:
        """Ask for a correspondent as the child."""
        return await self._peer.call(self._children.AskFor, request, timeout=self._seconds, principal=who.principal)
