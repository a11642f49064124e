"""One place that turns a gRPC failure into what delivery does about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from petitbleu_delivery.errors import Peer, PeerRefusedError, PeerUnavailableError
from petitbleu_kit.lane import Lane
from petitbleu_kit.rpc import Peer as Channel

Response = TypeVar("Response")

# Not the request's fault: the peer is away or busy, or the deployment is wrong (keys, versions), which parking cannot heal.
_LATER: Final = frozenset({
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED,
})  # fmt: skip
_STUMBLED: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


async def ask(
    channel: Channel, peer: Peer, method: Callable[..., Awaitable[Response]], request: Any, seconds: float
) -> Response:
    """Call a peer; gRPC itself repeats a call whose connection broke, within the deadline.

    Raises:
        PeerUnavailableError: try the same later.
        PeerRefusedError: this request will not do; halve it.
    """
    try:
        return await channel.call(method, request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        raise failure(error, peer) from None


async def converse(lane: Lane[Any, Response], peer: Peer, request: Any, seconds: float) -> Response:
    """Call a peer over an open stream; otherwise as `ask`."""
    try:
        return await lane.call(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        raise failure(error, peer) from None


def failure(error: grpc.aio.AioRpcError, peer: Peer) -> PeerUnavailableError | PeerRefusedError:
    """Return what a failed call means."""
    code = error.code()
    if code in _LATER:
        return PeerUnavailableError(peer, code.name)
    return PeerRefusedError(peer, code.name, lasting=code not in _STUMBLED)


def same_length(peer: Peer, asked: int, answered: int) -> None:
    """Refuse an answer that does not have one element for each asked.

    Raises:
        PeerUnavailableError: the peer speaks another version.
    """
    if asked != answered:
        raise PeerUnavailableError(peer, "MALFORMED_ANSWER")
