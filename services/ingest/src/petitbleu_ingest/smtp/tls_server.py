"""A port that begins with TLS (RFC 8314 §3.3): each client is counted, and has its time, before its handshake.

The event loop's own server tells of a client once its handshake is done, and never of one that does not finish it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Final

from petitbleu_ingest import metrics
from petitbleu_ingest.service.admission import Answer
from petitbleu_ingest.smtp.door import Door
from petitbleu_ingest.smtp.exchanger import MailExchanger
from petitbleu_ingest.smtp.proxy_protocol import ProxyError, parse_proxy_header, proxy_octets_wanted
from petitbleu_ingest.smtp.wire import Wire
from petitbleu_kit.logs import get_logger, security_logger

_log = get_logger(__name__)
_security = security_logger()
# Accepting fails when the process has no file left for a client; it is tried again after so many seconds
_PAUSE: Final = 0.5


def bound_sockets(host: str, port: int, backlog: int, *, reuse_port: bool) -> list[socket.socket]:
    """Return listening sockets on all addresses of a host. Raises `OSError`."""
    found: list[socket.socket] = []
    try:
        places = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in dict.fromkeys(places):
            one = socket.socket(family, kind, protocol)
            found.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(place)
            one.listen(backlog)
    except OSError:
        for one in found:
            one.close()
        raise
    return found


class TlsServer:
    """Takes the clients of such a port until `close`.

    Args:
        door: What its sessions share.
        sockets: Where it listens; they are closed with it.
    """

    def __init__(self, door: Door, sockets: list[socket.socket]) -> None:
        self._door = door
        self._sockets = sockets
        self._accepting = [door.loop.create_task(self._accept(one)) for one in sockets]
        self._beginning: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Take no client any more, and give those up that are not in yet."""
        for task in (*self._accepting, *self._beginning):
            task.cancel()
        for one in self._sockets:
            one.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, place = await self._door.loop.sock_accept(listening)
            except OSError as error:
                _log.warning("a client cannot be taken", error_type=type(error).__qualname__)
                await asyncio.sleep(_PAUSE)
                continue
            task = self._door.loop.create_task(self._begin(client, str(place[0])))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, client: socket.socket, address: str) -> None:
        try:
            if self._door.is_proxy(address):
                async with asyncio.timeout(self._door.settings.proxy_seconds):
                    address = await self._proxied(client) or address
        except (OSError, TimeoutError, ProxyError):
            metrics.sessions.labels("no_proxy_header").inc()
            client.close()
            return
        answer, ticket = self._door.admission.enter(address, self._door.loop.time())
        metrics.sessions.labels(answer.value).inc()
        context = self._door.tls_context()
        if answer is not Answer.WELCOME or context is None:
            self._door.admission.leave(ticket)
            if self._door.settings.security_log_ips:
                _security.info("session refused", why=answer.value, ip=address)
            client.close()  # there is nothing to be said in clear
            return
        await self._shake_hands(client, context, address, ticket)

    async def _shake_hands(self, client: socket.socket, context: ssl.SSLContext, address: str, ticket: object) -> None:
        smtp = MailExchanger(self._door)
        smtp.admitted(address, ticket)
        smtp.mx.end_point = self._door.certificate.end_point
        done = False
        try:
            await self._door.loop.connect_accepted_socket(
                lambda: Wire(smtp, self._door.buffer), client, ssl=context,
                ssl_handshake_timeout=self._door.settings.tls_handshake_seconds, ssl_shutdown_timeout=2,
            )  # fmt: skip
            done = True
        except (OSError, ssl.SSLError, TimeoutError) as error:
            _log.debug("handshake failed", session=smtp.mx.id, error_type=type(error).__qualname__)
        finally:
            metrics.tls_sessions.labels("done" if done else "failed").inc()
            if not done:
                # nobody else tells the session that its client is gone: what it counts for is freed here
                smtp.connection_lost(None)
                with contextlib.suppress(OSError):
                    client.close()

    async def _proxied(self, client: socket.socket) -> str | None:
        """Read the proxy's header and not an octet more: TLS is behind it. The client's address, None where the proxy's own counts."""
        read = b""
        while (header := parse_proxy_header(read)) is None:
            piece = await self._door.loop.sock_recv(client, proxy_octets_wanted(read))
            if not piece:
                raise ProxyError
            read += piece
        return header.source[0] if header.source is not None else None
