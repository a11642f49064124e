"""The listener of ManageSieve (RFC 5804): lines, literals and TLS, each within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final

from prometheus_client import Gauge

from petitbleu_gateway.http.clients import ClientBook
from petitbleu_gateway.http.servers import Certificates
from petitbleu_gateway.managesieve.grammar import MAX_LINE, MAX_WORDS, GrammarError, read_line
from petitbleu_gateway.managesieve.session import ManageSieve, Reply
from petitbleu_kit.lifecycle import StartupError
from petitbleu_kit.logs import get_logger
from petitbleu_mail.sieve.faults import LIMITS

_log = get_logger(__name__)
_open = Gauge("petitbleu_gateway_managesieve_connections", "Connections of ManageSieve clients")
_MAX_BEFORE_LOGIN: Final = 4096
"""Octets of a literal before anybody is known: a credential."""
_LOGIN_SECONDS: Final = 60.0
_TLS_SECONDS: Final = 15.0
_DRAIN_SECONDS: Final = 30.0
MakeSession = Callable[[str], ManageSieve]


class _ByeError(Exception):
    """The connection ends with BYE (RFC 5804 §1.2)."""


class ManageSieveDoor:
    """One listener.

    Args:
        make: Makes a dialogue for a client's address.
        host: Address to bind.
        port: Port to bind, 0 for no door.
        certificates: TLS for STARTTLS; None for none.
        clients: Counts the connections of each client.
        connections: Most connections.
        idle_seconds: Time that an idle client is kept.
    """

    def __init__(
        self, make: MakeSession, host: str, port: int, certificates: Certificates | None, clients: ClientBook, *,
        connections: int, idle_seconds: float,
    ) -> None:  # fmt: skip
        self._make = make
        self._host, self._port = host, port
        self._certificates = certificates
        self._clients = clients
        self._most = connections
        self._idle_seconds = idle_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            StartupError: the port is taken.
        """
        if not self._port:
            return
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=MAX_LINE)
        except OSError:
            raise StartupError(f"port {self._port} on {self._host} is in use or not ours") from None

    async def stop(self) -> None:
        """Take no more connections and end those that are there."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        client = self._clients.enter(address)
        if client is None or len(self._tasks) >= self._most:
            self._clients.leave(client)
            writer.write(b'BYE (TRYLATER) "Too many connections."\r\n')
            await _closed(writer)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 — it runs
        self._tasks.add(task)
        _open.set(len(self._tasks))
        try:
            await _Connection(reader, writer, self._make(address), self._certificates, self._idle_seconds).run()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass
        except Exception:  # noqa: BLE001 — one client's trouble is nobody else's
            _log.exception("a ManageSieve connection failed")
        finally:
            self._tasks.discard(task)
            _open.set(len(self._tasks))
            self._clients.leave(client)
            await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 5)


class _Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: ManageSieve,
        certificates: Certificates | None, idle_seconds: float,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._writer = writer
        self._session = session
        self._certificates = certificates
        self._idle_seconds = idle_seconds

    async def run(self) -> None:
        """Answer commands until the client leaves."""
        await self._send(self._session.greeting())
        try:
            while True:
                reply = await self._reply()
                if reply.starts_tls:
                    await self._start_tls(reply.octets)
                else:
                    await self._send(reply.octets)
                if reply.closes:
                    return
        except _ByeError as bye:
            await self._send(b'BYE "%s"\r\n' % str(bye).encode())
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._send(b'BYE (TRYLATER) "The server ends this connection."\r\n')

    async def _reply(self) -> Reply:
        seconds = self._idle_seconds if self._session.authenticated else _LOGIN_SECONDS
        try:
            async with asyncio.timeout(seconds):
                words = await self._command()
        except TimeoutError:
            raise _ByeError("Nothing was said for too long.") from None
        except GrammarError as error:
            return Reply(b'NO "%s"\r\n' % str(error).encode())
        return await self._session.answer(words)

    async def _command(self) -> list[bytes | int]:
        """Read a command with its literals (RFC 5804 §4); clients never wait for leave to send them."""
        words: list[bytes | int] = []
        too_large = False
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                raise _ByeError("The line is too long.") from None
            piece = read_line(line.rstrip(b"\r\n"))
            words += piece.words
            if len(words) > MAX_WORDS:
                raise _ByeError("The command is too long.")
            if piece.literal is None:
                break
            # one octet more than a script may have, so that too large a one is refused by its name and not by the connection's end
            most = LIMITS.script_octets + 1 if self._session.authenticated else _MAX_BEFORE_LOGIN
            if piece.literal > 4 * most:
                raise _ByeError("The literal is too large.")
            if piece.literal > most:
                too_large = True
                await self._skip(piece.literal)
                words.append(b"")
            else:
                words.append(await self._reader.readexactly(piece.literal))
        if too_large:
            raise GrammarError("The literal is too large.")
        return words

    async def _skip(self, octets: int) -> None:
        while octets:
            piece = await self._reader.read(min(octets, 65_536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", octets)
            octets -= len(piece)

    async def _send(self, octets: bytes) -> None:
        self._writer.write(octets)
        async with asyncio.timeout(_DRAIN_SECONDS):
            await self._writer.drain()

    async def _start_tls(self, leave: bytes) -> None:
        """RFC 5804 §2.2. What a client, or somebody between, sent already after STARTTLS ends the connection: it was not encrypted."""
        certificates = self._certificates
        assert certificates is not None  # noqa: S101 — offered only with them
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._reader.read(1):
                    raise _ByeError("Something was sent before TLS began.")
        # the answer goes out and reading stops in one turn of the loop: what comes then is the handshake's
        self._writer.write(leave)
        end_point = certificates.end_point  # of the same reading of the files as the context
        await self._writer.start_tls(certificates.context, ssl_handshake_timeout=_TLS_SECONDS)
        self._session.tls_started(end_point)
        await self._send(self._session.greeting())
