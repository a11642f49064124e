"""The server's part of a SCRAM-SHA-256 exchange (RFC 5802 §5, RFC 7677), bound to the connection where the client can (-PLUS, RFC 5929).

Whoever offers it says where salts and proofs are looked after; nothing here knows a key.
"""

from __future__ import annotations

import secrets
from typing import Final, Generic, Protocol, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from petitbleu_mail import sasl, scram

MECHANISM: Final = "SCRAM-SHA-256"
BOUND: Final = "SCRAM-SHA-256-PLUS"
_NONCE_OCTETS: Final = 18

Who = TypeVar("Who")
Found_co = TypeVar("Found_co", covariant=True)


class Prover(Protocol[Found_co]):
    """Looks after salts and proofs; raises errors of its own."""

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        """Return salt and iterations that an exchange begins with, whoever it is."""

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Found_co, bytes]:
        """Return who proved an app password, and the server's signature."""


class ScramExchange(Generic[Who]):
    """One exchange.

    Args:
        prover: Checks proofs.
        client: The client's address.
        mechanism: Which of the two.
        end_point: The binding data of the connection, empty where it has none.
    """

    __slots__ = ("_challenge", "_client", "_end_point", "_first", "_mechanism", "_nonce", "_prover", "who")

    def __init__(self, prover: Prover[Who], client: str, mechanism: str, end_point: bytes) -> None:
        self._prover = prover
        self._client = client
        self._mechanism = mechanism
        self._end_point = end_point
        self._nonce = secrets.token_urlsafe(_NONCE_OCTETS)
        self._first: scram.ClientFirst | None = None
        self._challenge = ""
        self.who: Who | None = None
        """Who it is, once the proof was right."""

    async def answer(self, response: bytes) -> str:
        """Return the challenge that a response is answered with; empty once the client has seen that we know its password too.

        Raises:
            SaslError: it cannot be read.
            ScramMismatchError: it belongs to something else, or the client was talked out of the binding (RFC 5802 §6).
        """
        if self.who is not None:
            if response:
                raise sasl.SaslError
            return ""
        if self._first is None:
            return await self._begin(response)
        return await self._finish(self._first, response)

    async def _begin(self, response: bytes) -> str:
        first = scram.client_first(response)
        bound = self._mechanism == BOUND
        wrong_binding = first.binding != (scram.END_POINT if bound else "")
        # the client could bind, and believes that we cannot: somebody took the mechanism off our list
        talked_out = not bound and first.knows_binding and bool(self._end_point)
        if wrong_binding or talked_out:
            raise scram.ScramMismatchError
        salt, iterations = await self._prover.scram_salt(first.login, self._client)
        self._first = first
        self._challenge = scram.server_first(first, self._nonce, salt, iterations)
        return self._challenge

    async def _finish(self, first: scram.ClientFirst, response: bytes) -> str:
        final = scram.client_final(response)
        scram.check_binding(first, final, self._nonce, self._end_point)
        message = scram.signed_by_all(first, self._challenge, final)
        self.who, signature = await self._prover.by_proof(first.login, message, final.proof, self._client)
        return scram.server_final(signature)


def end_point_of(pem: bytes) -> bytes:
    """Return `tls-server-end-point` of a certificate, the first of the file (RFC 5929 §4.1); empty where it is not defined.

    It is the hash of the certificate by the hash of its signature, MD5 and SHA-1 replaced by SHA-256; a signature without a hash
    (RFC 8410) has none.
    """
    try:
        certificate = load_pem_x509_certificate(pem)
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return b""
    if algorithm is None:
        return b""
    return certificate.fingerprint(SHA256() if algorithm.name in {"md5", "sha1"} else algorithm)
