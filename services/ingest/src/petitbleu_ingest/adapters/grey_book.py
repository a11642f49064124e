"""Triplets of greylisting in Redis, which may lose them: then mail waits once more."""

from __future__ import annotations

import time
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_AWAY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 0.25
_CONNECTIONS: Final = 16
# RFC 6647 §5: a repeat within a day counts, and who passed is known for a week at least
WINDOW_SECONDS: Final = 24 * 3600
KEPT_SECONDS: Final = 36 * 24 * 3600
# When the triplet was first seen, or `p` once it passed. By the clock of Redis, which is one for all.
_WAIT: Final = """
local seen = redis.call('GET', KEYS[1])
if seen == 'p' then redis.call('EXPIRE', KEYS[1], ARGV[3]); return 0 end
local now = tonumber(redis.call('TIME')[1])
local since = tonumber(seen or '')
if not since or since ~= since or since > now then redis.call('SET', KEYS[1], now, 'EX', ARGV[2]); return tonumber(ARGV[1]) end
local left = since + tonumber(ARGV[1]) - now
if left > 0 then return left end
redis.call('SET', KEYS[1], 'p', 'EX', ARGV[3])
return 0
"""


class RedisGreyBook:
    """Remembers triplets.

    Args:
        url: Redis.
        seconds: How long a triplet waits.
    """

    def __init__(self, url: str, seconds: int) -> None:
        self._seconds = seconds
        # who finds all connections in use waits for one, as for an answer
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=_ANSWER_SECONDS, socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
        )  # fmt: skip
        self._redis: Redis = Redis.from_pool(pool)
        self._away_until = 0.0

    async def wait(self, key: bytes) -> int | None:
        """Return the seconds until a triplet may pass, 0 when it does now; None while Redis is away. One question."""
        if time.monotonic() < self._away_until:
            return None
        name = b"grey:" + key
        try:
            left = await self._redis.eval(_WAIT, 1, name, str(self._seconds), str(WINDOW_SECONDS), str(KEPT_SECONDS))
            return max(int(left), 0)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            _log.warning("nobody is greylisted: Redis does not answer", error_type=type(error).__qualname__)
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return None

    async def close(self) -> None:
        """End the connections."""
        await self._redis.aclose()
