"""What the directory says changed: every gateway hears it, and forgets.

A plain subscription, not a durable consumer: each process must hear each event, and one that was not there to hear it knows
nothing that could be stale.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from petitbleu.events.v1 import events_pb2
from petitbleu_gateway.service.authentication import Authentication
from petitbleu_kit import bus
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_SUBJECT = "accounts.directory.changed.v1.*"


class DirectoryEvents:
    """Listens for changes of the directory for as long as the process runs."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._client: Client | None = None

    @property
    def heard(self) -> bool:
        """Whether events reach us now."""
        return self._client is not None and self._client.is_connected

    async def run(self, authentication: Authentication) -> None:
        """Listen until cancelled; the bus may come late, go away and come back."""

        async def changed(message: Msg) -> None:
            try:
                event = events_pb2.DirectoryChanged.FromString(message.data)
            except ValueError:
                authentication.forget_all()
                return
            authentication.forget_accounts(event.account_ids)

        while self._client is None:
            try:
                client = await bus.connect(self._settings, "gateway")
                await client.subscribe(_SUBJECT, cb=changed)
                self._client = client
            except (NatsError, OSError, TimeoutError):
                await asyncio.sleep(1.0)
        connected = True
        try:
            while True:
                await asyncio.sleep(0.5)
                now = self._client.is_connected
                if now and not connected:
                    authentication.forget_all()  # what was said meanwhile was not heard
                    _log.info("bus is back")
                connected = now
        finally:
            await self._client.close()
