"""A whole message put in the account: what Email/set, Email/import and Email/copy have in common (RFC 8621 §4.6-§4.8)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import msgspec

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.filters import millis
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.blobs import THREAD_OCTETS

_UTC_DATE_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class Filed:
    """Where a message goes: mailboxes, keywords in lower case, and Unix milliseconds of its arrival."""

    mailboxes: list[int]
    keywords: list[str]
    received_ms: int


@dataclass(slots=True)
class Making:
    """What a call has made so far: the modseqs around it, and what became of each creation."""

    created: dict[str, Any]
    not_created: dict[str, Any]
    old: int | None = None
    new: int | None = None
    mixed: bool = False

    def moved(self, old: int, new: int) -> None:
        """Note the modseqs around a commit."""
        self.old = old if self.old is None else self.old
        self.mixed |= self.new is not None and old != self.new
        self.new = new

    async def states(self, context: Context) -> dict[str, str | None]:
        """Return `oldState` and `newState`."""
        if self.old is None or self.new is None:
            now = (await context.store.state(context.who)).modseq
            self.moved(now, now)
        return {"oldState": old_state(self.old, mixed=self.mixed), "newState": ids.state_text(self.new or 0)}


def old_state(old: int | None, *, mixed: bool) -> str | None:
    """Return `oldState`; None when others changed the account between the call's commits, which a client must hear of."""
    return None if mixed else ids.state_text(old or 0)  # RFC 8620 §5.3


async def store_message(
    context: Context, body: bytes, filed: Filed, key: bytes, if_modseq: int = 0
) -> pb.ImportMessageResponse:
    """Store a message under an idempotency key.

    Raises:
        SetError: as store refused it, or `alreadyExists` when there is one under this key (RFC 8621 §4.8).
        MethodError: `stateMismatch`, when a modseq is asked for and is not the account's.
    """
    request = pb.ImportMessageRequest(
        body=body, mailbox_ids=filed.mailboxes, keywords=filed.keywords, received_at_ms=filed.received_ms,
        idempotency_key=key, if_modseq=if_modseq,
    )  # fmt: skip
    try:
        made = await context.store.import_message(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE}:
            raise SetError(SetFault.TOO_LARGE) from None
        if if_modseq and error.code() == grpc.StatusCode.ABORTED:
            raise MethodError(Fault.STATE_MISMATCH) from None
        raise
    if made.over_quota:
        raise SetError(SetFault.OVER_QUOTA)
    if made.status != pb.UPDATE_STATUS_OK:
        raise refusal(made.status)
    if made.existed:
        raise SetError(SetFault.ALREADY_EXISTS, existingId=f"M{made.message.message_id}")
    return made


async def content_key(body: bytes) -> bytes:
    """Return the idempotency key of a message that may stand once only in an account: that of its octets."""

    def digest() -> bytes:
        return hashlib.sha256(b"whole message\0" + body).digest()

    return await asyncio.to_thread(digest) if len(body) > THREAD_OCTETS else digest()


def created_object(made: pb.ImportMessageResponse, size: int) -> dict[str, Any]:
    """Return what a client is told of a message that was made (RFC 8621 §4.6)."""
    number = made.message.message_id
    return {
        "id": f"M{number}",
        "blobId": ids.blob_id(number),
        "threadId": f"T{made.message.thread_id}",
        "size": made.message.size or size,
    }


def received_at(value: Any) -> int:
    """Return Unix milliseconds of a `receivedAt` property; without one, of now.

    Raises:
        SetError: `invalidProperties` when it is no UTCDate (RFC 8620 §1.4).
    """
    if value is None:
        return int(time.time() * 1000)
    try:
        date = msgspec.convert(value, str)
        if len(date) > _UTC_DATE_LENGTH or not date.endswith("Z") or date[10:11] != "T":
            raise invalid("receivedAt")
        found = millis(date)
    except (msgspec.ValidationError, MethodError, ValueError):
        raise invalid("receivedAt") from None
    if found <= 0:
        raise invalid("receivedAt")
    return found


def refusal(status: pb.UpdateStatus.ValueType) -> SetError:
    """Return the SetError that an outcome of store is."""
    if status == pb.UPDATE_STATUS_NOT_FOUND:
        return SetError(SetFault.NOT_FOUND)
    if status == pb.UPDATE_STATUS_INVALID_MAILBOX:
        return invalid("mailboxIds")
    if status == pb.UPDATE_STATUS_INVALID_KEYWORD:
        return SetError(SetFault.TOO_MANY_KEYWORDS)
    return SetError(SetFault.FORBIDDEN)


async def wanted_state(context: Context, text: str | None) -> int:
    """Return the modseq that `ifInState` asks for, 0 for none.

    Raises:
        MethodError: `stateMismatch` when the account is not in that state now (RFC 8620 §5.3).
    """
    if text is None:
        return 0
    wanted = ids.state_number(text)
    if wanted is None or (await context.store.state(context.who)).modseq != wanted:
        raise MethodError(Fault.STATE_MISMATCH)
    return wanted


def only(given: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse properties that may not be set."""
    wrong = [name for name in given if name not in allowed]
    if wrong:
        raise invalid(*wrong, why="may not be set")
