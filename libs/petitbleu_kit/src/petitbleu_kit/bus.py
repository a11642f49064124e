"""NATS JetStream: the streams, publishing, and the loop of a durable pull consumer.

Delivery is at least once and unordered as far as anyone may rely on it: every handler is idempotent by a key in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from prometheus_client import Counter, Gauge

from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_handled = Counter("petitbleu_bus_events_total", "Events handled", ["stream", "outcome"])
_waiting = Gauge("petitbleu_bus_events_waiting", "Events fetched and not yet handled", ["stream"])

STREAMS: Final = {"MAIL": ["mail.>"], "ACCOUNTS": ["accounts.>"], "DELIVERY": ["delivery.>"]}
_DAY: Final = 86_400
_PULL_SECONDS: Final = 30
_ERROR_LOG_SECONDS: Final = 10
_LOOK_SECONDS: Final = 1.0  # how soon a lost connection or a pull that ran out is noticed when nothing arrives


async def connect(settings: ServiceSettings, name: str, client: Client | None = None) -> Client:
    """Connect to NATS and keep connecting for ever; while it is away, publishing raises and consumers wait.

    Who can work before the bus is there gives a `client` of its own and lets this run in the background.
    """
    client = client or Client()
    said = -_DAY * 1.0

    async def on_error(error: Exception) -> None:
        # while the bus is away this comes three times a second
        nonlocal said
        now = asyncio.get_running_loop().time()
        if now - said >= _ERROR_LOG_SECONDS:
            said = now
            _log.warning("bus error", error_type=type(error).__qualname__)

    await client.connect(
        servers=settings.nats_url.split(","), name=f"petitbleu-{name}", user=settings.nats_user or None,
        password=settings.nats_password or None, max_reconnect_attempts=-1,
        reconnect_time_wait=0.3,  # type: ignore[arg-type]  # slept, so a fraction is as good
        allow_reconnect=True, error_cb=on_error, connect_timeout=5, ping_interval=20, pending_size=8 << 20,
        flush_timeout=5,
    )  # fmt: skip
    return client


async def ensure_stream(client: Client, name: str, replicas: int = 1) -> str:
    """Make a stream when it is missing; return its creation time, which changes when the bus was wiped."""
    stream = client.jetstream()
    try:
        info = await stream.stream_info(name)
    except NotFoundError:
        config = StreamConfig(
            name=name, subjects=STREAMS[name], retention=RetentionPolicy.LIMITS, storage=StorageType.FILE,
            max_age=2 * _DAY, max_bytes=1 << 30, num_replicas=replicas, duplicate_window=1,
        )  # fmt: skip
        info = await stream.add_stream(config)
        _log.info("stream made", stream=name)
    return str(info.created)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a handler sees it."""

    subject: str
    data: bytes
    tries: int


Handler = Callable[[Sequence[Event]], Awaitable[None]]


class Consumer:
    """A durable pull consumer that hands over whatever is ready, as one list.

    A standing pull keeps events coming while a list is being handled. A handler that returns acknowledges its list; one that
    raises has the list delivered again after a pause that grows. Wiped streams and consumers are made again.

    Args:
        client: The connection.
        stream: Name of the stream.
        durable: Name of the consumer: the service.
        handler: Takes a list of events; idempotent.
        subjects: Subjects wanted of the stream, all when empty.
        max_events: Most events in one list.
        ack_seconds: After this long without a sign of life, the bus delivers an event again: so long the mail of a killed
            process waits. While a list is handled, a sign of life goes out three times as often.
    """

    def __init__(
        self, client: Client, stream: str, durable: str, handler: Handler, *, subjects: Sequence[str] = (),
        max_events: int = 256, ack_seconds: int = 10,
    ) -> None:  # fmt: skip
        self._client = client
        self._stream = stream
        self._durable = durable
        self._handler = handler
        self._subjects = list(subjects)
        self._max_events = max_events
        self._ack_seconds = ack_seconds
        self._queue: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._credit = 0
        self._pull_expires = 0.0
        self._broken = True
        self._connection = -1
        self._draining = False
        self._ended = asyncio.Event()
        self._gauge = _waiting.labels(stream=stream)
        self._done = _handled.labels(stream=stream, outcome="done")

    async def _ensure(self) -> None:
        stream = self._client.jetstream()
        await ensure_stream(self._client, self._stream)
        config = ConsumerConfig(
            durable_name=self._durable, ack_wait=self._ack_seconds, max_ack_pending=self._max_events * 4,
            filter_subjects=self._subjects or None, max_deliver=-1,
        )  # fmt: skip
        await stream.add_consumer(self._stream, config)

    async def _on_message(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None and message.reply:
            self._queue.append(message)
            self._credit -= 1
            self._arrived.set()
        elif status in {"404", "408"}:
            self._credit = 0  # the pull ran out: ask again
            self._arrived.set()
        elif status in {"409", "503"}:
            self._credit = 0
            self._broken = True  # consumer or stream gone, or nobody leads it
            self._arrived.set()

    async def _pull(self, inbox: str) -> None:
        now = asyncio.get_running_loop().time()
        if now > self._pull_expires:
            self._credit = 0
        if self._credit > self._max_events // 2:
            return
        want = self._max_events - self._credit
        request = {"batch": want, "expires": _PULL_SECONDS * 1_000_000_000}
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}", json.dumps(request).encode(), reply=inbox
        )
        self._credit += want
        self._pull_expires = now + _PULL_SECONDS + 2

    async def run(self) -> None:
        """Consume until cancelled or drained."""
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._on_message)
        try:
            while not self._draining:
                try:
                    if not self._client.is_connected:
                        self._broken = True
                        await asyncio.sleep(0.2)
                        continue
                    if self._connection != self._client.stats["reconnects"]:
                        self._connection = self._client.stats["reconnects"]
                        self._broken = True  # what was asked of the connection before is forgotten with it
                    if self._broken:
                        await self._ensure()
                        self._broken = False
                        self._credit = 0
                    await self._pull(inbox)
                except (NatsError, OSError, TimeoutError) as error:
                    _log.warning("bus not ready", stream=self._stream, error_type=type(error).__qualname__)
                    await asyncio.sleep(0.5)
                    continue
                if not self._queue:
                    self._arrived.clear()
                    look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._arrived.set)
                    try:
                        await self._arrived.wait()
                    finally:
                        look.cancel()
                    continue
                await self._handle()
        finally:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
            with contextlib.suppress(NatsError, OSError):
                while self._queue:  # whoever comes next gets them at once instead of after `ack_seconds`
                    await self._client.publish(self._queue.popleft().reply, b"-NAK")
                await self._client.flush(1)
            self._ended.set()

    async def _beat(self, batch: Sequence[Msg]) -> None:
        while True:
            with contextlib.suppress(NatsError, OSError):
                for message in (*batch, *self._queue):
                    await self._client.publish(message.reply, b"+WPI")
            await asyncio.sleep(self._ack_seconds / 3)

    async def drain(self) -> None:
        """Take no more, let the list in hand be answered, give the others back, and end `run`."""
        self._draining = True
        self._arrived.set()
        await self._ended.wait()

    async def _handle(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_events))]
        self._gauge.set(len(batch) + len(self._queue))
        events = []
        for message in batch:
            # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, two more tokens with a domain
            tokens = message.reply.split(".")
            tries = int(tokens[4] if len(tokens) == 9 else tokens[6])
            events.append(Event(message.subject, message.data, tries))
        beating: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        # Nearly every list is done long before, so no task is made for it.
        long_after = loop.call_later(self._ack_seconds / 3, lambda: beating.append(loop.create_task(self._beat(batch))))
        try:
            await self._handler(events)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 — whatever happened, the events come again
            _log.warning("events will come again", stream=self._stream, count=len(batch), exc_info=True)
            _handled.labels(stream=self._stream, outcome="again").inc(len(batch))
            pause = min(0.2 * 2 ** max(0, min(event.tries for event in events) - 1), 30.0)
            answer = b'-NAK {"delay":%d}' % int(pause * 1_000_000_000)
        else:
            self._done.inc(len(batch))
            answer = b"+ACK"
        finally:
            long_after.cancel()
            for beat in beating:
                beat.cancel()
        self._gauge.set(len(self._queue))
        with contextlib.suppress(NatsError, OSError):
            for message in batch:
                await self._client.publish(message.reply, answer)


async def publish_all(client: Client, events: Sequence[tuple[str, bytes]], timeout: float = 5) -> list[bool]:  # noqa: ASYNC109
    """Publish events at once and say for each whether the stream has stored it.

    Args:
        client: The connection.
        events: (subject, payload) pairs.
        timeout: Seconds for the whole round.
    """
    stream = client.jetstream()

    async def one(subject: str, payload: bytes) -> bool:
        await stream.publish(subject, payload, timeout=timeout)
        return True

    results = await asyncio.gather(*(one(*event) for event in events), return_exceptions=True)
    return [result is True for result in results]
