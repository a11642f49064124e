"""The key-encryption keys from a file: the operator's secret when no KMS is used."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Final

import msgspec

from petitbleu_kit.lifecycle import StartupError
from petitbleu_store.domain.keys import KEY_OCTETS, Wrapper, WrongKeyError

_MAX_ID_OCTETS: Final = 64


class _File(msgspec.Struct, frozen=True):
    active: str
    keys: dict[str, str]


class FileKeyEncryption:
    """Wraps under the active key of `PETITBLEU_KEK_FILE` and unwraps under any of its keys.

    What it makes is `length of the id (1) | id | nonce | ciphertext`. The file is read again when an unknown id appears, so a
    rotation needs no restart of readers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._active = b""
        self._wrappers: dict[bytes, Wrapper] = {}
        self._read()

    def _read(self) -> None:
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_File)
            keys = {name.encode(): base64.b64decode(key, validate=True) for name, key in content.keys.items()}
        except (OSError, msgspec.DecodeError, ValueError):
            raise StartupError("the file of key-encryption keys (PETITBLEU_KEK_FILE) cannot be read") from None
        if content.active.encode() not in keys or any(
            len(key) != KEY_OCTETS or not 0 < len(name) <= _MAX_ID_OCTETS for name, key in keys.items()
        ):
            raise StartupError("the file of key-encryption keys lacks its active key, or a key is not 32 octets")
        self._active = content.active.encode()
        self._wrappers = {name: Wrapper(key) for name, key in keys.items()}

    def reload(self) -> None:
        """Read the file again, for a rotation."""
        self._read()

    async def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key of 32 octets under the active key-encryption key.

        The file is read each time, which is seldom: another process may have rotated since, and what is still wrapped by
        the old key would be lost with it.
        """
        with contextlib.suppress(StartupError):  # half written just now: what is known is as good as a moment ago
            self._read()
        return bytes((len(self._active),)) + self._active + self._wrappers[self._active].wrap(key, purpose)

    async def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt what `wrap` made.

        Raises:
            WrongKeyError: the key is not in the file, or it was not made by it for this purpose.
        """
        name, rest = self._split(wrapped)
        if name not in self._wrappers:
            self._read()
        wrapper = self._wrappers.get(name)
        if wrapper is None:
            raise WrongKeyError
        return wrapper.unwrap(rest, purpose)

    def is_current(self, wrapped: bytes) -> bool:
        """Whether it is wrapped under the key that is active now."""
        return self._split(wrapped)[0] == self._active

    @staticmethod
    def _split(wrapped: bytes) -> tuple[bytes, bytes]:
        length = wrapped[0] if wrapped else 0
        return wrapped[1 : 1 + length], wrapped[1 + length :]
