"""The operator's door to hosted domains: DomainService."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import domains_pb2 as pb
from petitbleu.delivery.v1 import domains_pb2_grpc
from petitbleu_delivery.domain.domain_keys import DomainKey
from petitbleu_delivery.errors import PeerRefusedError, PeerUnavailableError
from petitbleu_delivery.ports import HostedDomains
from petitbleu_delivery.service.domains.keeper import KeyKeeper
from petitbleu_delivery.service.domains.signing import DomainKeys
from petitbleu_kit.rpc import OPERATOR

DOMAINS_ALLOWED: Final = {
    "/petitbleu.delivery.v1.DomainService/": frozenset({OPERATOR}),
}

_Context = grpc.aio.ServicerContext[Any, Any]


async def hosted_or_abort(hosted: HostedDomains, domain: str, context: _Context) -> str:
    """Return the name of a hosted domain in lower case and A-labels, or end the call."""
    try:
        found = await hosted.hosting(domain)
    except (PeerUnavailableError, PeerRefusedError):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "accounts does not answer, try again")
    if found is None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "this domain is not hosted here")
    return found.domain


class DomainServicer(domains_pb2_grpc.DomainServiceServicer):
    """Answers the operator.

    Args:
        hosted: Says which domains are hosted.
        keeper: Has the keys.
        signer: Forgets what it knew of keys that change.
    """

    def __init__(self, hosted: HostedDomains, keeper: KeyKeeper, signer: DomainKeys) -> None:
        self._hosted = hosted
        self._keeper = keeper
        self._signer = signer

    async def GetDomainKeys(self, request: pb.GetDomainKeysRequest, context: _Context) -> pb.GetDomainKeysResponse:
        """List the keys."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        return pb.GetDomainKeysResponse(keys=map(_key, await self._keeper.keys(domain)))

    async def RotateDomainKeys(
        self, request: pb.RotateDomainKeysRequest, context: _Context
    ) -> pb.RotateDomainKeysResponse:
        """Make the next keys."""
        domain = await hosted_or_abort(self._hosted, request.domain, context)
        keys = await self._keeper.rotate(domain, now=request.now)
        self._signer.forget(domain)
        return pb.RotateDomainKeysResponse(keys=map(_key, keys))


def _key(key: DomainKey) -> pb.DomainKey:
    return pb.DomainKey(
        selector=key.selector, algorithm=key.algorithm.tag, state=pb.DomainKeyState.ValueType(int(key.state)),
        record_name=key.record_name, record_text=key.record_text,
        made_at_ms=int(key.made.timestamp() * 1000), since_ms=int(key.since.timestamp() * 1000),
    )  # fmt: skip
