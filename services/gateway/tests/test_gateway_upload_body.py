"""RFC 8620 §6.1: the body of an upload as it is taken: in pieces, within its limit and its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from petitbleu_gateway.errors import Problem
from petitbleu_gateway.http.exchange import Disconnected, Exchange

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/",
    "query_string": b"",
    "headers": [],
    "scheme": "http",
    "client": None,
}


def exchange(messages: Sequence[Any], wait: float = 0.0) -> Exchange:
    waiting = list(messages)

    async def receive() -> Any:
        await asyncio.sleep(wait)
        return waiting.pop(0)

    async def send(_message: Any) -> None:
        raise AssertionError

    return Exchange(dict(SCOPE), receive, send)


def body(*pieces: bytes) -> list[dict[str, Any]]:
    last = len(pieces) - 1
    return [{"type": "http.request", "body": piece, "more_body": at < last} for at, piece in enumerate(pieces)]


async def taken(given: Exchange, limit: int = 10, seconds: float = 5, stall: float = 5) -> list[bytes]:
    return [piece async for piece in given.pieces(limit, seconds, stall)]


async def test_pieces_come_as_they_are() -> None:
    assert await taken(exchange(body(b"abc", b"", b"defg"))) == [b"abc", b"defg"]
    assert await taken(exchange(body(b""))) == []
    assert await taken(exchange(body(b"0123456789"))) == [b"0123456789"]


async def test_rfc8620_6_1_a_body_of_no_said_length_is_cut_at_the_limit() -> None:
    with pytest.raises(Problem) as error:
        await taken(exchange(body(b"01234", b"567890")))
    assert (error.value.status, error.value.members["limit"]) == (413, "maxSizeUpload")
    assert (b"connection", b"close") in error.value.headers


@pytest.mark.parametrize(("seconds", "stall"), [(5, 0.02), (0.03, 5), (0, 5)])
async def test_a_body_that_comes_too_slowly(seconds: float, stall: float) -> None:
    with pytest.raises(Problem) as error:
        await taken(exchange(body(*[b"x"] * 9), wait=0.05 if stall < 1 else 0.02), seconds=seconds, stall=stall)
    assert error.value.status == 408


async def test_a_client_that_leaves() -> None:
    with pytest.raises(Disconnected):
        await taken(exchange([*body(b"a", b"b")[:1], {"type": "http.disconnect"}]))
