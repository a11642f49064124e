"""Bounds of one connection, on a transport that only remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from petitbleu_gateway.http.protocol import BoundedProtocol, ConnectionLimits

LIMITS = ConnectionLimits(head_octets=32768, head_fields=100, head_seconds=0.1, stall_seconds=60)
CHUNKED = b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Transport(asyncio.Transport):
    """Remembers what was written, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.ended

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _refuse(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer at once, as one does who needs no body to say no."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _read(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _connect(app: Any) -> tuple[BoundedProtocol, _Transport]:
    config = Config(app, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = BoundedProtocol(LIMITS, config, ServerState(), {}, asyncio.get_running_loop())
    transport = _Transport()
    protocol.connection_made(transport)
    return protocol, transport


@pytest.mark.parametrize("app", [_refuse, _read])
@pytest.mark.parametrize("begin", [b"1\r\na\r\n0\r\nX: ", b"5;"])
async def test_what_follows_a_body_s_chunks_is_bounded_like_a_head(app: Any, begin: bytes) -> None:
    protocol, transport = _connect(app)
    protocol.data_received(CHUNKED + begin)
    await asyncio.sleep(0)
    for sent in range(0, 1 << 20, 8192):
        if transport.ended:
            break
        assert sent <= 2 * LIMITS.head_octets, "the parser keeps all of it"
        protocol.data_received(b"a" * 8192)
    protocol.connection_lost(None)


async def test_a_large_body_in_large_chunks_passes() -> None:
    protocol, transport = _connect(_read)
    protocol.data_received(CHUNKED)
    for _ in range(100):
        protocol.data_received(b"20000\r\n" + b"b" * 65536)
        protocol.data_received(b"b" * 65536 + b"\r\n")
        await asyncio.sleep(0)
    protocol.data_received(b"0\r\nTrailer: x\r\n\r\n")
    await asyncio.sleep(0.01)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    await asyncio.sleep(0.2)
    assert not transport.ended, "kept for the next request"
    protocol.connection_lost(None)


async def test_who_was_answered_does_not_stay_by_never_ending_the_request() -> None:
    protocol, transport = _connect(_refuse)
    protocol.data_received(CHUNKED)
    await asyncio.sleep(0.01)
    assert transport.written.startswith(b"HTTP/1.1 401 ")
    for _ in range(10):
        if transport.ended:
            break
        protocol.data_received(b"1\r\na\r\n")
        await asyncio.sleep(0.03)
    assert transport.ended
    protocol.connection_lost(None)
