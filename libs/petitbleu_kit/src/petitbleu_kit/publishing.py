"""Publishing without waiting: the stream's acknowledgements of many events come to one inbox, in their own time.

JetStream's usual way is a request for each event, with a future, a deadline and an inbox of its own: half a millisecond of
processor time for a lone message, which publishes two events while somebody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg

Key = TypeVar("Key")

ACK_SECONDS: Final = 5.0


class Publisher(Generic[Key]):
    """Publishes events and tells which the stream has stored.

    Args:
        client: The connection.
        stored: Called with the key of each event that the stream has stored; one that was lost is never told of.
    """

    def __init__(self, client: Client, stored: Callable[[Key], None]) -> None:
        self._client = client
        self._stored = stored
        self._inbox = ""
        self._last = 0
        self._waiting: dict[int, tuple[Key, float]] = {}  # in the order of time
        self._none_waits: asyncio.Event = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Events published and not yet acknowledged."""
        return len(self._waiting)

    async def publish(self, events: Sequence[tuple[Key, str, bytes]]) -> None:
        """Publish events (key, subject, payload).

        Raises:
            nats.errors.Error, OSError: the bus is away; some of the events may have been published.
        """
        if not self._inbox:
            inbox = self._client.new_inbox()
            await self._client.subscribe(inbox + ".*", cb=self._answered)
            self._inbox = inbox
        until = asyncio.get_running_loop().time() + ACK_SECONDS
        self._none_waits.clear()
        for key, subject, payload in events:
            self._last += 1
            self._waiting[self._last] = (key, until)
            await self._client.publish(subject, payload, reply=f"{self._inbox}.{self._last}")

    async def _answered(self, message: Msg) -> None:
        known = self._waiting.pop(int(message.subject.rpartition(".")[2]), None)
        if not self._waiting:
            self._none_waits.set()
        if known is not None and _is_stored(message.data):
            self._stored(known[0])

    def forget_late(self) -> int:
        """Wait no longer for acknowledgements that did not come in time; return how many."""
        now = asyncio.get_running_loop().time()
        late = 0
        for number, (_, until) in list(self._waiting.items()):
            if until > now:
                break
            del self._waiting[number]
            late += 1
        if not self._waiting:
            self._none_waits.set()
        return late

    async def settled(self) -> None:
        """Wait until all that was published is acknowledged, or too late."""
        if self._waiting:
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    await self._none_waits.wait()
            except TimeoutError:
                self.forget_late()


def _is_stored(answer: bytes) -> bool:
    """Whether an answer is the stream's acknowledgement: not an error, nor (empty) the server's word that no stream listens."""
    return b'"seq":' in answer and b'"error":' not in answer
