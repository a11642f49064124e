"""Email/get (RFC 8621 §4.2): from the rows alone, unless a property needs octets of the message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import msgspec

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.body_values import body_value, octets_to_read
from petitbleu_gateway.domain.email_view import (
    DEFAULT_BODY_PROPERTIES,
    DEFAULT_PROPERTIES,
    EmailView,
    Reading,
    UnknownPropertyError,
    parts_of,
)
from petitbleu_gateway.domain.filters import UnsignedInt
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids, read_ahead
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_mail.headers import scan_headers
from petitbleu_mail.mime import Part

_READS_AT_ONCE: Final = 8
_MAX_HEADER_PROPERTIES: Final = 100
"""Of the Email, and of each part: each is looked for in the header of each message."""
_SLICE: Final = 32
"""Messages shown from their rows alone before others get their turn: a millisecond or so."""
_LARGE_META: Final = 16384
_WHOLE: Final = 65536
"""Octets from the start up to which a message is read in one piece: one frame of the store's blobs."""


class Showing(AccountArguments, kw_only=True):
    """Arguments that say what to show of messages (RFC 8621 §4.2)."""

    properties: list[str] | None = None
    body_properties: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_BODY_PROPERTIES))
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = msgspec.field(name="fetchHTMLBodyValues", default=False)
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


class EmailGet(Showing, kw_only=True):
    """Arguments of Email/get (RFC 8621 §4.2)."""

    ids: list[str] | None = None


def view_of(arguments: Showing, default: Sequence[str]) -> EmailView:
    """Return the view that a call asks for.

    Raises:
        MethodError: `invalidArguments` for a property that there is not, `requestTooLarge` for too many.
    """
    for given in (arguments.properties or (), arguments.body_properties):
        if sum([key.startswith("header:") for key in given]) > _MAX_HEADER_PROPERTIES:
            raise MethodError(Fault.REQUEST_TOO_LARGE, f"more than {_MAX_HEADER_PROPERTIES} header properties")
    try:
        return EmailView(default if arguments.properties is None else arguments.properties, arguments.body_properties)
    except UnknownPropertyError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, f"no such property: {error}") from None


async def email_get(context: Context, arguments: EmailGet) -> dict[str, Any]:
    """RFC 8621 §4.2."""
    view = view_of(arguments, DEFAULT_PROPERTIES)
    numbers, wanted = await _wanted(context, arguments)
    answer = read_ahead.rows_of(context.ahead, numbers)
    if answer is None:
        answer = await context.store.messages(context.who, numbers, without_meta=not view.needs_meta)
    readings = {f"M{row.message_id}": Reading(row) for row in answer.messages}
    await _read(context, arguments, view, list(readings.values()))
    readings = {text: reading for text, reading in readings.items() if not reading.gone}
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": await _shown(context, view, [readings[resolved] for _, resolved in wanted if resolved in readings]),
        "notFound": [text for text, resolved in wanted if resolved not in readings],
    }


async def _shown(context: Context, view: EmailView, readings: list[Reading]) -> list[dict[str, Any]]:
    """Return the Email objects. Those that may be large are weighed one by one, and others get their turn in between."""
    shown: list[dict[str, Any]] = []
    for number, reading in enumerate(readings, 1):
        shown.append(view.show(reading))
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        octets_read = reading.header is not None or reading.part_headers or reading.body_values
        if octets_read or len(reading.row.meta) > _LARGE_META:
            context.weigh(shown[-1])
            await asyncio.sleep(0)
    return shown


async def _wanted(context: Context, arguments: EmailGet) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the numbers to ask for, and each id as given and as resolved, without doubles."""
    limit = context.limits.objects_in_get
    if arguments.ids is None:
        # RFC 8620 §5.1: all of them, if they are few enough
        request = pb.QueryMessagesRequest(limit=min(limit + 1, 1000), calculate_total=True)
        answer = await context.store.query(context.who, request)
        if answer.total > limit:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        return list(answer.message_ids), [(f"M{number}", f"M{number}") for number in answer.message_ids]
    if len(arguments.ids) > limit:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = {context.resolve_id(text): text for text in arguments.ids}
    numbers = [number for text in wanted if (number := ids.message_number(text)) is not None]
    return numbers, [(text, resolved) for resolved, text in wanted.items()]


def value_parts(arguments: Showing, reading: Reading) -> list[Part]:
    """Return the text parts whose values are wanted (RFC 8621 §4.2)."""
    parts: list[Part] = []
    if arguments.fetch_all_body_values:
        parts.extend(parts_of(reading.meta.root))
    else:
        if arguments.fetch_text_body_values:
            parts.extend(reading.lists.text_body)
        if arguments.fetch_html_body_values:
            parts.extend(reading.lists.html_body)
    found = {part.part_id: part for part in parts if part.part_id is not None and part.type.startswith("text/")}
    return list(found.values())


@dataclass(slots=True)
class _Need:
    """What of a message's octets must be read: the ranges, and what is made of them."""

    reading: Reading
    header_end: int
    part_headers: list[Part]
    values: list[Part]
    ranges: list[tuple[int, int]]


def _need(arguments: EmailGet, view: EmailView, reading: Reading) -> _Need | None:
    """Work out what must be read of a message; None when nothing is."""
    values = value_parts(arguments, reading) if view.wants_body_values else []
    headers: list[Part] = []
    if view.needs_part_headers:
        headers = list({part.header_start: part for part in view.parts_shown(reading)}.values())
    if not (values or headers or view.needs_header):
        return None
    prefix = reading.row.prefix_octets
    header_end = prefix + reading.meta.root.body_start if view.needs_header else -1
    ranges = [(0, header_end), *(_header_range(reading, part) for part in headers)]
    for part in values:
        start = prefix + part.body_start
        ranges.append((start, start + octets_to_read(part, arguments.max_body_value_bytes)))
    return _Need(reading, header_end, headers, values, _merged(ranges, reading.row.size))


def _header_range(reading: Reading, part: Part) -> tuple[int, int]:
    prefix = reading.row.prefix_octets
    # the prefix of a message as served belongs to its own header
    return (0 if part is reading.meta.root else prefix + part.header_start), prefix + part.body_start


async def _read(context: Context, arguments: EmailGet, view: EmailView, readings: list[Reading]) -> None:
    """Read the octets that the wanted properties need, a few messages at a time."""
    if not (view.needs_header or view.needs_part_headers or view.wants_body_values):
        return
    needs = [need for reading in readings if (need := _need(arguments, view, reading)) is not None]
    context.spend(sum(end - start for need in needs for start, end in need.ranges))
    gate = asyncio.Semaphore(_READS_AT_ONCE)

    async def one(need: _Need) -> None:
        async with gate:
            await _fill(context, need, arguments.max_body_value_bytes)

    tasks = [asyncio.ensure_future(one(need)) for need in needs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _fill(context: Context, need: _Need, limit: int) -> None:
    reading = need.reading
    octets = Octets()
    try:
        for start, end in need.ranges:
            octets.add(start, await _octets(context, reading.row.message_id, start, end))
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        reading.gone = True  # destroyed since its row was read
        return
    if need.header_end >= 0:
        reading.header = scan_headers(octets.get(0, need.header_end))
    for part in need.part_headers:
        reading.part_headers[part.header_start] = scan_headers(octets.get(*_header_range(reading, part)))
    for part in need.values:
        start = reading.row.prefix_octets + part.body_start
        raw = octets.get(start, start + octets_to_read(part, limit))
        reading.body_values[str(part.part_id)] = body_value(part, raw, limit)


def _merged(ranges: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Join ranges that lie together; all of a small beginning is read at once."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(pair for pair in ranges if pair[1] > pair[0]):
        end = min(end, size)  # noqa: PLW2901 — a record never promises more octets than there are
        if found and (start <= found[-1][1] or end <= _WHOLE):
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif start < end:
            found.append((start, end))
    return found


async def _octets(context: Context, message_id: int, start: int, end: int) -> bytes:
    if end <= start:
        return b""
    pieces = [piece async for piece in context.store.read(context.who, message_id, start, end - start)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Octets:
    """Pieces of a message by where they begin."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytes]] = []

    def add(self, start: int, data: bytes) -> None:
        """Add a piece."""
        self._pieces.append((start, data))

    def get(self, start: int, end: int) -> bytes:
        """Return a range that lies within one piece; what is missing of it is simply not there."""
        for begin, data in self._pieces:
            if begin <= start < begin + len(data):
                return data[start - begin : end - begin]
        return b""
