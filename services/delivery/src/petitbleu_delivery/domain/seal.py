"""What delivery keeps of people: keyed hashes to find it, seals to read it again."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_VERSION: Final = b"\x01"


class SealError(Exception):
    """What is sealed cannot be opened: another key, another owner, or damage."""


class Seal:
    """Hashes and seals for one purpose, under keys derived from the service's key of 32 octets (HKDF, RFC 5869).

    Args:
        key: The service's key.
        purpose: What it is for: what is sealed for one purpose opens for no other.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        if len(key) != KEY_OCTETS:
            raise SealError("the key must have 32 octets")

        def derived(use: bytes) -> bytes:
            info = b"petitbleu delivery " + purpose.encode() + b" " + use
            return HKDF(SHA256(), KEY_OCTETS, salt=None, info=info).derive(key)

        self._hash_key = derived(b"hash")
        self._cipher = AESGCM(derived(b"seal"))

    def hash(self, owner: int, *pieces: bytes) -> bytes:
        """Return the keyed hash (32 octets) of pieces, other for each owner."""
        told = owner.to_bytes(8, "big") + b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
        return hmac.digest(self._hash_key, told, sha256)

    def seal(self, owner: int, what: bytes, octets: bytes) -> bytes:
        """Seal octets of an owner, bound to what they are: version, nonce, ciphertext and tag (AES-256-GCM)."""
        nonce = os.urandom(_NONCE_OCTETS)
        return _VERSION + nonce + self._cipher.encrypt(nonce, octets, self._bound_to(owner, what))

    def open(self, owner: int, what: bytes, sealed: bytes) -> bytes:
        """Open what `seal` made.

        Raises:
            SealError: it is not a seal of this key, for this owner, of this.
        """
        if sealed[:1] != _VERSION:
            raise SealError("unknown version")
        nonce, text = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
        try:
            return self._cipher.decrypt(nonce, text, self._bound_to(owner, what))
        except (InvalidTag, ValueError):
            raise SealError("not a seal of this key for this") from None

    @staticmethod
    def _bound_to(owner: int, what: bytes) -> bytes:
        return _VERSION + owner.to_bytes(8, "big") + what
