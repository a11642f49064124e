"""delivery's key: read from its file, made at the very first start."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import asyncpg

from petitbleu_delivery.domain.seal import KEY_OCTETS, Seal
from petitbleu_kit.lifecycle import StartupError

_KNOWN: Final = "/* reference:delivery.key_check */ SELECT fingerprint FROM key_check WHERE key_id = 1"
_RECORD: Final = """/* reference:delivery.key_record */
INSERT INTO key_check (key_id, fingerprint) VALUES (1, $1) ON CONFLICT (key_id) DO NOTHING"""


def read_key(path: Path, *, may_make: bool = True) -> bytes:
    """Read the key (32 octets in base64); make it when there is no file, and none was ever used.

    Raises:
        StartupError: it cannot be read or made, or is no key.
    """
    try:
        if may_make and not path.exists():
            _make(path)
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error) as error:
        raise StartupError(f"the key of delivery cannot be read ({type(error).__name__})") from None
    if len(key) != KEY_OCTETS:
        raise StartupError("the key of delivery does not have 32 octets")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_OCTETS)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


async def checked_key(pool: asyncpg.Pool[asyncpg.Record], path: Path) -> bytes:
    """Read the key and compare it with the one under which things are sealed already; make it at the very first start.

    Raises:
        StartupError: it is missing or another one: no hosted domain could sign any more.
    """
    known = await pool.fetchval(_KNOWN)
    key = read_key(path, may_make=known is None)
    fingerprint = Seal(key, "check").hash(0, b"fingerprint")
    if known is None:
        await pool.execute(_RECORD, fingerprint)
        known = await pool.fetchval(_KNOWN)
    if not hmac.compare_digest(known, fingerprint):
        raise StartupError(
            "the key of delivery is not the one that its DKIM keys are sealed under; restore the right one"
        )
    return key
