"""The service's key: read from its file, made at the very first start."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from petitbleu_junior_guard.domain.seal import KEY_OCTETS
from petitbleu_kit.lifecycle import StartupError


def read_key(path: Path, *, may_make: bool) -> bytes:
    """Read the key (32 octets in base64), or make it when this is the first start.

    Raises:
        StartupError: it is missing though records were made under it, or it is not a key.
    """
    if may_make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_OCTETS)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error) as error:
        raise StartupError(f"the key of junior-guard cannot be read ({type(error).__name__})") from None
    if len(key) != KEY_OCTETS:
        raise StartupError("the key of junior-guard does not have 32 octets")
    return key
