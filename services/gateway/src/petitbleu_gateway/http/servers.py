"""The listeners: plain HTTP and HTTPS of one application in one event loop, and certificates that may change."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvicorn

from petitbleu_gateway.http.clients import ClientBook
from petitbleu_gateway.http.protocol import ConnectionLimits, protocol_factory
from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.scram_exchange import end_point_of

_log = get_logger(__name__)
_BACKLOG = 1024


class Certificates:
    """The server's TLS context, whose certificate follows its files without a restart.

    Args:
        cert: Certificate chain, PEM.
        key: Private key, PEM.

    Raises:
        StartupError: when they cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._stamp = self._stamps()
        self.context = self._fresh()
        self.end_point = self._end_point()
        """What binds an exchange to a connection under this certificate (RFC 5929 §4.1), empty where that is not defined."""

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        try:
            return tuple((found.st_mtime_ns, found.st_ino) for found in (self._cert.stat(), self._key.stat()))
        except OSError:
            return ()

    def _fresh(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 §3.1.1
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the TLS certificate or its key cannot be used ({type(error).__name__})") from None
        return context

    def _end_point(self) -> bytes:
        try:
            return end_point_of(self._cert.read_bytes())
        except OSError:
            return b""

    async def reload(self) -> None:
        """Take a changed certificate for new connections; a broken one is logged and the old one kept."""
        stamp = self._stamps()
        if stamp == self._stamp or not stamp:
            return
        try:
            self._fresh()  # a pair that does not fit must not touch the context in use
            self.context.load_cert_chain(self._cert, self._key)
            self.end_point = self._end_point()
        except (StartupError, OSError, ssl.SSLError):
            _log.warning("changed certificate not usable, the old one stays")
            return
        self._stamp = stamp
        _log.info("certificate reloaded")


class Door(uvicorn.Server):
    """One listener. Signals belong to the process, so it touches none.

    Args:
        app: The ASGI application.
        host: Address to bind.
        port: Port to bind.
        limits: Bounds of a connection.
        clients: Counts the connections of each client, of all doors together.
        connections: Most connections.
        idle_seconds: Time that an idle connection is kept.
        context: TLS, or None for plain HTTP.

    Raises:
        StartupError: when the port is taken.
    """

    def __init__(
        self, app: Any, host: str, port: int, limits: ConnectionLimits, clients: ClientBook, *, connections: int,
        idle_seconds: int, context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._socket = _bind(host, port)
        config = uvicorn.Config(
            app, http=protocol_factory(limits, clients), ws="none", lifespan="off", log_config=None, access_log=False,  # type: ignore[arg-type]
            server_header=False, proxy_headers=False, limit_concurrency=connections, backlog=_BACKLOG,
            timeout_keep_alive=idle_seconds, timeout_graceful_shutdown=8, interface="asgi3",
        )  # fmt: skip
        config.load()
        config.ssl = context
        super().__init__(config)
        self._stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield

    async def main_loop(self) -> None:
        """Refresh the Date header each second until stopped."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)

    async def run_until_stopped(self) -> None:
        """Serve until `stop`."""
        await self.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more connections, finish those in flight, then end."""
        self.should_exit = True
        self._stop.set()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise StartupError(f"port {port} on {host} is in use or not ours; set PETITBLEU_PORT_OFFSET") from None
    listener.setblocking(False)
    return listener
