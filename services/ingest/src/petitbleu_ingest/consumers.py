"""What ingest hears: directory changes, so that remembered answers are forgotten.

A plain subscription, not a durable consumer: every worker must hear every event, and one missed costs at most the
life of an answer.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from petitbleu.events.v1 import events_pb2
from petitbleu_ingest.service.recipients import RecipientBook
from petitbleu_kit import bus
from petitbleu_kit.config import ServiceSettings
from petitbleu_kit.logs import get_logger

_log = get_logger(__name__)
SUBJECT = "accounts.directory.changed.v1.>"


def directory_changed(book: RecipientBook, data: bytes) -> None:
    """Forget what a `DirectoryChanged` concerns; what cannot be read makes it forget everything."""
    try:
        event = events_pb2.DirectoryChanged.FromString(data)
    except DecodeError:
        book.forget_all()
        return
    book.forget(event.account_ids, event.domain_ids)


async def listen(settings: ServiceSettings, book: RecipientBook) -> None:
    """Hear directory changes until cancelled; the bus may come late and may go away."""
    client: Client | None = None
    said = False
    while client is None:
        try:
            client = await bus.connect(settings, "ingest")
        except (NatsError, OSError, TimeoutError):
            if not said:
                _log.warning("waiting for the bus")
                said = True
            await asyncio.sleep(1)

    async def on_event(message: Msg) -> None:
        directory_changed(book, message.data)

    try:
        await client.subscribe(SUBJECT, cb=on_event)
        book.forget_all()
        _log.info("hears directory changes")
        reconnects = client.stats["reconnects"]
        while True:
            await asyncio.sleep(0.5)
            if client.stats["reconnects"] != reconnects:
                # events may have passed while it was away
                reconnects = client.stats["reconnects"]
                book.forget_all()
    finally:
        await client.close()
