"""The health port: `/livez`, `/health/ready` and `/metrics`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[bool]]
_REQUEST_SECONDS: Final = 5.0
_CHECK_SECONDS: Final = 2.0
_MAX_REQUEST_LINE: Final = 2048


class HealthServer:
    """A small HTTP server for probes and Prometheus.

    Args:
        checks: Name → check of what this service cannot work without; ready means that all answer True in time.
        host: Address to bind.
        port: Port to bind; 0 binds nothing.
    """

    def __init__(self, checks: Mapping[str, Check], host: str, port: int) -> None:
        self._checks = checks
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self.draining = False

    async def start(self) -> None:
        """Bind and serve."""
        if self._port:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_MAX_REQUEST_LINE)

    async def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def failing(self) -> list[str]:
        """Names of the checks that fail now."""

        async def one(name: str, check: Check) -> str | None:
            try:
                return None if await asyncio.wait_for(check(), _CHECK_SECONDS) else name
            except Exception:  # noqa: BLE001 — whatever it is, the check failed
                return name

        names = await asyncio.gather(*(one(name, check) for name, check in self._checks.items()))
        return [name for name in names if name]

    async def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/livez":
            return 200, "application/json", b'{"status":"alive"}'
        if path == "/health/ready":
            failing = ["draining"] if self.draining else await self.failing()
            body = json.dumps({"status": "not ready" if failing else "ready", "failing": failing}).encode()
            return (503 if failing else 200), "application/json", body
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        return 404, "text/plain", b"not found"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                line = (await reader.readline()).decode("latin-1").split(" ")
                while (await reader.readline()).strip():
                    pass
                status, kind, body = await self._answer(line[1].partition("?")[0] if len(line) > 1 else "")
                head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # a probe that hangs up or talks rubbish concerns nobody
        finally:
            writer.close()
