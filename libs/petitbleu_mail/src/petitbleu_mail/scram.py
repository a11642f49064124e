"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677 §3): messages read and written, proofs checked. Nothing here asks anybody."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, NamedTuple

from petitbleu_mail.sasl import SaslError

ITERATIONS: Final = 4096
"""RFC 7677 §4: at least. It is enough for passwords that a machine made of 128 random bits."""
SALT_OCTETS: Final = 16
END_POINT: Final = "tls-server-end-point"
"""The one channel binding (RFC 5929 §4)."""
_DIGEST: Final = "sha256"
_KEY_OCTETS: Final = 32
# RFC 5802 §7: printable is any ASCII but controls, blank and comma
_NONCE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")
_NAME: Final = re.compile(r"(?:[^,=\x00]|=2C|=3D)+")


class ScramMismatchError(Exception):
    """A message that can be read and is not the right one: its nonce or its channel binding is another's, or a downgrade."""


class Verifier(NamedTuple):
    """What is kept of a password (RFC 5802 §3): whoever reads it can check a proof and give none."""

    stored_key: bytes
    server_key: bytes


class ClientFirst(NamedTuple):
    """A client's first message: `binding` is the channel binding that it uses, empty for none; `knows_binding`, that it would."""

    login: str
    nonce: str
    binding: str
    knows_binding: bool
    header: str
    bare: str


class ClientFinal(NamedTuple):
    """A client's last message, `without_proof` as it is signed."""

    binding: bytes
    nonce: str
    proof: bytes
    without_proof: str


def verifier_of(password: str, salt: bytes, iterations: int) -> Verifier:
    """Return what to keep of a password. It is taken as it is: SASLprep (RFC 4013) leaves ASCII alone."""
    salted = hashlib.pbkdf2_hmac(_DIGEST, password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", _DIGEST)
    return Verifier(hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", _DIGEST))


def client_first(message: bytes) -> ClientFirst:
    """Read a client's first message (RFC 5802 §7).

    Raises:
        SaslError: it is none, or asks to act for somebody else.
    """
    text = _text(message)
    flag, comma, rest = text.partition(",")
    authorization, comma_too, bare = rest.partition(",")
    if not comma or not comma_too or not (flag in {"n", "y"} or flag.startswith("p=")):
        raise SaslError
    name, _, behind = bare.partition(",")
    nonce = behind.partition(",")[0]  # extensions that nobody must know are skipped
    if not name.startswith("n=") or not nonce.startswith("r=") or not _NONCE.fullmatch(nonce[2:]):
        raise SaslError
    login = _name(name[2:])
    if authorization and (not authorization.startswith("a=") or _name(authorization[2:]) != login):
        raise SaslError
    header = text[: len(text) - len(bare)]
    return ClientFirst(login, nonce[2:], flag.removeprefix("p=") if flag[0] == "p" else "", flag != "n", header, bare)


def server_first(first: ClientFirst, nonce: str, salt: bytes, iterations: int) -> str:
    """Return the server's first message; `nonce` is its own part."""
    return f"r={first.nonce}{nonce},s={base64.b64encode(salt).decode()},i={iterations}"


def client_final(message: bytes) -> ClientFinal:
    """Read a client's last message (RFC 5802 §7). Raises `SaslError`."""
    without_proof, found, proof = _text(message).rpartition(",p=")
    parts = without_proof.split(",")
    if not found or len(parts) < 2 or not parts[0].startswith("c=") or not parts[1].startswith("r="):
        raise SaslError
    octets = _decoded(proof)
    if len(octets) != _KEY_OCTETS:
        raise SaslError
    return ClientFinal(_decoded(parts[0][2:]), parts[1][2:], octets, without_proof)


def check_binding(first: ClientFirst, final: ClientFinal, nonce: str, end_point: bytes) -> None:
    """Check that the last message belongs to the first and to this connection (RFC 5802 §5.1, §6).

    Args:
        first: The first message.
        final: The last one.
        nonce: The server's part of the nonce.
        end_point: The channel's binding data, where the client uses it.

    Raises:
        ScramMismatchError: it does not.
    """
    data = first.header.encode() + (end_point if first.binding else b"")
    right = hmac.compare_digest(final.nonce.encode(), f"{first.nonce}{nonce}".encode())
    if not (hmac.compare_digest(final.binding, data) and right):
        raise ScramMismatchError


def signed_by_all(first: ClientFirst, challenge: str, final: ClientFinal) -> bytes:
    """Return AuthMessage (RFC 5802 §3); `challenge` is the server's first message."""
    return f"{first.bare},{challenge},{final.without_proof}".encode()


def proves(verifier: Verifier, message: bytes, proof: bytes) -> bool:
    """Whether a proof was made with the password of a verifier; the time does not tell where it differs."""
    signature = hmac.digest(verifier.stored_key, message, _DIGEST)
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True)) if len(proof) == len(signature) else b""
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


def server_signature(verifier: Verifier, message: bytes) -> bytes:
    """Return what shows a client that the server knows the password too."""
    return hmac.digest(verifier.server_key, message, _DIGEST)


def server_final(signature: bytes) -> str:
    """Return the server's last message."""
    return f"v={base64.b64encode(signature).decode()}"


def _text(message: bytes) -> str:
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError from None
    if "\0" in text:
        raise SaslError
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise SaslError
    return text.replace("=2C", ",").replace("=3D", "=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SaslError from None
