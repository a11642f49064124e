"""What an account's key does: seals what only its owner may read, and hashes what must be compared without being read."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from petitbleu_store.domain.keys import derive

_NONCE: Final = 12


class SealBrokenError(Exception):
    """What was sealed does not open: another account's, another row's, or altered."""


class AccountCipher:
    """Keys derived from one account's key: for sealing (AES-256-GCM), for hashing (keyed BLAKE2b, RFC 7693 §2.9), and for search terms.

    What is sealed is `nonce (12) | ciphertext | tag`. `place` is bound to it, so that a row's content cannot be put in another row.
    """

    __slots__ = ("_hash", "_seal", "search_key", "words_key")

    def __init__(self, key: bytes) -> None:
        self._seal = AESGCM(derive(key, b"petitbleu account seal"))
        self._hash = hashlib.blake2b(key=derive(key, b"petitbleu account hash"), digest_size=16)
        self.search_key = derive(key, b"petitbleu account search")
        """Key of the account's search terms, 32 octets."""
        self.words_key = derive(key, b"petitbleu account words")
        """Key of the words of the account's model of junk, 32 octets."""

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Encrypt content for a place."""
        nonce = os.urandom(_NONCE)
        return nonce + self._seal.encrypt(nonce, content, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt what `seal` made for the same place.

        Raises:
            SealBrokenError: it was not.
        """
        try:
            return self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (InvalidTag, ValueError):
            raise SealBrokenError from None

    def hash128(self, purpose: bytes, content: bytes) -> bytes:
        """Return 16 octets that stand for content, for one purpose, in this account only."""
        state = self._hash.copy()
        state.update(purpose)
        state.update(content)
        return state.digest()

    def hash64(self, purpose: bytes, content: bytes) -> int:
        """Return 64 of these bits, signed as PostgreSQL's bigint."""
        return int.from_bytes(self.hash128(purpose, content)[:8], "big", signed=True)
