"""What one account may take of this process, so that it disturbs nobody else: its turns among others', and its pace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter as Tally
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from prometheus_client import Counter, Gauge

_waited = Counter("petitbleu_gateway_turns_waited_total", "Requests that waited for a turn")
_waiting = Gauge("petitbleu_gateway_turns_waiting", "Requests that wait for a turn now")
_slowed = Counter("petitbleu_gateway_pace_total", "Requests faster than their account's pace", ["outcome"])
_REMEMBERED: Final = 20_000


class Turns:
    """Requests are worked on few at a time, an account's behind its own, and accounts one after the other.

    Whoever sends many requests waits for itself: a free turn goes to the account that has waited longest for one, whatever the number of its
    requests that wait. What waits is bounded by who calls: requests of an account at once.

    Args:
        total: Requests worked on at once.
        each: The same of an account.
    """

    def __init__(self, total: int, each: int) -> None:
        self._free = total
        self._each = each
        self._running: Tally[int] = Tally()
        # accounts that wait, the one whose turn is next first
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, account_id: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the time of a block."""
        if self._free and self._running[account_id] < self._each and account_id not in self._waiting:
            self._begin(account_id)
        else:
            await self._wait(account_id)
        try:
            yield
        finally:
            self._end(account_id)

    def _begin(self, account_id: int) -> None:
        self._free -= 1
        self._running[account_id] += 1

    def _end(self, account_id: int) -> None:
        self._free += 1
        self._running[account_id] -= 1
        if not self._running[account_id]:
            del self._running[account_id]
        self._pass_on()

    async def _wait(self, account_id: int) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(ready)
        _waited.inc()
        _waiting.inc()
        try:
            await ready
        except asyncio.CancelledError:
            if ready.done() and not ready.cancelled():
                self._end(account_id)  # it was given just before its request was given up
            else:
                self._forget(account_id, ready)
            raise
        finally:
            _waiting.dec()

    def _forget(self, account_id: int, ready: asyncio.Future[None]) -> None:
        queue = self._waiting.get(account_id)
        if queue is not None:
            with contextlib.suppress(ValueError):
                queue.remove(ready)
            if not queue:
                del self._waiting[account_id]

    def _pass_on(self) -> None:
        """Give free turns to those who wait; an account that got one goes behind the others."""
        while self._free:
            account_id = next((one for one in self._waiting if self._running[one] < self._each), None)
            if account_id is None:
                return
            queue = self._waiting[account_id]
            ready = queue.popleft()
            if queue:
                self._waiting.move_to_end(account_id)
            else:
                del self._waiting[account_id]
            if not ready.done():
                self._begin(account_id)
                ready.set_result(None)


class TooFastError(Exception):
    """An account is faster than its pace; `seconds` is when it may come again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too fast")
        self.seconds = seconds


class Pace:
    """A bucket of tokens an account: who is a little too fast waits, who is much too fast is told to come again later.

    Args:
        rate: Tokens a second; 0 is no limit.
        burst: Tokens that an account may have saved.
        patience: Longest wait, seconds.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: float, burst: float, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._patience = patience
        self._clock = clock
        # account → tokens and when; full buckets need not be remembered
        self._left: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, account_id: int, tokens: float = 1) -> float:
        """Take tokens; return how long the account has to wait for them.

        Raises:
            TooFastError: it would be longer than one waits; nothing is taken then.
        """
        if not self._rate:
            return 0
        left = self._now(account_id)
        wait = max(0.0, (tokens - left) / self._rate) if left < tokens else 0.0
        # Whoever has saved all that can be saved is never too fast, however many the tokens.
        if wait > self._patience and left < self._burst:
            _slowed.labels(outcome="refused").inc()
            raise TooFastError(wait)
        self._put(account_id, left - tokens)
        return min(wait, self._patience)

    def charge(self, account_id: int, tokens: float) -> None:
        """Take tokens for what a request turned out to cost: the next one waits for them."""
        if self._rate:
            self._put(account_id, max(self._now(account_id) - tokens, -self._burst))

    async def keep(self, account_id: int, tokens: float = 1) -> None:
        """Take tokens, and wait for them; raises as `take`."""
        wait = self.take(account_id, tokens)
        if wait:
            _slowed.labels(outcome="waited").inc()
            await asyncio.sleep(wait)

    def _now(self, account_id: int) -> float:
        left, since = self._left.get(account_id, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - since) * self._rate)

    def _put(self, account_id: int, left: float) -> None:
        self._left[account_id] = (left, self._clock())
        self._left.move_to_end(account_id)
        while len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
