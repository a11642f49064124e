"""The operator's door to the outbound queue: QueueService, translation only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import grpc
import grpc.aio

from petitbleu.delivery.v1 import queue_pb2 as pb
from petitbleu.delivery.v1 import queue_pb2_grpc
from petitbleu_delivery.adapters.queue_orders import QueuedRecipient, QueueOrders, WaitingDestination, WaitingUnit
from petitbleu_delivery.adapters.source_rows import SourceRows, SourceState
from petitbleu_delivery.domain.outbound import destination_of
from petitbleu_kit.rpc import OPERATOR

ALLOWED_QUEUE: Final = {"/petitbleu.delivery.v1.QueueService/": frozenset({OPERATOR})}
_STATES: Final = {0: "waits", 7: "sent", 8: "failed"}
_MOST: Final = 10_000
_ROUTE: Final = re.compile(r"(?:\[([0-9A-Za-z.:_-]{1,255})\]|([0-9A-Za-z._-]{1,255})):([0-9]{1,5})")

_Context = grpc.aio.ServicerContext[Any, Any]


def route_of(text: str) -> str | None:
    """Read `host:port` or `[host]:port`; return it as `[host]:port`, empty for nothing, None for what is neither."""
    if not text:
        return ""
    found = _ROUTE.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        return None
    return f"[{found[1] or found[2]}]:{int(found[3])}"


def _millis(seconds: float) -> int:
    return int(seconds * 1000)


def _destination(found: WaitingDestination) -> pb.QueueDestination:
    return pb.QueueDestination(
        destination=found.destination, units=found.units, oldest_ms=_millis(found.oldest),
        next_attempt_ms=_millis(found.next_attempt), paused=found.paused, route=found.route, reason=found.reason,
    )  # fmt: skip


def _unit(found: WaitingUnit) -> pb.QueueUnit:
    return pb.QueueUnit(
        accepted_id=found.accepted_id.bytes, destination=found.destination, recipient_nos=found.recipients,
        account_id=found.account_id, size=found.size, accepted_ms=_millis(found.accepted_at), attempts=found.attempts,
        next_attempt_ms=_millis(found.next_attempt), reason=found.reason, in_hand=found.in_hand,
    )  # fmt: skip


def _recipient(found: QueuedRecipient) -> pb.QueueRecipient:
    return pb.QueueRecipient(
        recipient_no=found.number, state=_STATES.get(found.state, "waits"), code=found.code, enhanced=found.enhanced,
        host=found.host, answered_ms=_millis(found.answered_at), told=found.told,
    )  # fmt: skip


def _source(found: SourceState) -> pb.QueueSource:
    return pb.QueueSource(
        address=found.address, since_ms=_millis(found.since.timestamp()), warm=found.warm, provider=found.provider,
        allowance=found.allowance, used=found.used, good=found.good, bad=found.bad, day=str(found.day or ""),
        shrunk_ms=_millis(found.shrunk_at.timestamp()) if found.shrunk_at else 0,
    )  # fmt: skip


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """Answers the operator.

    Args:
        orders: The queue's rows.
        forgive: Forgets that a destination (None: any) could not be reached, so that what is retried is tried.
        sources: Our addresses.
    """

    def __init__(
        self, orders: QueueOrders, forgive: Callable[[str | None], None] = lambda _destination: None,
        sources: SourceRows | None = None,
    ) -> None:  # fmt: skip
        self._orders = orders
        self._sources = sources
        self._forgive = forgive

    async def ListDestinations(
        self, request: pb.ListDestinationsRequest, _context: _Context
    ) -> pb.ListDestinationsResponse:
        """Give the domains that mail waits for."""
        found = await self._orders.destinations(min(request.limit or 100, _MOST))
        return pb.ListDestinationsResponse(destinations=map(_destination, found))

    async def ListUnits(self, request: pb.ListUnitsRequest, context: _Context) -> pb.ListUnitsResponse:
        """Give the units of a domain."""
        destination = await _domain(request.destination, context)
        found = await self._orders.units(destination, min(request.limit or 100, _MOST))
        return pb.ListUnitsResponse(units=map(_unit, found))

    async def ShowMessage(self, request: pb.ShowMessageRequest, context: _Context) -> pb.ShowMessageResponse:
        """Give all that is known of a message."""
        units, recipients = await self._orders.message(await _id(request.accepted_id, context))
        if not units and not recipients:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the queue does not know this message")
        return pb.ShowMessageResponse(units=map(_unit, units), recipients=map(_recipient, recipients))

    async def DirectDestination(
        self, request: pb.DirectDestinationRequest, context: _Context
    ) -> pb.DirectDestinationResponse:
        """Pause, resume or reroute."""
        destination = await _domain(request.destination, context)
        route = route_of(request.route) if request.HasField("route") else None
        if request.HasField("route") and route is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a route is host:port or [host]:port")
        paused = request.paused if request.HasField("paused") else None
        await self._orders.direct(destination, paused=paused, route=route)
        self._forgive(destination)
        return pb.DirectDestinationResponse(destination=_destination(await self._orders.destination(destination)))

    async def ListSources(self, request: pb.ListSourcesRequest, _context: _Context) -> pb.ListSourcesResponse:
        """Give our addresses, and what new ones may send to whom."""
        found = [] if self._sources is None else await self._sources.states(min(request.limit or 100, _MOST))
        return pb.ListSourcesResponse(sources=map(_source, found))

    async def SetSource(self, request: pb.SetSourceRequest, context: _Context) -> pb.SetSourceResponse:
        """Say that an address is old, or new."""
        if self._sources is None or not await self._sources.set(request.address, warm=request.warm):
            await context.abort(grpc.StatusCode.NOT_FOUND, "this is no address that mail leaves by")
        return pb.SetSourceResponse()

    async def RetryUnits(self, request: pb.RetryUnitsRequest, context: _Context) -> pb.RetryUnitsResponse:
        """Have units tried at once."""
        if sum((bool(request.destination), bool(request.accepted_id), request.all)) != 1:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a destination, a message, or all")
        destination = await _domain(request.destination, context) if request.destination else None
        accepted_id = await _id(request.accepted_id, context) if request.accepted_id else None
        self._forgive(destination)
        return pb.RetryUnitsResponse(units=await self._orders.retry(accepted_id=accepted_id, destination=destination))

    async def DropUnits(self, request: pb.DropUnitsRequest, context: _Context) -> pb.DropUnitsResponse:
        """Give units up."""
        if not request.accepted_id and not request.destination:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a message, a destination, or both")
        destination = await _domain(request.destination, context) if request.destination else None
        accepted_id = await _id(request.accepted_id, context) if request.accepted_id else None
        return pb.DropUnitsResponse(units=await self._orders.drop(accepted_id=accepted_id, destination=destination))


async def _domain(text: str, context: _Context) -> str:
    """Return a domain as the rows have it."""
    found = destination_of(f"x@{text}") if text else ""
    if not found or len(found) > 255:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a domain")
    return found


async def _id(octets: bytes, context: _Context) -> UUID:
    if len(octets) != 16:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an accepted message's id has 16 octets")
    return UUID(bytes=octets)
