"""Rows of mail that waits for a guardian. Nothing that serves a protocol imports this module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from petitbleu.events.v1.events_pb2 import MessageHeld
from petitbleu_kit.ids import BlobId
from petitbleu_kit.outbox import OutboxRow
from petitbleu_store.adapters.filing_rows import Connection
from petitbleu_store.adapters.postgres import Executor
from petitbleu_store.service.account_book import KnownAccount

_INSERT: Final = """/* hot:store.held_insert */ INSERT INTO held (partition, account_id, accepted_id, size, sealed)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bytea[])
ON CONFLICT (partition, account_id, accepted_id) DO NOTHING RETURNING accepted_id"""

_DELETE: Final = """/* hot:store.held_delete */ DELETE FROM held WHERE partition = $1 AND account_id = $2 AND accepted_id = ANY($3::uuid[])
RETURNING accepted_id"""

_READ: Final = """/* cold:store.held_read */ SELECT sealed FROM held WHERE partition = $1 AND account_id = $2 AND accepted_id = $3"""

_DECIDED: Final = """/* cold:store.held_decided */ SELECT EXISTS (SELECT 1 FROM origin
    WHERE partition = $1 AND account_id = $2 AND origin_id = $3)"""


class HeldContent(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a held message, sealed under the account's key: all that filing it later needs."""

    blob_key: bytes
    size: int
    recipients: list[int]
    mailbox_ids: list[int]
    flags: int
    keywords: list[str]
    prefix: bytes
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A message to hold for an account."""

    accepted_id: BlobId
    size: int
    sealed: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(HeldContent)


def hold_of(account: KnownAccount, accepted_id: BlobId, content: HeldContent) -> Hold:
    """Return a message to hold, sealed."""
    return Hold(accepted_id, content.size, account.cipher.seal(_encoder.encode(content), b"held" + accepted_id.bytes))


async def hold(connection: Connection, account: KnownAccount, holds: Sequence[Hold]) -> list[OutboxRow]:
    """Hold messages under the account's lock; return the events of those that were not held yet."""
    if not holds:
        return []
    rows = await connection.fetch(
        _INSERT, [account.partition] * len(holds), [account.account_id] * len(holds), [hold.accepted_id for hold in holds],
        [hold.size for hold in holds], [hold.sealed for hold in holds],
    )  # fmt: skip
    return [
        OutboxRow.make(
            account.partition,
            "mail.message.held",
            MessageHeld(account_id=account.account_id, accepted_id=row["accepted_id"].bytes).SerializeToString(),
        )
        for row in rows
    ]


async def forget(connection: Connection, account: KnownAccount, accepted_ids: Sequence[UUID]) -> int:
    """Delete held rows under the account's lock; return how many there were."""
    return len(await connection.fetch(_DELETE, account.partition, account.account_id, accepted_ids))


async def read(connection: Executor, account: KnownAccount, accepted_id: BlobId) -> HeldContent | None:
    """Return what is held, None when it is not."""
    sealed = await connection.fetchval(_READ, account.partition, account.account_id, accepted_id)
    if sealed is None:
        return None
    return _decoder.decode(account.cipher.open(sealed, b"held" + accepted_id.bytes))


async def was_decided(connection: Executor, account: KnownAccount, accepted_id: BlobId) -> bool:
    """Whether what is not held any more was filed or destroyed."""
    return bool(await connection.fetchval(_DECIDED, account.partition, account.account_id, accepted_id))
