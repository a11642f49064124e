"""A GET on this machine, for probes: no more of HTTP than that."""

from __future__ import annotations

import asyncio


async def get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Status and body of `GET path`, the connection closed after it (RFC 9112 §9.6).

    Raises:
        OSError: nothing listens there.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode("ascii"))
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else (0, b"")
