"""Work that a client does before an account is opened: cheap for one person, dear for a thousand (Dwork and Naor, CRYPTO '92).

A challenge says all that is needed to check it, under a key of ours, so nothing is kept of those that nobody answers.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import Enum
from typing import Final, NamedTuple

NONCE_OCTETS: Final = 16
_HEAD: Final = struct.Struct(">16sQB")
_MAC_OCTETS: Final = 16
_OCTETS: Final = _HEAD.size + _MAC_OCTETS
_TEXT: Final = -(-_OCTETS * 4 // 3)
_MAX_ANSWER: Final = 20


class ProofFault(Enum):
    """Why an answer is not taken."""

    STALE = 1
    """The challenge is not ours or is over."""
    WRONG = 2
    """It is not solved."""


class Proof(NamedTuple):
    """An answer that is right: what names its challenge, and Unix seconds at which that is over."""

    nonce: bytes
    ends: int


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(key, b"challenge" + head, "sha256")[:_MAC_OCTETS]


def challenge(key: bytes, nonce: bytes, bits: int, ends: int) -> str:
    """Return a challenge of `bits` zero bits (0 to 255), good until `ends` (Unix seconds); 16 random octets name it."""
    head = _HEAD.pack(nonce, ends, bits)
    return urlsafe_b64encode(head + _mac(key, head)).decode().rstrip("=")


def proves(text: str, answer: str, bits: int) -> bool:
    """Whether SHA-256 of challenge, ":" and answer begins with so many zero bits (in the manner of Hashcash, Back 2002)."""
    digest = hashlib.sha256(f"{text}:{answer}".encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - bits) == 0


def check(key: bytes, text: str, answer: str, now: int) -> Proof | ProofFault:
    """Return what an answer proves at `now` (Unix seconds), or why it proves nothing."""
    if len(text) != _TEXT or not text.isascii():
        return ProofFault.STALE
    try:
        octets = urlsafe_b64decode(text + "=" * (-_TEXT % 4))
    except ValueError:
        return ProofFault.STALE
    head, mac = octets[: _HEAD.size], octets[_HEAD.size :]
    # what decodes to the same octets but is written otherwise is another text, with other hashes
    if (
        len(octets) != _OCTETS
        or urlsafe_b64encode(octets).decode().rstrip("=") != text
        or not hmac.compare_digest(mac, _mac(key, head))
    ):
        return ProofFault.STALE
    nonce, ends, bits = _HEAD.unpack(head)
    if now > ends:
        return ProofFault.STALE
    if (
        not 1 <= len(answer) <= _MAX_ANSWER
        or not (answer.isascii() and answer.isdigit())
        or not proves(text, answer, bits)
    ):
        return ProofFault.WRONG
    return Proof(nonce, ends)


def difficulty(lowest: int, highest: int, count: int, free: int) -> int:
    """Return the zero bits asked for: `lowest` for the first `free` of a window, one more each time that the count doubles, up to `highest`."""
    over = max(count - 1, 0) // free
    return min(lowest + over.bit_length(), highest)
