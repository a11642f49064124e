"""delivery's key: read from its file, made where it is missing."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from petitbleu_delivery.domain.seal import KEY_OCTETS
from petitbleu_kit.lifecycle import StartupError


def read_key(path: Path) -> bytes:
    """Read the key (32 octets in base64); make it when there is no file.

    Raises:
        StartupError: it cannot be read or made, or is no key.
    """
    try:
        if not path.exists():
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
