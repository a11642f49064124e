"""SCRAM-SHA-256 at the doors of submission (RFC 5802 §5, RFC 7677), bound to the connection where the client can (-PLUS, RFC 5929)."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from petitbleu_ingest.domain.submitter import Submitter
from petitbleu_ingest.service.submitters import Logins, WrongCredentialError
from petitbleu_mail import sasl, scram

MECHANISM: Final = "SCRAM-SHA-256"
BOUND: Final = "SCRAM-SHA-256-PLUS"
_NONCE_OCTETS: Final = 18


class ScramExchange:
    """One exchange.

    Args:
        logins: Checks proofs.
        client: The client's address.
        mechanism: Which of the two.
        end_point: The binding data of the connection, empty where it has none.
    """

    __slots__ = ("_challenge", "_client", "_end_point", "_first", "_logins", "_mechanism", "_nonce", "submitter")

    def __init__(self, logins: Logins, client: str, mechanism: str, end_point: bytes) -> None:
        self._logins = logins
        self._client = client
        self._mechanism = mechanism
        self._end_point = end_point
        self._nonce = secrets.token_urlsafe(_NONCE_OCTETS)
        self._first: scram.ClientFirst | None = None
        self._challenge = ""
        self.submitter: Submitter | None = None
        """Who it is, once the proof was right."""

    async def answer(self, response: bytes) -> bytes:
        """Return the challenge that a response is answered with; empty once the client has seen that we know its password too.

        Raises:
            SaslError: it cannot be read.
            WrongCredentialError: it is wrong, belongs to something else, or the client was talked out of the binding (RFC 5802 §6).
            TooManyTriesError, AccountsAwayError: as the logins say.
        """
        if self.submitter is not None:
            if response:
                raise sasl.SaslError
            return b""
        if self._first is None:
            return await self._begin(response)
        return await self._finish(self._first, response)

    async def _begin(self, response: bytes) -> bytes:
        first = scram.client_first(response)
        bound = self._mechanism == BOUND
        wrong_binding = first.binding != (scram.END_POINT if bound else "")
        # the client could bind, and believes that we cannot: somebody took the mechanism off our list
        talked_out = not bound and first.knows_binding and bool(self._end_point)
        if wrong_binding or talked_out:
            raise WrongCredentialError
        salt, iterations = await self._logins.scram_salt(first.login, self._client)
        self._first = first
        self._challenge = scram.server_first(first, self._nonce, salt, iterations)
        return base64.b64encode(self._challenge.encode())

    async def _finish(self, first: scram.ClientFirst, response: bytes) -> bytes:
        final = scram.client_final(response)
        try:
            scram.check_binding(first, final, self._nonce, self._end_point)
        except scram.ScramMismatchError:
            raise WrongCredentialError from None
        message = scram.signed_by_all(first, self._challenge, final)
        self.submitter, signature = await self._logins.by_proof(first.login, message, final.proof, self._client)
        return base64.b64encode(scram.server_final(signature).encode())
