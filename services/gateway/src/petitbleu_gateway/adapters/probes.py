"""Greets services and backends, without credentials, to say whether they answer."""

from __future__ import annotations

import asyncio
from typing import Final

_SECONDS: Final = 2.0
_MAX_ANSWER: Final = 65536


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"), limit=_MAX_ANSWER)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), limit=_MAX_ANSWER)


async def _ask(address: str, question: bytes, octets: int) -> bytes:
    """Say something and return the beginning of the answer; empty when there is none."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await _open(address)
            try:
                if question:
                    writer.write(question)
                    await writer.drain()
                return await reader.read(octets)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""


async def backend_answers(kind: str, address: str) -> bool:
    """Whether a backend answers in its own protocol. `kind` is postgresql, nats, redis or s3."""
    if kind == "postgresql":
        # SSLRequest (PostgreSQL, "Message Formats"): any server that takes connections answers S or N
        answer = await _ask(address, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", 1)
        return answer in {b"S", b"N"}
    if kind == "nats":
        return (await _ask(address, b"", 512)).startswith(b"INFO ")
    if kind == "redis":
        # +PONG, or -NOAUTH: it answers
        return (await _ask(address, b"PING\r\n", 64))[:1] in {b"+", b"-"}
    head = f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    return (await _ask(address, head.encode(), 512)).startswith(b"HTTP/1.")


async def service_ready(origin: str) -> bool:
    """Whether a service's health port says ready (`/health/ready` answers 200)."""
    address = origin.removeprefix("http://").rstrip("/")
    head = f"GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    answer = await _ask(address, head.encode(), 512)
    return answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
