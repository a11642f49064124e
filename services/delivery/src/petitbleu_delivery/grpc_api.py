"""The operator's door: RoutingService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from petitbleu.delivery.v1 import delivery_pb2 as pb
from petitbleu.delivery.v1 import delivery_pb2_grpc
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.measures import Tally
from petitbleu_kit.rpc import OPERATOR

ALLOWED: Final = {"/petitbleu.delivery.v1.RoutingService/": frozenset({OPERATOR})}

_Context = grpc.aio.ServicerContext[Any, Any]


class RoutingServicer(delivery_pb2_grpc.RoutingServiceServicer):
    """Answers the operator.

    Args:
        tally: Counts since start.
        cache: What is remembered of the directory.
        pending_events: Asks the bus how many events wait.
    """

    def __init__(self, tally: Tally, cache: RouteCache, pending_events: Callable[[], Awaitable[int]]) -> None:
        self._tally = tally
        self._cache = cache
        self._pending_events = pending_events

    async def GetStatus(self, request: pb.GetStatusRequest, context: _Context) -> pb.GetStatusResponse:  # noqa: ARG002
        """Tell what delivery is doing; -1 pending events when the bus does not answer."""
        return pb.GetStatusResponse(
            in_flight=self._tally.in_flight,
            settled=self._tally.settled,
            parked=self._tally.parked,
            pending_events=await self._pending_events(),
            waiting_for_guard=self._tally.waiting_for_guard,
        )

    async def ForgetCaches(self, request: pb.ForgetCachesRequest, context: _Context) -> pb.ForgetCachesResponse:  # noqa: ARG002
        """Drop what is remembered of the directory."""
        self._cache.clear()
        return pb.ForgetCachesResponse()
