"""Who a ManageSieve client is: SASL PLAIN (RFC 4616), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677), as RFC 5804 §2.1 wants it."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Final

from petitbleu_gateway.ports import Credential, Identity, Proofs, Proven, RefusedError
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_mail.sasl import SaslError
from petitbleu_mail.scram import ScramMismatchError
from petitbleu_mail.scram_exchange import BOUND, MECHANISM, ScramExchange

PLAIN: Final = "PLAIN"
_MAX_LOGIN: Final = 320
_MAX_SECRET: Final = 1024
_PLAIN_PARTS: Final = 3
_RENEW_SECONDS: Final = 60.0
"""How long it is believed without asking that a proved app password is one still."""


class Login:
    """What a client says to be let in, and who it is then.

    Args:
        authentication: Checks passwords.
        proofs: Checks proofs.
        client_ip: Where the client is.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        authentication: Authentication,
        proofs: Proofs,
        client_ip: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authentication = authentication
        self._proofs = proofs
        self._client_ip = client_ip
        self._clock = clock
        self._end_point = b""
        self._credential: Credential | None = None
        self._proven: Proven | None = None
        self._renewed_at = 0.0
        self._exchange: ScramExchange[Proven] | None = None
        self.who: Identity | None = None
        """Who it is, None for nobody."""

    def tls_started(self, end_point: bytes) -> None:
        """From now on an exchange can be bound to the connection, where its certificate has an end point (RFC 5929 §4)."""
        self._end_point = end_point

    def mechanisms(self) -> tuple[str, ...]:
        """Return what a client may choose from under TLS."""
        return (PLAIN, MECHANISM, BOUND) if self._end_point else (PLAIN, MECHANISM)

    def begin(self, mechanism: str) -> None:
        """Begin an exchange; what was begun before is over."""
        self._exchange = None
        if mechanism != PLAIN:
            self._exchange = ScramExchange(self._proofs, self._client_ip, mechanism, self._end_point)

    async def respond(self, octets: bytes) -> bytes:
        """Take a response, in base64; return what is told then: a challenge while `who` is nobody, else the last word, if any.

        Raises:
            RefusedError: it is wrong, or cannot be read.
            LimitedError, AwayError: as accounts says.
        """
        if self._exchange is None:
            credential = _plain(octets)
            if credential is None:
                raise RefusedError
            self.who = await self._authentication.authenticate(credential, self._client_ip)
            self._credential = credential
            return b""
        try:
            told = await self._exchange.answer(_decoded(octets))
        except (SaslError, ScramMismatchError):
            raise RefusedError from None
        self._proven = self._exchange.who
        if self._proven is not None:
            self.who, self._renewed_at = self._proven.identity, self._clock()
        return base64.b64encode(told.encode())

    async def again(self) -> Identity | None:
        """Return who it is with a principal that is valid now, None for nobody: the connection may outlive many.

        Raises:
            RefusedError: the credential is not right any more; then it is nobody.
            LimitedError, AwayError: as accounts says.
        """
        try:
            if self._credential is not None:
                self.who = await self._authentication.authenticate(self._credential, self._client_ip)
            elif self._proven is not None and self._clock() - self._renewed_at >= _RENEW_SECONDS:
                self.who = await self._proofs.renewed(self._proven)
                self._renewed_at = self._clock()
        except RefusedError:
            self._credential = self._proven = self.who = None
            raise
        return self.who


def _decoded(octets: bytes) -> bytes:
    """RFC 5804 §2.1: responses are in base64.

    Raises:
        SaslError: this is not.
    """
    if len(octets) > 4 * (_MAX_LOGIN + _MAX_SECRET):
        raise SaslError
    try:
        return base64.b64decode(octets, validate=True)
    except (binascii.Error, ValueError):
        raise SaslError from None


def _plain(octets: bytes) -> Credential | None:
    """Return what a client says by PLAIN (RFC 4616 §2): nobody acts for another here."""
    try:
        parts = base64.b64decode(octets, validate=True).decode().split("\0")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if len(parts) != _PLAIN_PARTS or parts[0] not in {"", parts[1]} or not parts[1] or not parts[2]:
        return None
    if len(parts[1].encode()) > _MAX_LOGIN or len(parts[2].encode()) > _MAX_SECRET:
        return None
    return Credential(parts[1], parts[2])
