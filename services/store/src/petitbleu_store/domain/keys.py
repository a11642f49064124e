"""Keys: making, wrapping and deriving them. All are 32 octets, for AES-256-GCM (NIST SP 800-38D)."""

from __future__ import annotations

import hashlib
import os
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12


class WrongKeyError(Exception):
    """A wrapped key does not open: another key, another purpose, or changed octets."""


def new_key() -> bytes:
    """Return a fresh random key."""
    return os.urandom(KEY_OCTETS)


class Wrapper:
    """Wraps keys under one key; the random nonce comes first in what it makes (60 octets for a key).

    Up to 2³² keys may be wrapped under one key (NIST SP 800-38D §8.3).
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key; `purpose` (for instance the blob's id) is bound to it."""
        nonce = os.urandom(_NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt what `wrap` made.

        Raises:
            WrongKeyError: when it was not made by this key for this purpose.
        """
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_OCTETS], wrapped[_NONCE_OCTETS:], purpose)
        except (InvalidTag, ValueError):
            raise WrongKeyError from None


def derive(key: bytes, purpose: bytes) -> bytes:
    """Derive a key for a purpose from another (HKDF-SHA-256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_OCTETS, salt=None, info=purpose).derive(key)


class AddressHash:
    """Keyed hashes of addresses: 64 bits of BLAKE2b with a key (RFC 7693 §2.9), signed as PostgreSQL's bigint.

    They let an operator who knows an address find its mail, and tell nobody else anything.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=8)

    def of(self, address: str) -> int:
        """Hash of an address, without regard to case; 0 for the empty path."""
        if not address:
            return 0
        state = self._keyed.copy()
        state.update(address.strip().lower().encode())
        return int(struct.unpack(">q", state.digest())[0])
