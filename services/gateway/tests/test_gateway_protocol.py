"""Bounds of one connection, on a transport that only remembers."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from petitbleu_gateway.http.clients import ClientBook
from petitbleu_gateway.http.protocol import BoundedProtocol, ConnectionLimits

LIMITS = ConnectionLimits(head_octets=32768, head_fields=100, head_seconds=0.1, stall_seconds=60)
CHUNKED = b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Transport(asyncio.Transport):
    """Remembers what was written, and how it ended."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.address = address

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.address, 4000) if name == "peername" else default

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


def _connect(
    app: Any, clients: ClientBook | None = None, address: str = "192.0.2.1"
) -> tuple[BoundedProtocol, _Transport]:
    config = Config(app, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = BoundedProtocol(LIMITS, clients or ClientBook(1), config, ServerState(), {}, asyncio.get_running_loop())
    transport = _Transport(address)
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


async def test_one_client_cannot_take_all_connections() -> None:
    clients = ClientBook(2, [ip_network("127.0.0.0/8"), ip_network("::1")])
    first, _ = _connect(_refuse, clients)
    second, _ = _connect(_refuse, clients, "::ffff:192.0.2.1")
    third, refused = _connect(_refuse, clients)
    assert refused.written.startswith(b"HTTP/1.1 429 ")
    assert refused.ended
    third.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    third.connection_lost(None)
    assert not _connect(_refuse, clients, "192.0.2.2")[1].ended, "another client is not concerned"
    first.connection_lost(None)
    fourth, welcome = _connect(_refuse, clients)
    assert not welcome.ended, "a place that was given back is free"
    for one in (second, fourth):
        one.connection_lost(None)
    assert not any(_connect(_refuse, clients, "127.0.0.1")[1].ended for _ in range(5))
    assert not any(_connect(_refuse, clients, "::1")[1].ended for _ in range(5))
    net = [_connect(_refuse, clients, f"2001:db8::{number}")[1].ended for number in range(1, 4)]
    assert net == [False, False, True], "a /64 is one customer"
