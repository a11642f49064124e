"""What is posted to a push service: encrypted for one user agent (RFC 8291, RFC 8188), by a sender that it may know (RFC 8292)."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

AUTH_OCTETS: Final = 16
MAX_PLAIN: Final = 3993  # RFC 8291 §4: more than 4,096 octets a push service need not take
_RECORD: Final = 4096
_PAD: Final = 128  # RFC 8291 §7: the length of what is said tells less
_TOKEN_SECONDS: Final = 12 * 3600  # RFC 8292 §2: at most 24 hours
_MAX_TOKENS: Final = 1000
_URL_SAFE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def base64url(octets: bytes) -> str:
    """Return base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def read_base64url(text: str) -> bytes:
    """Return the octets of base64url, with or without padding.

    Raises:
        ValueError: it is none.
    """
    bare = text.rstrip("=")
    if len(text) - len(bare) > 2 or not all(character in _URL_SAFE for character in bare):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


def user_agent_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a user agent (RFC 8291 §3.1): an uncompressed point of P-256.

    Raises:
        ValueError: it is none.
    """
    if len(point) != 65 or point[0] != 4:
        raise ValueError("not an uncompressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def encrypt(
    plain: bytes, p256dh: bytes, auth: bytes, *, key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None, pad: int = _PAD,
) -> bytes:  # fmt: skip
    """Return a message of the content coding aes128gcm, one record long, for a user agent.

    Args:
        plain: At most 3,993 octets.
        p256dh: The user agent's public key.
        auth: Its authentication secret, 16 octets.
        key: The message's own private key; a new one when None, as it must be but in a test.
        salt: 16 octets; random when None.
        pad: What the length is rounded up to, where there is room.

    Raises:
        ValueError: a key or the length is not right.
    """
    if len(plain) > MAX_PLAIN or len(auth) != AUTH_OCTETS:
        raise ValueError("too long, or no authentication secret")
    receiver = user_agent_key(p256dh)
    key = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    sender = _point(key.public_key())
    # RFC 8291 §3.4
    secret = _derived(key.exchange(ec.ECDH(), receiver), auth, b"WebPush: info\0" + p256dh + sender, 32)
    content_key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)  # RFC 8188 §2.3: of record 0
    zeros = min(-len(plain) % pad, MAX_PLAIN - len(plain))
    record = AESGCM(content_key).encrypt(nonce, plain + b"\x02" + bytes(zeros), None)  # RFC 8188 §2: the last record
    return salt + _RECORD.to_bytes(4, "big") + bytes([len(sender)]) + sender + record  # RFC 8188 §2.1


def topic(types: Iterable[str]) -> str:
    """Return the topic of a StateChange (RFC 8030 §5.4): of the types in it, so that what replaces it tells no less."""
    return base64url(hashlib.sha256(",".join(sorted(types)).encode()).digest()[:18])


class Vapid:
    """Says who posts (RFC 8292), as one application server.

    Args:
        key: The server's key, of P-256.
        contact: `mailto:` or `https:` URI at which a push service finds a person; may be empty.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, contact: str) -> None:
        self._key = key
        self._contact = contact
        self.public = _point(key.public_key())
        self.application_server_key = base64url(self.public)
        self._tokens: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    @classmethod
    def from_file(cls, path: Path, contact: str) -> Vapid:
        """Read the key (PEM).

        Raises:
            OSError, ValueError: it cannot be read, or is no key of P-256.
        """
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("not a key of P-256")  # noqa: TRY004 — the file's fault, not the caller's
        return cls(key, contact)

    def authorization(self, origin: str) -> bytes:
        """Return the Authorization field for a push service (RFC 8292 §2, §3); a token is used for hours."""
        now = time.time()
        known = self._tokens.get(origin)
        if known is not None and known[0] > now:
            return known[1]
        claims = {"aud": origin, "exp": int(now) + _TOKEN_SECONDS}
        if self._contact:
            claims["sub"] = self._contact
        token = jwt.encode(claims, self._key, algorithm="ES256")
        field = f"vapid t={token}, k={self.application_server_key}".encode()
        self._tokens[origin] = (now + _TOKEN_SECONDS / 2, field)
        self._tokens.move_to_end(origin)
        while len(self._tokens) > _MAX_TOKENS:
            self._tokens.popitem(last=False)
        return field
