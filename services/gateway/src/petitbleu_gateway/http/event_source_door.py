"""Changes of state as server-sent events (RFC 8620 §7.3)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import grpc

from petitbleu_gateway.domain.state_changes import TYPES, wanted_types
from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.credentials import identify
from petitbleu_gateway.http.exchange import NO_STORE, Disconnected, Exchange, encode_json
from petitbleu_gateway.http.push_opening import PushOpening
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.push import PushHub, Stream

# RFC 8620 §7.3: a least interval of at most 30 and a greatest of at least 300 seconds
_PING_SECONDS: Final = (5, 3600)
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_TYPE_NAME: Final = re.compile(r"[A-Za-z0-9_/.-]{1,255}")
_MAX_TYPES: Final = 200


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What a client asks for in the query of the URL."""

    types: frozenset[str]
    close_after_state: bool
    ping_seconds: int


def read_options(query: bytes) -> EventOptions:
    """Return the options of an event source; a variable that is missing or empty asks for everything, for ever, without pings.

    Raises:
        Problem: 400 when a variable has no value that RFC 8620 §7.3 allows.
    """
    try:
        given = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        raise Problem(400, detail="The query cannot be read.") from None
    types, close_after, ping = (given.get(name, [""]) for name in ("types", "closeafter", "ping"))
    if max(len(types), len(close_after), len(ping)) > 1:
        raise Problem(400, detail="A variable of the query stands twice.")
    if close_after[0] not in {"", "no", "state"}:
        raise Problem(400, detail="closeafter is neither state nor no.")
    if ping[0] and not _NUMBER.fullmatch(ping[0]):
        raise Problem(400, detail="ping is no unsigned integer.")
    names = types[0].split(",") if types[0] else ["*"]
    if len(names) > _MAX_TYPES or (names != ["*"] and not all(_TYPE_NAME.fullmatch(name) for name in names)):
        raise Problem(400, detail="types is neither * nor a list of type names.")
    seconds = int(ping[0] or "0")
    least, greatest = _PING_SECONDS
    return EventOptions(
        TYPES if names == ["*"] else wanted_types(set(names)),
        close_after[0] == "state",
        min(max(seconds, least), greatest) if seconds else 0,
    )


class EventSourceDoor:
    """Event streams.

    Args:
        authentication: Who checks credentials.
        opening: Opens streams.
    """

    def __init__(self, authentication: Authentication, opening: PushOpening) -> None:
        self._authentication = authentication
        self._opening = opening

    async def events(self, exchange: Exchange) -> None:
        """Send a `state` event for each change until the client leaves, its credential holds no longer, or we end."""
        who = await identify(exchange, self._authentication)
        options = read_options(exchange.query)
        stream = await self._opening.open("eventsource", exchange, who)
        hub = self._opening.hub
        try:
            stream.types = options.types
            stream.ping_seconds = options.ping_seconds
            last_seen = exchange.header(b"last-event-id")
            if last_seen:
                await _missed(hub, stream, last_seen)
            await exchange.start(
                200,
                (
                    (b"content-type", b"text/event-stream;charset=utf-8"),
                    NO_STORE,
                    (b"x-accel-buffering", b"no"),  # a proxy that gathers would hold events back
                ),
            )
            await exchange.piece(b":\n\n", more=True)
            _ping_later(stream)
            await self._send(exchange, hub, stream, options)
        finally:
            hub.close(stream)
        if stream.over == "gone":
            raise Disconnected
        await exchange.piece(b"", more=False)

    @staticmethod
    async def _send(exchange: Exchange, hub: PushHub, stream: Stream, options: EventOptions) -> None:
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            if stream.over:
                return
            change = hub.take(stream)
            if change is not None:
                # the id stands for all that the stream has seen, so a client that comes again misses nothing
                head = f"event: state\nid: {hub.seen_text(stream)}\ndata: ".encode()
                await exchange.piece(head + encode_json(change) + b"\n\n", more=True)
                if options.close_after_state:
                    return
                _ping_later(stream)
            elif stream.ping_due:
                # no id: a ping must not change the last one
                await exchange.piece(b'event: ping\ndata: {"interval":%d}\n\n' % stream.ping_seconds, more=True)
                _ping_later(stream)


def _ping_later(stream: Stream) -> None:
    stream.ping_due = False
    stream.ping_at = asyncio.get_running_loop().time() + stream.ping_seconds


async def _missed(hub: PushHub, stream: Stream, last_seen: str) -> None:
    try:
        await hub.saw(stream, last_seen)
    except grpc.aio.AioRpcError:
        raise Problem(503, detail="The mail store does not answer.", headers=((b"retry-after", b"2"),)) from None
