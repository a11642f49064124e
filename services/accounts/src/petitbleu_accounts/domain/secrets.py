"""Passwords, app passwords and session tokens: their forms and digests."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Final

MAX_PASSWORD_OCTETS: Final = 1024
_APP_OCTETS: Final = 16
_APP_GROUP: Final = 4
_MAX_TYPED: Final = 64
_APP_FORM: Final = re.compile(r"[a-z2-7]{26}")
_TOKEN_OCTETS: Final = 32
_TOKEN_FORM: Final = re.compile(r"pb_[A-Za-z0-9_-]{46}")


def prepare_password(text: str) -> str | None:
    """Return a password in the form in which it is hashed, or None for one that cannot be any.

    The OpaqueString profile (RFC 8265 §4.2.2) as far as it matters to comparing: every space is U+0020, composed (NFC),
    no control characters, not empty, at most 1,024 octets.
    """
    if len(text) > MAX_PASSWORD_OCTETS:
        return None
    spaced = text if text.isascii() else "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)
    prepared = unicodedata.normalize("NFC", spaced)
    if not prepared or any(unicodedata.category(c) in {"Cc", "Cs"} for c in prepared):
        return None
    return prepared if len(prepared.encode()) <= MAX_PASSWORD_OCTETS else None


def new_app_password() -> str:
    """Return a new app password: 128 random bits in base32, in groups of four letters."""
    text = b32encode(secrets.token_bytes(_APP_OCTETS)).decode().rstrip("=").lower()
    return "-".join(text[at : at + _APP_GROUP] for at in range(0, len(text), _APP_GROUP))


def app_password_digest(account_id: int, text: str) -> bytes | None:
    """Return the digest under which an app password is kept, or None when the text cannot be one.

    Groups may be typed with or without hyphens and spaces, in either case. The digest is bound to the account.
    """
    if len(text) > _MAX_TYPED:
        return None
    plain = text.replace("-", "").replace(" ", "").lower()
    if not _APP_FORM.fullmatch(plain):
        return None
    octets = b32decode(plain.upper() + "======")
    return hashlib.sha256(b"app-password" + account_id.to_bytes(8, "big") + octets).digest()


def recovery_digest(text: str) -> bytes | None:
    """Return the digest under which a recovery code is kept, or None when the text cannot be one; its form is that of an app password."""
    if len(text) > _MAX_TYPED:
        return None
    plain = text.replace("-", "").replace(" ", "").lower()
    if not _APP_FORM.fullmatch(plain):
        return None
    return hashlib.sha256(b"recovery" + b32decode(plain.upper() + "======")).digest()


def new_recovery_code() -> tuple[str, bytes]:
    """Return a new recovery code, 128 random bits, and its digest."""
    text = new_app_password()
    digest = recovery_digest(text)
    if digest is None:
        raise AssertionError("a code of ours always has a digest")
    return text, digest


def new_token(partition: int) -> str:
    """Return a new bearer token: `pb_`, then the partition (2 octets) and 256 random bits in base64url."""
    return "pb_" + urlsafe_b64encode(partition.to_bytes(2, "big") + secrets.token_bytes(_TOKEN_OCTETS)).decode().rstrip(
        "="
    )


def open_token(token: str) -> tuple[int, bytes] | None:
    """Return the partition and digest of a bearer token, or None when the text cannot be one."""
    if not _TOKEN_FORM.fullmatch(token):
        return None
    octets = urlsafe_b64decode(token[3:] + "==")
    partition = int.from_bytes(octets[:2], "big")
    if partition > 1023:
        return None
    return partition, hashlib.sha256(b"session" + octets).digest()
