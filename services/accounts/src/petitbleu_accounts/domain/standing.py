"""By what somebody logged in, in a form that can be looked at again: it names the credential, and opens nothing."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final

import msgspec

_FORM: Final = struct.Struct(">qqq16s")
_NO_MARK: Final = bytes(16)


class Standing(msgspec.Struct, frozen=True):
    """A login.

    Attributes:
        account_id: Whose.
        session_id: Its session, 0 for none.
        app_password_id: Its app password, 0 for none.
        mark: Of the main password's hash where it was that, so that another one is told from it.
    """

    account_id: int
    session_id: int
    app_password_id: int
    mark: bytes = _NO_MARK

    def encode(self) -> bytes:
        """Return it in 40 octets."""
        return _FORM.pack(self.account_id, self.session_id, self.app_password_id, self.mark)

    def is_by(self, password_hash: str | None) -> bool:
        """Whether a main password is the one that it was."""
        return password_hash is not None and hmac.compare_digest(self.mark, mark_of(password_hash))


def decode(octets: bytes) -> Standing | None:
    """Return what `encode` made, None for anything else."""
    return Standing(*_FORM.unpack(octets)) if len(octets) == _FORM.size else None


def mark_of(password_hash: str) -> bytes:
    """Return 16 octets that change with a password's hash."""
    return hashlib.sha256(b"standing" + password_hash.encode()).digest()[:16]
