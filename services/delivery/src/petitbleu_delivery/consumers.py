"""What delivery hears on the bus: mail was accepted, the directory changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg

from petitbleu.events.v1 import events_pb2 as pb
from petitbleu_delivery.service.cache import RouteCache
from petitbleu_delivery.service.measures import BAD_EVENTS
from petitbleu_delivery.service.outbound.way_out import Submitters
from petitbleu_delivery.service.reputation import JUDGED_PREFIX, Reputations
from petitbleu_delivery.service.rounds import Rounds
from petitbleu_kit.bus import Event
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)

ACCEPTED: Final = "mail.message.accepted.>"
DIRECTORY_CHANGED: Final = "accounts.directory.changed.>"
_ID_OCTETS: Final = 16


class AcceptedMail:
    """Handles lists of `mail.message.accepted` events.

    Args:
        rounds: Delivers.
        gather_seconds: How long more mail is let come together after a list of several events.
        reputations: Hears what recipients say of mail.
    """

    def __init__(self, rounds: Rounds, gather_seconds: float = 0, reputations: Reputations | None = None) -> None:
        self._rounds = rounds
        self._reputations = reputations
        self._gather_seconds = gather_seconds

    async def handle(self, events: Sequence[Event]) -> None:
        """Deliver all that the events name, and hear what is said of mail; when it returns they may be acknowledged."""
        judged = [event for event in events if event.subject.startswith(JUDGED_PREFIX)]
        if judged:
            events = [event for event in events if not event.subject.startswith(JUDGED_PREFIX)]
        await self._deliver(events)
        if judged and self._reputations is not None:
            await self._reputations.hear(judged)

    async def _deliver(self, events: Sequence[Event]) -> None:
        accepted_ids: list[bytes] = []
        for event in events:
            try:
                found = pb.MessageAccepted.FromString(event.data)
            except DecodeError:
                # It will never be readable; what it spoke of is open in store, which offers it again.
                BAD_EVENTS.inc()
                _log.error("event cannot be read", subject=event.subject)
                continue
            accepted_ids += [known for known in found.accepted_ids if len(known) == _ID_OCTETS]
        await self._rounds.deliver(accepted_ids)
        if self._gather_seconds and len(events) > 1:
            # Several came while one round was made: the next ones do better together.
            await asyncio.sleep(self._gather_seconds)


class DirectoryNews:
    """Forgets what the directory changed. A plain subscription: each replica must hear each change.

    What is missed while the bus is away is made good by forgetting everything when it is back, and by the cache's 60 seconds.
    """

    def __init__(self, client: Client, cache: RouteCache, submitters: Submitters) -> None:
        self._client = client
        self._cache = cache
        self._submitters = submitters
        self._reconnects = 0

    async def start(self) -> None:
        """Listen."""
        self._reconnects = self._client.stats["reconnects"]
        await self._client.subscribe(DIRECTORY_CHANGED, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        try:
            changed = pb.DirectoryChanged.FromString(message.data)
        except DecodeError:
            BAD_EVENTS.inc()
            self._cache.clear()
            self._submitters.clear()
            return
        self._cache.forget(changed.account_ids, changed.domain_ids)
        self._submitters.forget(changed.account_ids)

    async def watch(self) -> None:
        """Forget everything when the bus was away; called every second."""
        reconnects = self._client.stats["reconnects"]
        if reconnects != self._reconnects or not self._client.is_connected:
            self._reconnects = reconnects
            self._cache.clear()
            self._submitters.clear()
