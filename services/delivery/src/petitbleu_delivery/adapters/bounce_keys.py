"""Secrets of bounce tokens in the database, sealed under delivery's key."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import asyncpg

from petitbleu_delivery.domain.bounce_token import SECRET_OCTETS
from petitbleu_delivery.domain.seal import Seal

_READ: Final = """/* reference:delivery.bounce_keys */ SELECT key_no, secret, extract(epoch FROM now() - made_at)::float8 AS age
FROM bounce_key ORDER BY key_no"""
# Of several processes that want the next one, one makes it.
_MAKE: Final = """/* reference:delivery.bounce_key_make */ INSERT INTO bounce_key (key_no, secret) VALUES ($1, $2)
ON CONFLICT (key_no) DO NOTHING"""
_FORGET: Final = """/* reference:delivery.bounce_key_forget */ DELETE FROM bounce_key WHERE key_no < (
SELECT max(key_no) FROM bounce_key WHERE made_at < now() - make_interval(secs => $1))"""


class BounceKey(NamedTuple):
    """A secret: its number, its octets, and its age in seconds."""

    number: int
    secret: bytes
    age: float


class BounceKeyRows:
    """The secrets.

    Args:
        pool: delivery's database.
        seal: Seals them.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], seal: Seal) -> None:
        self._pool = pool
        self._seal = seal

    async def read(self) -> list[BounceKey]:
        """Return all of them, the oldest first.

        Raises:
            SealError: one is sealed under another key.
        """
        rows = await self._pool.fetch(_READ)
        return [BounceKey(row["key_no"], self._open(row["key_no"], row["secret"]), row["age"]) for row in rows]

    def _open(self, number: int, sealed: bytes) -> bytes:
        return self._seal.open(number, b"bounce key", sealed)

    async def make(self, number: int) -> None:
        """Make one, unless it is there."""
        secret = self._seal.seal(number, b"bounce key", secrets.token_bytes(SECRET_OCTETS))
        await self._pool.execute(_MAKE, number, secret)

    async def forget(self, seconds: float) -> None:
        """Destroy those whose successor is older than this."""
        await self._pool.execute(_FORGET, seconds)
