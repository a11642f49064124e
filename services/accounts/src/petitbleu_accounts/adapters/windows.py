"""Counters of failed logins: in Redis for all processes together, in this process while Redis is away."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_MAX_KEYS: Final = 100_000
_AWAY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 0.25
_BUSY_SECONDS: Final = 2.0
_TAKE: Final = """
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('INCR', key)
  if counts[i] == 1 then redis.call('EXPIRE', key, ARGV[1]) end
end
return counts
"""
_GIVE_BACK: Final = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
return 0
"""


class MemoryWindows:
    """Counters in this process, at most 100,000 keys; the oldest go first."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def take(self, keys: Sequence[str]) -> list[int]:
        """Count one in each key and return the counts."""
        now = time.monotonic()
        counts = []
        for key in keys:
            ends, count = self._counts.get(key, (0.0, 0))
            if ends <= now:
                self._counts.pop(key, None)
                ends, count = now + self._seconds, 0
            self._counts[key] = (ends, count + 1)
            counts.append(count + 1)
        while len(self._counts) > _MAX_KEYS:
            self._counts.popitem(last=False)
        return counts

    async def give_back(self, keys: Sequence[str]) -> None:
        """Uncount one in each key."""
        for key in keys:
            ends, count = self._counts.get(key, (0.0, 0))
            if count > 0:
                self._counts[key] = (ends, count - 1)


class RedisWindows:
    """Counters in Redis; while it is away the process counts for itself."""

    def __init__(self, url: str, seconds: int) -> None:
        self._seconds = seconds
        self._memory = MemoryWindows(seconds)
        # who finds all connections in use waits for one: that Redis is away must not be what many tries at once look like
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url, max_connections=16, timeout=_BUSY_SECONDS, socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
        )  # fmt: skip
        self._redis: Redis = Redis.from_pool(pool)
        self._away_until = 0.0

    async def _eval(self, script: str, keys: Sequence[str]) -> Any | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            return await self._redis.eval(script, len(keys), *keys, str(self._seconds))
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("counting logins in this process", error_type=type(error).__qualname__)
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return None

    async def take(self, keys: Sequence[str]) -> list[int]:
        """Count one in each key and return the counts, the higher of Redis' and this process'."""
        here = await self._memory.take(keys)
        shared = await self._eval(_TAKE, keys)
        return here if shared is None else [max(int(one), two) for one, two in zip(shared, here, strict=True)]

    async def give_back(self, keys: Sequence[str]) -> None:
        """Uncount one in each key."""
        await self._memory.give_back(keys)
        await self._eval(_GIVE_BACK, keys)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
