"""Addresses of correspondents: a keyed hash to find them, a seal to read them again."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from petitbleu_mail.look_alikes import address_skeleton

KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_VERSION: Final = b"\x01"


class SealError(Exception):
    """A sealed address cannot be opened: another key, another child, or damage."""


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_OCTETS, salt=None, info=b"petitbleu junior-guard " + purpose).derive(key)


class Seal:
    """Hashes and seals addresses under keys derived from the service's key of 32 octets (HKDF, RFC 5869)."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_OCTETS:
            raise SealError("the key must have 32 octets")
        self._hash_key = _derived(key, b"hash")
        self._cipher = AESGCM(_derived(key, b"seal"))
        self.fingerprint: Final = _derived(key, b"fingerprint")
        """32 octets that tell keys apart and reveal nothing of them."""

    def hash(self, account_id: int, address: str) -> bytes:
        """Return the keyed hash (32 octets) of a canonical address, other for each child, so that children cannot be compared."""
        return hmac.digest(self._hash_key, account_id.to_bytes(8, "big") + address.encode(), sha256)

    def skeleton_hash(self, account_id: int, address: str) -> bytes:
        """Return the keyed hash of what an address looks like: the same for those that people take for one another."""
        return hmac.digest(
            self._hash_key, account_id.to_bytes(8, "big") + b"\0" + address_skeleton(address).encode(), sha256
        )

    def seal(self, account_id: int, address: str) -> bytes:
        """Seal a canonical address for one child: version, nonce, ciphertext and tag (AES-256-GCM)."""
        nonce = os.urandom(_NONCE_OCTETS)
        return _VERSION + nonce + self._cipher.encrypt(nonce, address.encode(), self._bound_to(account_id))

    def open(self, account_id: int, sealed: bytes) -> str:
        """Open what `seal` made.

        Raises:
            SealError: it is not a seal of this key for this child.
        """
        if sealed[:1] != _VERSION:
            raise SealError("unknown version")
        nonce, text = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
        try:
            return self._cipher.decrypt(nonce, text, self._bound_to(account_id)).decode()
        except (InvalidTag, ValueError):
            raise SealError("not a seal of this key for this child") from None

    @staticmethod
    def _bound_to(account_id: int) -> bytes:
        return _VERSION + account_id.to_bytes(8, "big")
