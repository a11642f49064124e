"""`methods.schools.Schools` over gRPC."""

from __future__ import annotations

from petitbleu.junior_guard.v1 import family_pb2, family_pb2_grpc, schools_pb2_grpc
from petitbleu.junior_guard.v1 import schools_pb2 as pb
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcSchools:
    """Classes, as junior-guard answers.

    Args:
        peer: Channel to junior-guard.
        seconds: Deadline of a call.
    """

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._schools = schools_pb2_grpc.SchoolServiceStub(peer.channel)
        self._family = family_pb2_grpc.FamilyServiceStub(peer.channel)

    async def classes(self, who: Identity) -> pb.ListClassesResponse:
        """Give the classes that a person teaches in or administers."""
        request = pb.ListClassesRequest()
        return await self._peer.call(
            self._schools.ListClasses, request, timeout=self._seconds, principal=who.principal
        )  # fmt: skip

    async def members(self, who: Identity, request: pb.ListRosterRequest) -> pb.ListRosterResponse:
        """Give the members of one."""
        return await self._peer.call(self._schools.ListRoster, request, timeout=self._seconds, principal=who.principal)

    async def of_child(
        self, who: Identity, request: pb.ListClassesOfChildRequest
    ) -> pb.ListClassesOfChildResponse:  # fmt: skip
        """Give a child's classes to a guardian."""
        return await self._peer.call(
            self._schools.ListClassesOfChild, request, timeout=self._seconds, principal=who.principal
        )

    async def say(
        self, who: Identity, request: family_pb2.SetGroupVoiceRequest
    ) -> family_pb2.SetGroupVoiceResponse:  # fmt: skip
        """Say something of a class as a guardian."""
        return await self._peer.call(
            self._family.SetGroupVoice, request, timeout=self._seconds, principal=who.principal
        )  # fmt: skip
