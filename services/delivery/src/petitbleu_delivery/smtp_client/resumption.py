"""Resuming TLS with a server that was seen lately: it need not sign again, which is most of what a handshake costs it (RFC 8446 §2.2)."""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from typing import Any, Final, Self

_REMEMBERED: Final = 1000
# Shorter than the day for which most servers take a ticket, and never the week that RFC 8446 §4.6.1 allows at most.
_SECONDS: Final = 3600.0


class ResumingContext(ssl.SSLContext):
    """TLS whose keys prove nothing (RFC 7435), with a ticket of the server's where there is one.

    It is for sessions of which no certificate is looked at: a resumed one shows none. What must be proven has a context of its own.
    One ticket a name is kept, used by all sessions of an hour: a server can tell that they are of one client, which EHLO says, too.
    """

    _tickets: OrderedDict[str, tuple[float, ssl.SSLSession]]

    def __new__(cls) -> Self:
        """Make one that believes every key."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context._tickets = OrderedDict()
        return context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False,
        server_hostname: str | bytes | None = None, session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:  # fmt: skip
        """Begin a session as `ssl.SSLContext.wrap_bio` does, with the ticket for its name."""
        found = session or self._ticket(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, found)

    def _ticket(self, name: str | bytes | None) -> ssl.SSLSession | None:
        known = self._tickets.get(name) if isinstance(name, str) else None
        if known is None or known[0] < time.monotonic():
            return None
        return known[1]

    def knows(self, name: str) -> bool:
        """Whether the next session with a name offers a ticket."""
        return self._ticket(name) is not None

    def forget(self, name: str) -> None:
        """Begin anew with a server, whose handshake failed with the ticket."""
        self._tickets.pop(name, None)

    def learn(self, name: str, ssl_object: Any) -> None:
        """Keep a session's ticket, once the server has said something; nothing where one is known (reading it costs a tenth of a millisecond)."""
        if self.knows(name) or not isinstance(ssl_object, ssl.SSLObject):
            return
        session = ssl_object.session
        if session is None or not session.has_ticket:
            return
        self._tickets.pop(name, None)
        self._tickets[name] = time.monotonic() + _SECONDS, session
        if len(self._tickets) > _REMEMBERED:
            self._tickets.popitem(last=False)
