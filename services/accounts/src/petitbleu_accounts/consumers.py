"""News of other replicas: what they changed, this process must forget.

Every process must hear every event, so this is a plain subscription to the subjects, not the shared durable consumer;
what it may have missed while the bus was away it makes up for by forgetting everything.
"""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from petitbleu.events.v1 import events_pb2
from petitbleu_accounts.service.memory import CredentialMemory
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
_SUBJECTS: Final = "accounts.directory.changed.v1.*"
_CHECK_SECONDS: Final = 1.0


class DirectoryNews:
    """Keeps the memory of credentials true to the directory."""

    def __init__(self, client: Client, memory: CredentialMemory) -> None:
        self._client = client
        self._memory = memory

    async def on_message(self, message: Msg) -> None:
        """Forget the accounts of one event."""
        try:
            event = events_pb2.DirectoryChanged.FromString(message.data)
        except DecodeError:
            _log.warning("event that does not parse")
            self._memory.forget_all()
            return
        self._memory.forget(event.account_ids)

    async def run(self) -> None:
        """Listen until cancelled; while the bus is away nothing is remembered for long."""
        subscription = await self._client.subscribe(_SUBJECTS, cb=self.on_message)
        reconnects = self._client.stats["reconnects"]
        try:
            while True:
                await asyncio.sleep(_CHECK_SECONDS)
                now = self._client.stats["reconnects"]
                if now != reconnects or not self._client.is_connected:
                    reconnects = now
                    self._memory.forget_all()
        finally:
            try:
                await subscription.unsubscribe()
            except NatsError as error:
                _log.debug("not unsubscribed", error_type=type(error).__qualname__)
