"""STARTTLS (RFC 3207)."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from petitbleu_ingest import metrics
from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.smtp import transfer
from petitbleu_kit.logs import get_logger

if TYPE_CHECKING:
    from petitbleu_ingest.smtp.exchanger import MailExchanger

_log = get_logger(__name__)
_READY: Final = b"220 2.0.0 Ready to start TLS\r\n"
_running: set[asyncio.Task[None]] = set()


def begin(smtp: MailExchanger) -> None:
    """Answer STARTTLS and begin the handshake."""
    context = smtp.door.tls_context()
    if context is None:
        smtp.refuse(Refusal.TLS_NOT_OFFERED)
    elif smtp.mx.cipher is not None:
        smtp.refuse(Refusal.TLS_ALREADY)
    elif smtp.at < len(smtp.buffer):
        # RFC 3207 §4.2: what came in clear behind STARTTLS may be an attacker's; nothing of it is handled
        smtp.refuse(Refusal.TLS_PIPELINED)
        smtp.close()
    else:
        transfer.drop(smtp)
        smtp.transaction = None
        smtp.wait()
        smtp.stop_reading()
        smtp.reply(_READY)
        smtp.flush()
        task = smtp.loop.create_task(_handshake(smtp, context))
        _running.add(task)
        task.add_done_callback(_running.discard)


async def _handshake(smtp: MailExchanger, context: ssl.SSLContext) -> None:
    end_point = smtp.door.certificate.end_point  # of the same reading of the files as the context
    plain = smtp.peer
    wire = smtp.wire
    if plain is None or wire is None:
        return
    try:
        secure = await smtp.loop.start_tls(
            plain, wire, context, server_side=True,
            ssl_handshake_timeout=smtp.door.settings.tls_handshake_seconds, ssl_shutdown_timeout=2,
        )  # fmt: skip
    except (OSError, ssl.SSLError, TimeoutError) as error:
        # RFC 3207 §4.1: without a handshake there is no session to go on with
        metrics.tls_sessions.labels("failed").inc()
        _log.debug("handshake failed", session=smtp.mx.id, error_type=type(error).__qualname__)
        plain.abort()
        # who goes in the middle of a handshake is told of by nobody else: what the session counts for is freed here
        smtp.connection_lost(error)
        return
    if secure is None or smtp.ended or secure.is_closing():
        plain.abort()
        smtp.connection_lost(None)
        return
    metrics.tls_sessions.labels("done").inc()
    smtp.peer = secure
    # RFC 3207 §4.2: nothing learned before the handshake is kept
    smtp.buffer = b""
    smtp.at = 0
    smtp.mx.forget()
    smtp.mx.cipher = cipher_of(secure) or "TLS"
    smtp.mx.end_point = end_point
    smtp.start_reading()
    smtp.proceed()


def cipher_of(transport: asyncio.BaseTransport) -> str | None:
    """Return version and cipher of a transport, None when it is in clear (RFC 8314 §3.3 has TLS from the start)."""
    tls = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls is not None else None
    return f"{tls.version()}:{cipher[0]}" if tls is not None and cipher else None
