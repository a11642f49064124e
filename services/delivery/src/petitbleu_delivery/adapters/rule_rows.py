"""What rules remember (`rule_memory`): by account, kind and keyed hash, for a while."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

import asyncpg

from petitbleu_kit.ids import PARTITIONS, partition_of_account

_FIND: Final = """/* hot:delivery.rule_memory_find */ SELECT memory_key, accepted_id FROM rule_memory
    WHERE partition = $1 AND account_id = $2 AND kind = $3 AND memory_key = ANY($4::bytea[]) AND expires_at > now()"""
# One that is remembered for another message stands, unless its time is over; for the same message it is found again as it was.
_CLAIM: Final = """/* hot:delivery.rule_memory_claim */ INSERT INTO rule_memory AS m (partition, account_id, kind, memory_key, accepted_id,
    expires_at) VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    ON CONFLICT (partition, account_id, kind, memory_key) DO UPDATE SET accepted_id = excluded.accepted_id, expires_at = excluded.expires_at
    WHERE m.expires_at <= now() OR m.accepted_id = excluded.accepted_id RETURNING accepted_id"""
_KEEP: Final = """/* hot:delivery.rule_memory_keep */ INSERT INTO rule_memory (partition, account_id, kind, memory_key, accepted_id, expires_at)
    VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    ON CONFLICT (partition, account_id, kind, memory_key) DO UPDATE SET accepted_id = excluded.accepted_id, expires_at = excluded.expires_at"""
_RELEASE: Final = """/* hot:delivery.rule_memory_release */ DELETE FROM rule_memory
    WHERE partition = $1 AND account_id = $2 AND kind = $3 AND memory_key = $4 AND accepted_id = $5"""
_EXPIRE: Final = """/* cold:delivery.rule_memory_expire */ DELETE FROM rule_memory WHERE partition = ANY($1::smallint[]) AND expires_at <= now()"""
_SWEPT: Final = 64


class Kind(IntEnum):
    """What is remembered."""

    ANSWERED = 1
    SEEN = 2
    SENT = 3
    TOLD = 4


class RuleMemory:
    """The memory of rules.

    Args:
        pool: delivery's database.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def find(self, account_id: int, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, UUID]:
        """Return those of the keys that are remembered, with the message for which they are."""
        if not keys:
            return {}
        rows = await self._pool.fetch(_FIND, partition_of_account(account_id), account_id, int(kind), list(keys))
        return {row["memory_key"]: row["accepted_id"] for row in rows}

    async def claim(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID, seconds: float) -> bool:
        """Remember a key for a message, unless it is remembered for another one; say whether it is this one's."""
        given: tuple[Any, ...] = (partition_of_account(account_id), account_id, int(kind), key, accepted_id, seconds)
        return await self._pool.fetchval(_CLAIM, *given) is not None

    async def release(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID) -> None:
        """Forget a key that is remembered for a message, as though it had never been claimed for it."""
        await self._pool.execute(_RELEASE, partition_of_account(account_id), account_id, int(kind), key, accepted_id)

    async def keep(self, account_id: int, kind: Kind, key: bytes, accepted_id: UUID, seconds: float) -> None:
        """Remember a key for a message, whatever was."""
        given: tuple[Any, ...] = (partition_of_account(account_id), account_id, int(kind), key, accepted_id, seconds)
        await self._pool.execute(_KEEP, *given)

    async def expire(self) -> None:
        """Forget what is over."""
        for start in range(0, PARTITIONS, _SWEPT):
            await self._pool.execute(_EXPIRE, list(range(start, start + _SWEPT)))
