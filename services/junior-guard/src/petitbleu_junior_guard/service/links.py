"""Links of alerts: single-use, of one guardian, leading to one child. A link is no authority: whoever opens it must be the guardian, signed in."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Final

from petitbleu_junior_guard.domain.seal import Seal
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.ports import Actor
from petitbleu_junior_guard.ports import Links as Rows
from petitbleu_junior_guard.service.guard import Clock, utc_now

# as long as mail waits
LIFE: Final = timedelta(days=30)
_OCTETS: Final = 16
_LETTERS: Final = 22


class Links:
    """The use cases.

    Args:
        rows: What is kept.
        seal: Makes what nobody guesses.
        public_url: Origin of the web app; without one there are no links.
        clock: The time.
    """

    def __init__(self, rows: Rows, seal: Seal, public_url: str, clock: Clock = utc_now) -> None:
        self._rows = rows
        self._seal = seal
        self._origin = public_url.rstrip("/")
        self._clock = clock

    async def make(self, letter: int, guardian_id: int, account_id: int) -> str:
        """Return the link to a child in a letter, the same when the letter is written again; nothing where the web app's origin is not known."""
        if not self._origin:
            return ""
        octets = self._seal.hash(account_id, f"link:{letter}:{guardian_id}")[:_OCTETS]
        await self._rows.keep(guardian_id, _digest(octets), account_id, self._clock() + LIFE)
        return f"{self._origin}/#/family/at/{urlsafe_b64encode(octets).decode().rstrip('=')}"

    async def open(self, actor: Actor, token: str) -> int:
        """Return the child that a link leads its guardian to, once.

        Raises:
            GuardError: NO_LINK for one that is made up, another's, used or over, all alike.
        """
        octets = b""
        if len(token) == _LETTERS and token.isascii():
            try:
                octets = urlsafe_b64decode(token + "==")
            except ValueError:
                octets = b""
        if len(octets) != _OCTETS or urlsafe_b64encode(octets).decode().rstrip("=") != token:
            raise GuardError(Fault.NO_LINK)
        found = await self._rows.use(actor, _digest(octets), self._clock())
        if found is None:
            raise GuardError(Fault.NO_LINK)
        return found

    async def prune(self) -> None:
        """Forget links that are over."""
        await self._rows.prune(self._clock())


def _digest(octets: bytes) -> bytes:
    return sha256(b"alert-link" + octets).digest()
