"""Blobs behind ids: whole messages and their parts, found and read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import grpc

from petitbleu_gateway.domain.email_view import find_part
from petitbleu_gateway.errors import MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.ports import Identity, MailStore
from petitbleu_mail.structure import decode_meta
from petitbleu_mail.transfer import decode_transfer


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a blob lies: octets of a message as served, and how they are encoded. `size` is that of the content."""

    message_id: int
    start: int
    length: int
    size: int
    encoding: str | None
    type: str


async def find_blob(store: MailStore, who: Identity, text: str) -> Blob | None:
    """Return where a blob lies, or None when there is no such blob in the account."""
    name = ids.blob_name(text)
    if name is None:
        return None
    answer = await store.messages(who, [name.message_id], without_meta=name.part is None)
    if not answer.messages:
        return None
    row = answer.messages[0]
    if name.part is None:
        return Blob(row.message_id, 0, row.size, row.size, None, "message/rfc822")
    part = find_part(decode_meta(row.meta).root, name.part)
    if part is None:
        return None
    return Blob(
        row.message_id, row.prefix_octets + part.body_start, part.body_end - part.body_start, part.size, part.encoding,
        part.type,
    )  # fmt: skip


def read_blob(store: MailStore, who: Identity, blob: Blob, start: int, length: int) -> AsyncIterator[bytes]:
    """Stream raw octets of a blob."""
    return store.read(who, blob.message_id, blob.start + start, length)


async def draft_content(context: Context, uses: Mapping[str, int], text_octets: int) -> dict[str, bytes]:
    """Return the content of the blobs that a draft is made of.

    Args:
        context: The request.
        uses: How often each blob stands in the draft.
        text_octets: Octets of the texts that stand in it.

    Raises:
        SetError: `blobNotFound` naming those that do not exist, `tooLarge` (RFC 8621 §4.6).
    """
    found = await asyncio.gather(*(find_blob(context.store, context.who, text) for text in uses))
    missing = [text for text, blob in zip(uses, found, strict=True) if blob is None]
    if missing:
        raise SetError(SetFault.BLOB_NOT_FOUND, notFound=missing)
    blobs = {text: blob for text, blob in zip(uses, found, strict=True) if blob is not None}
    written = text_octets + sum(blob.size * uses[text] for text, blob in blobs.items())
    if written > context.limits.draft_octets:
        raise SetError(SetFault.TOO_LARGE, maxSize=context.limits.draft_octets)
    try:
        # what is written beyond what is read below costs the same
        context.spend(written - sum(blob.size for blob in blobs.values()))
    except MethodError:
        raise SetError(SetFault.TOO_LARGE) from None
    contents: dict[str, bytes] = {}
    for text, blob in blobs.items():
        try:
            context.spend(blob.length)
        except MethodError:
            raise SetError(SetFault.TOO_LARGE) from None
        try:
            raw = b""
            if blob.length:
                raw = b"".join([piece async for piece in read_blob(context.store, context.who, blob, 0, blob.length)])
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise SetError(SetFault.BLOB_NOT_FOUND, notFound=[text]) from None
            raise
        contents[text] = decode_transfer(raw, blob.encoding)[0]
    return contents
