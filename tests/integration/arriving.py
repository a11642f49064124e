"""Messages for tests of the store, and looking at what became of them."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

from petitbleu_kit.ids import BlobId
from petitbleu_store.bootstrap import Store
from petitbleu_store.domain.acceptance import Arriving
from petitbleu_store.domain.envelope import Envelope, Recipient
from petitbleu_store.domain.outcome import Outcome, Settlement

TENANT = 7
TRACE = b"Received: from a by b with ESMTP id 1; Sun, 22 Nov 2026 01:00:00 +0000\r\n"


def message(
    body: bytes = b"Subject: x\r\n\r\nhello\r\n",
    *,
    key: bytes | None = None,
    to: Sequence[str] = ("zoe@demo.test",),
    **more: Any,
) -> Arriving:
    envelope = Envelope("Bob@Example.org", "bob@example.org", False, tuple(Recipient(address) for address in to))
    return Arriving(key or os.urandom(32), envelope, tuple(TENANT for _ in to), TRACE, body, **more)


def text(octets: int, seed: int = 0) -> bytes:
    """Octets that compress like mail."""
    chooser = random.Random(seed)
    words = [chooser.randbytes(chooser.randrange(2, 9)).hex().encode() for _ in range(400)]
    line = bytearray()
    while len(line) < octets:
        line += chooser.choice(words) + (b"\r\n" if chooser.random() < 0.1 else b" ")
    return bytes(line[:octets])


async def accept(store: Store, *messages: Arriving) -> list[BlobId]:
    results = await store.acceptance.accept(messages)
    ids = [result.accepted_id for result in results]
    assert all(ids)
    return ids  # type: ignore[return-value]


async def body_of(store: Store, blob_id: BlobId, offset: int = 0, length: int | None = None) -> bytes:
    """The body as the database and S3 have it, not as memory remembers it."""
    key = (await store.core.intake.load(store.core.cold, [blob_id]))[blob_id].key
    pieces = [piece async for piece in store.core.bodies.stream(blob_id, key, offset, length, recent=False)]
    return b"".join(pieces)


async def settle(
    store: Store, blob_id: BlobId, outcome: Outcome, *accounts: int, number: int = 0, reason: str = ""
) -> None:
    async with store.core.cold.acquire() as connection, connection.transaction():
        await store.core.recipients.settle(connection, [Settlement(blob_id, number, outcome, accounts, reason)])


async def findings(store: Store, *, bodies: bool = True) -> list[str]:
    from petitbleu_store.service.verify import Verification

    return [
        result.finding
        async for result in Verification(store.core, store.mailboxes).run(bodies=bodies)
        if result.finding
    ]
