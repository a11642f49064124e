"""`ports.Identities` over gRPC."""

from __future__ import annotations

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu.accounts.v1 import accounts_pb2_grpc
from petitbleu_gateway.ports import Identity
from petitbleu_kit.rpc import Peer


class GrpcIdentities:
    """Identities as accounts' IdentityService answers."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds
        self._stub = accounts_pb2_grpc.IdentityServiceStub(peer.channel)

    async def identities(self, who: Identity) -> pb.ListIdentitiesResponse:
        """Give all identities of a person."""
        request = pb.ListIdentitiesRequest(account_id=who.account_id)
        return await self._peer.call(self._stub.ListIdentities, request, timeout=self._seconds, principal=who.principal)

    async def identity_changes(
        self, who: Identity, request: pb.GetIdentityChangesRequest
    ) -> pb.GetIdentityChangesResponse:
        """Give what changed of them."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.GetIdentityChanges, request, timeout=self._seconds, principal=who.principal
        )

    async def update_identities(
        self, who: Identity, request: pb.UpdateIdentitiesRequest
    ) -> pb.UpdateIdentitiesResponse:
        """Change them in one commit."""
        request.account_id = who.account_id
        return await self._peer.call(
            self._stub.UpdateIdentities, request, timeout=self._seconds, principal=who.principal
        )
