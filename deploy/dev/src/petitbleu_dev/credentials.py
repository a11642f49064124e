"""Passwords, tokens and keys, made once and kept in files of mode 0600."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from petitbleu_dev.errors import StackError

PASSWORD_BYTES = 24
KEY_BYTES = 32


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that it is either whole or absent."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Whatever the reader of a PEM file refuses below is about `path`.

    Raises:
        StackError: the file holds something else.
    """
    try:
        yield
    except (ValueError, TypeError):
        raise StackError(f"{path} is damaged: put it back from a backup, or remove it and a new one is made") from None


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_private(path, make())
    return path.read_bytes()


def password(directory: Path, name: str) -> str:
    """Password of a backend's user, made at the first call: 192 random bits, URL-safe."""
    return _kept(directory / name, lambda: secrets.token_urlsafe(PASSWORD_BYTES).encode()).decode()


def operator_token(path: Path) -> str:
    """Token of the operator's command line."""
    return _kept(path, lambda: secrets.token_urlsafe(KEY_BYTES).encode()).decode()


def key_encryption_keys(path: Path) -> None:
    """Make the file of key-encryption keys: the number of the active one, and 32 random bytes for each, base64."""

    def make() -> bytes:
        keys = {"1": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}
        return json.dumps({"active": "1", "keys": keys}, indent=1).encode()

    _kept(path, make)


def random_key(path: Path) -> None:
    """Make a file of 32 random bytes, base64: a key of keyed hashes."""
    _kept(path, lambda: base64.b64encode(secrets.token_bytes(KEY_BYTES)))


def application_server_key(path: Path) -> Path:
    """Make the key by which push services know us (RFC 8292 §2): P-256, PEM; its path."""

    def make() -> bytes:
        return ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    _kept(path, make)
    return path


def identity(directory: Path, service: str) -> Path:
    """Make a service's Ed25519 key pair, `<service>.key` and `<service>.pub`, both PEM; the private one's path."""
    private = directory / f"{service}.key"
    public = directory / f"{service}.pub"
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public.unlink(missing_ok=True)
        write_private(private, pem)
    if not public.exists():
        with undamaged(private):
            loaded = serialization.load_pem_private_key(private.read_bytes(), password=None)
        write_private(
            public,
            loaded.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        )
    return private
