"""The certificate of STARTTLS, read again when its files change; sessions that run keep the one that they have."""

from __future__ import annotations

import ssl
from pathlib import Path

from petitbleu_ingest import metrics
from petitbleu_kit.logs import get_logger
from petitbleu_mail.scram_exchange import end_point_of

_log = get_logger(__name__)


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context: TLS 1.2 and later (RFC 8996, RFC 9325 §3.1.1). Raises OSError and ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325 §3.4: no renegotiation; a mail session needs none
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key)
    return context


class Certificate:
    """The context in use; `poll` makes a new one when a file changed."""

    def __init__(self, certificate: Path | None, key: Path | None) -> None:
        self._files = (certificate, key) if certificate is not None and key is not None else None
        self._stamp: tuple[int, ...] | None = None
        self.context: ssl.SSLContext | None = None
        self.end_point = b""
        """What binds an exchange to a connection under this certificate (RFC 5929 §4.1), empty where that is not defined."""

    async def poll(self) -> None:
        """Look at the files; a pair that does not load is logged, and the old one stays."""
        if self._files is None:
            return
        certificate, key = self._files
        try:
            stats = (certificate.stat(), key.stat())
            stamp = tuple(value for stat in stats for value in (stat.st_mtime_ns, stat.st_ino, stat.st_size))
            if stamp == self._stamp:
                return
            self.context = make_context(certificate, key)
            self.end_point = end_point_of(certificate.read_bytes())
        except (OSError, ssl.SSLError) as error:
            metrics.tls_reloads.labels("failed").inc()
            _log.warning("certificate not loaded", error_type=type(error).__qualname__)
            return
        metrics.tls_reloads.labels("loaded").inc()
        _log.info("certificate loaded")
        self._stamp = stamp
