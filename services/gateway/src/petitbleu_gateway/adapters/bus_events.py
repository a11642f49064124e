"""What the directory says changed and what mail came or changed: every gateway hears it, and forgets or tells.

Plain subscriptions, not durable consumers: each process must hear each event, and one that was not there to hear it knows
nothing that could be stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from petitbleu.events.v1 import events_pb2
from petitbleu_gateway.domain.state_changes import AccountState
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_gateway.service.push import PushHub
from petitbleu_gateway.service.push_sender import PushSender
from petitbleu_gateway.service.push_upkeep import PushUpkeep
from petitbleu_kit import bus
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_DIRECTORY = "accounts.directory.changed.v1.*"
_FILED = "mail.message.filed.v1.*"
_CHANGED = "mail.account.changed.v1.*"
_IDENTITY = "accounts.identity.changed.v1.*"
_SUBMISSION = "delivery.submission.changed.v1.*"
_RULES = "delivery.rules.changed.v1.*"
_FAMILY = "junior.family.changed.v1.*"
_SUBSCRIBED = "accounts.push.changed.v1.*"
_SHARES = "mail.share.changed.v1.*"


Handler = Callable[[Msg], Awaitable[None]]


Heard = Sequence[tuple[int, AccountState]]


def _filed(data: bytes) -> Heard:
    event = events_pb2.MessageFiled.FromString(data)
    return [(event.account_id, AccountState(event.modseq, max(event.message_ids, default=0)))]


def _changed(data: bytes) -> Heard:
    event = events_pb2.AccountChanged.FromString(data)
    return [(event.account_id, AccountState(event.modseq, event.last_id))]


def _identity(data: bytes) -> Heard:
    event = events_pb2.IdentityChanged.FromString(data)
    return [(event.account_id, AccountState(0, 0, event.modseq))]


def _submission(data: bytes) -> Heard:
    event = events_pb2.SubmissionChanged.FromString(data)
    return [(event.account_id, AccountState(0, 0, submissions=event.modseq))]


def _rules(data: bytes) -> Heard:
    event = events_pb2.RulesChanged.FromString(data)
    return [(event.account_id, AccountState(0, 0, scripts=event.modseq, vacation=event.vacation_modseq))]


def _family(data: bytes) -> Heard:
    event = events_pb2.FamilyChanged.FromString(data)
    return [(account_id, AccountState(0, 0, family=event.at_us)) for account_id in event.account_ids]


def _pushed(push: PushHub, sender: PushSender | None, upkeep: PushUpkeep) -> list[tuple[str, Handler]]:
    """Return what listens for changes of which people are told, by subject; while nobody is, nothing is read."""

    def listener(read: Callable[[bytes], Heard]) -> Handler:
        async def heard(message: Msg) -> None:
            if not push.streams and (sender is None or not sender.accounts):
                return
            for account_id, state in read(message.data):
                push.heard(account_id, state)
                if sender is not None:
                    sender.heard(account_id)

        return heard

    async def subscribed(message: Msg) -> None:
        if sender is not None:
            sender.subscribed(events_pb2.PushSubscriptionsChanged.FromString(message.data).account_id)

    async def shares(message: Msg) -> None:
        upkeep.shares_changed(events_pb2.AccountChanged.FromString(message.data).account_id)

    readers = (
        (_FILED, _filed), (_CHANGED, _changed), (_IDENTITY, _identity), (_SUBMISSION, _submission), (_RULES, _rules),
        (_FAMILY, _family),
    )  # fmt: skip
    return [*((subject, listener(read)) for subject, read in readers), (_SUBSCRIBED, subscribed), (_SHARES, shares)]


class BusEvents:
    """Listens for as long as the process runs.

    Attributes:
        connections: How often the bus was connected so far, and heard what we subscribe to; 0 while it is away.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._count = 0
        self.connections = 0

    @property
    def heard(self) -> bool:
        """Whether events reach us now."""
        return self._client is not None and self._client.is_connected

    async def run(
        self, authentication: Authentication, push: PushHub, sender: PushSender | None, upkeep: PushUpkeep
    ) -> None:
        """Listen until cancelled; the bus may come late, go away and come back."""

        async def directory(message: Msg) -> None:
            try:
                event = events_pb2.DirectoryChanged.FromString(message.data)
            except ValueError:
                authentication.forget_all()
                return
            authentication.forget_accounts(event.account_ids)

        while self._client is None:
            try:
                client = await bus.connect(self._settings, "gateway")
                for subject, handler in ((_DIRECTORY, directory), *_pushed(push, sender, upkeep)):
                    await client.subscribe(subject, cb=handler)
                self._client = client
            except (NatsError, OSError, TimeoutError):
                await asyncio.sleep(1.0)
        try:
            await self._watch(self._client, authentication)
        finally:
            await self._client.close()

    async def _watch(self, client: Client, authentication: Authentication) -> None:
        """Notice when the bus goes and comes, and count it once it has our subscriptions."""
        reconnects = 0
        while True:
            if not client.is_connected:
                self.connections = 0
            elif not self.connections or client.stats["reconnects"] != reconnects:
                self.connections = 0
                reconnects = client.stats["reconnects"]
                if await self._flushed(client):
                    self._count += 1
                    self.connections = self._count
                    if self._count > 1:
                        authentication.forget_all()  # what was said meanwhile was not heard
                        _log.info("bus is back")
            await asyncio.sleep(0.5)

    @staticmethod
    async def _flushed(client: Client) -> bool:
        try:
            await client.flush(5)
        except (NatsError, OSError, TimeoutError):
            return False
        return True
