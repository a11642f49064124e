"""A client of SCRAM-SHA-256 as RFC 5802 §5 has it, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramClient:
    """One exchange; `binding` is the channel's, which makes it the mechanism -PLUS."""

    def __init__(
        self, login: str, password: str, binding: bytes = b"", nonce: str = "fyko+d2lbbFgONRv9qkxdawL"
    ) -> None:
        self._password = password.encode()
        self._header = ("p=tls-server-end-point" if binding else "n") + ",,"
        self._bare = f"n={login.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self._binding = binding
        self._expected = b""

    def first(self) -> str:
        return self._header + self._bare

    def final(self, challenge: str) -> str:
        nonce, salt, iterations = (part.partition("=")[2] for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(salt), int(iterations))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c={base64.b64encode(self._header.encode() + self._binding).decode()},r={nonce}"
        message = f"{self._bare},{challenge},{without}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without},p={base64.b64encode(proof).decode()}"

    def believes(self, last: str) -> bool:
        return last == f"v={base64.b64encode(self._expected).decode()}"
