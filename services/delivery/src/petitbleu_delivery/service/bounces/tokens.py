"""Bounce tokens: put on what leaves, and asked of what comes back without a sender (RFC 5321 §4.5.5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import UUID

from petitbleu_delivery.domain.bounce_token import (
    DAY_SECONDS,
    BounceToken,
    BounceTokenMode,
    Standing,
    read_token,
    with_token,
)
from petitbleu_delivery.domain.seal import SealError
from petitbleu_delivery.errors import DATABASE_AWAY
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_READY_SECONDS: Final = 600.0
"""A new secret makes tokens once every process has read it."""
_AGAIN_SECONDS: Final = 1.0


class Key(Protocol):
    """A secret; `age` in seconds."""

    @property
    def number(self) -> int:
        """Its number."""
        ...

    @property
    def secret(self) -> bytes:
        """Its octets."""
        ...

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        ...


class Keys(Protocol):
    """Where secrets are."""

    async def read(self) -> Sequence[Key]:
        """Return all, the oldest first."""
        ...

    async def make(self, number: int) -> None:
        """Make one, unless it is there."""
        ...

    async def forget(self, seconds: float) -> None:
        """Destroy those whose successor is older than this."""
        ...


class BounceTokens:
    """The use case.

    Args:
        keys: Where secrets are.
        mode: What is done.
        days: How long a token counts.
        key_days: Age of a secret at which the next is made.
        clock: Unix seconds.
    """

    def __init__(
        self, keys: Keys, mode: BounceTokenMode, days: int, key_days: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._mode = mode
        self._days = days
        self._key_days = key_days
        self._clock = clock
        self._signing = b""
        self._secrets: tuple[bytes, ...] = ()
        self._read_at = 0.0

    @property
    def enforced(self) -> bool:
        """Whether a bounce without a token of ours is a forged one."""
        return self._mode is BounceTokenMode.ENFORCE

    async def upkeep(self) -> None:
        """Read the secrets; make the next one when it is due, destroy those that no token needs."""
        known = await self._keys.read()
        if self._mode is not BounceTokenMode.OFF and (not known or known[-1].age > self._key_days * DAY_SECONDS):
            await self._keys.make(known[-1].number + 1 if known else 1)
            known = await self._keys.read()
        # the successor makes tokens a little later than it is made, and their days are whole ones
        await self._keys.forget((self._days + 2) * DAY_SECONDS + _READY_SECONDS)
        self._learn(known)

    def _learn(self, known: Sequence[Key]) -> None:
        ready = [one for one in known if one.age >= _READY_SECONDS]
        signing = ready[-1:] or known[:1]
        self._signing = signing[0].secret if signing and self._mode is not BounceTokenMode.OFF else b""
        self._secrets = tuple(one.secret for one in known)
        self._read_at = self._clock()

    def sender_of(self, mail_from: str, accepted_id: UUID, first_no: int, accepted_at: float) -> str:
        """Return the envelope sender with which a unit leaves: the same at each attempt, as greylisting wants it.

        Args:
            mail_from: As it was submitted.
            accepted_id: The message.
            first_no: The number of the unit's first recipient.
            accepted_at: Unix seconds since when it is in the queue.
        """
        if not self._signing or not mail_from:
            return mail_from
        return with_token(
            mail_from, BounceToken(accepted_id, first_no, int(accepted_at // DAY_SECONDS)), self._signing
        )  # fmt: skip

    async def read(self, address: str) -> tuple[Standing, BounceToken | None]:
        """Say what an address says of a mail that came to it without a sender."""
        found = self._look(address)
        if found[0] is Standing.FORGED and not 0 <= self._clock() - self._read_at < _AGAIN_SECONDS:
            # another process may just have made the secret that it was made with
            try:
                self._learn(await self._keys.read())
            except (*DATABASE_AWAY, SealError) as error:  # what is not known makes nothing real, and holds up no mail
                _log.warning("secrets are not read again", error_type=type(error).__qualname__)
            found = self._look(address)
        return found

    def _look(self, address: str) -> tuple[Standing, BounceToken | None]:
        return read_token(address, self._secrets, int(self._clock() // DAY_SECONDS), self._days)
