"""`ports.Scripts` over gRPC."""

from __future__ import annotations

import grpc

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu.delivery.v1 import scripts_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer
from petitbleu_mail.sieve.faults import LIMITS


class GrpcScripts:
    """Rules as delivery's ScriptService answers.

    Args:
        peer: Channel to delivery.
        seconds: Deadline of a call.
    """

    most_octets = LIMITS.script_octets

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = scripts_pb2_grpc.ScriptServiceStub(peer.channel)

    async def scripts(self, who: Identity) -> pb.ListScriptsResponse:
        """Give all scripts."""
        request = pb.ListScriptsRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.ListScripts, request, timeout=self._seconds, principal=who.principal)

    async def content(self, who: Identity, content_id: int) -> bytes | None:
        """Give a content, None when no script has it."""
        request = pb.ReadScriptRequest(account_id=who.account_id, content_id=content_id)
        try:
            answer = await self._peer.call(
                self._stub.ReadScript, request, timeout=self._seconds, principal=who.principal
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return answer.content

    async def update(self, who: Identity, request: pb.UpdateScriptsRequest) -> pb.UpdateScriptsResponse:
        """Change scripts in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.UpdateScripts, request, timeout=self._seconds, principal=who.principal)

    async def check(self, who: Identity, content: bytes) -> pb.CheckScriptResponse:
        """Say what is wrong with a script."""
        request = pb.CheckScriptRequest(account_id=who.account_id, content=content)
        return await self._peer.call(self._stub.CheckScript, request, timeout=self._seconds, principal=who.principal)

    async def vacation(self, who: Identity) -> pb.GetVacationResponse:
        """Give the answer while the person is away."""
        request = pb.GetVacationRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.GetVacation, request, timeout=self._seconds, principal=who.principal)

    async def set_vacation(self, who: Identity, request: pb.SetVacationRequest) -> pb.SetVacationResponse:
        """Replace it."""
        request.account_id = who.account_id
        return await self._peer.call(self._stub.SetVacation, request, timeout=self._seconds, principal=who.principal)
