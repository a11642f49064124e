"""What this process remembers of right credentials, so that not every request hashes a password.

A credential is kept only as its HMAC under a key that this process made at random and never writes anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from petitbleu_accounts.domain.people import AccountInfo

_looked_up = Counter(
    "petitbleu_accounts_remembered_total", "Credentials looked up in the process's memory", ["outcome"]
)


ALWAYS: Final = -1


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody whose credential was right; `credential_id` is that of the session or app password, 0 for the main password."""

    account: AccountInfo
    session_id: int = 0
    credential_id: int = 0
    cooling_until: int = 0
    """Unix seconds until which it may be somebody else; `ALWAYS` for a password that is shown from nowhere in particular."""
    mark: bytes = bytes(16)
    """Of the main password's hash, where it was that (`domain.standing`)."""


class CredentialMemory:
    """Right credentials of the last minutes, forgotten when the directory changes.

    A check that was under way while its account changed must not be remembered: `generation` before the check, given to
    `remember` after it, tells.

    Args:
        size: Most credentials remembered.
    """

    def __init__(self, size: int) -> None:
        self._key = secrets.token_bytes(32)
        self._size = size
        self._known: OrderedDict[bytes, tuple[float, Known]] = OrderedDict()
        self._by_account: dict[int, set[bytes]] = {}
        self.generation = 0

    def fingerprint(self, *parts: str) -> bytes:
        """Return the keyed hash of a credential (RFC 2104); parts cannot run into each other."""
        text = b"".join(
            len(octets := part.encode("utf-8", "surrogatepass")).to_bytes(4, "big") + octets for part in parts
        )
        return hmac.digest(self._key, text, hashlib.sha256)

    def find(self, fingerprint: bytes) -> Known | None:
        """Who a credential belongs to, when that is remembered."""
        entry = self._known.get(fingerprint)
        if entry is None or entry[0] < time.monotonic():
            _looked_up.labels(outcome="unknown").inc()
            return None
        _looked_up.labels(outcome="known").inc()
        return entry[1]

    def remember(self, fingerprint: bytes, known: Known, seconds: float, generation: int) -> None:
        """Remember a right credential for so many seconds, unless anything changed since `generation`."""
        if seconds <= 0 or generation != self.generation:
            return
        self._forget_one(fingerprint)
        self._known[fingerprint] = (time.monotonic() + seconds, known)
        self._by_account.setdefault(known.account.account_id, set()).add(fingerprint)
        while len(self._known) > self._size:
            self._forget_one(next(iter(self._known)))

    def _forget_one(self, fingerprint: bytes) -> None:
        entry = self._known.pop(fingerprint, None)
        if entry is not None:
            mine = self._by_account[entry[1].account.account_id]
            mine.discard(fingerprint)
            if not mine:
                del self._by_account[entry[1].account.account_id]

    def forget(self, account_ids: Iterable[int]) -> None:
        """Forget every credential of these accounts."""
        self.generation += 1
        for account_id in account_ids:
            for fingerprint in list(self._by_account.get(account_id, ())):
                self._forget_one(fingerprint)

    def forget_all(self) -> None:
        """Forget everything: news may have been missed."""
        self.generation += 1
        self._known.clear()
        self._by_account.clear()

    def __len__(self) -> int:
        return len(self._known)
