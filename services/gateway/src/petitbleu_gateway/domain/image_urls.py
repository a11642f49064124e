"""Addresses by which an image from elsewhere is fetched: signed, for one account, for a time.

Only a rendering that its person asked for makes them, so nobody can use the proxy for an address of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import quote

import msgspec

IMAGE_PATH: Final = "/api/images/"
_MAC_OCTETS: Final = 18


class ImageSigner(msgspec.Struct, array_like=True, frozen=True):
    """Signs for one account and until one time. `key` can do no more than that, so it may go where mail is read."""

    prefix: str
    key: bytes

    def url(self, address: str) -> str:
        """Return the address at which the gateway fetches another one."""
        return f"{self.prefix}{_mac(self.key, address)}?url={quote(address, safe='')}"


class ImageKeys:
    """The key that all keys for signing come from.

    Args:
        secret: The same in every process that serves one origin.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"petitbleu gateway image proxy v1", "sha256")

    def _key(self, account: str, expires_at: int) -> bytes:
        return hmac.digest(self._secret, f"{account}/{expires_at}".encode(), "sha256")

    def signer(self, origin: str, account: str, expires_at: int) -> ImageSigner:
        """Return what signs for an account (its JMAP id) until a time (Unix seconds)."""
        prefix = f"{origin}{IMAGE_PATH}{account}/{expires_at}/"
        return ImageSigner(prefix, self._key(account, expires_at))

    def is_signed(self, account: str, expires_at: int, mac: str, address: str) -> bool:
        """Whether an address was signed for this account and time."""
        return hmac.compare_digest(_mac(self._key(account, expires_at), address).encode(), mac.encode())


def _mac(key: bytes, address: str) -> str:
    digest = hmac.new(key, address.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_MAC_OCTETS]).decode("ascii")
