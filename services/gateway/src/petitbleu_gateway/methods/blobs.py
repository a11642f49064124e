"""Blobs behind ids, found and read: whole messages and their parts, uploads, and parts of messages within any of these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import grpc

from petitbleu_gateway.domain.email_view import find_part
from petitbleu_gateway.domain.whole_email import header_of
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.ports import Identity, MailStore
from petitbleu_mail.mime import Part, part_content, scan
from petitbleu_mail.structure import decode_meta
from petitbleu_mail.tnef_message import attached_at, is_tnef
from petitbleu_mail.transfer import decode_transfer

_MESSAGES = frozenset({"message/rfc822", "message/global"})
THREAD_OCTETS = 256 << 10
"""Octets beyond which work on a blob is done in a thread, so that others get their turn."""
_PIECE = 256 << 10


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a blob lies: octets of a message as served or of an upload, and how they are encoded. `size` is that of the content.

    `content` is the content itself, where finding the blob took reading it. `is_message` says that it is a message that lies
    in another as it is, so that its parts are parts of that one, too.
    """

    message_id: int
    start: int
    length: int
    size: int
    encoding: str | None
    type: str | None
    upload_id: int = 0
    content: bytes | None = None
    is_message: bool = False


def parts_begin(blob_id: str, blob: Blob) -> str:
    """Return what the blob ids of the parts of a message in a blob begin with: as few levels of reading as can be."""
    return f"{blob_id}_" if blob.is_message else blob_id


Take = Callable[[int], None]
"""Told how many octets are about to be read in one piece; raises when they are too many."""


async def find_blob(store: MailStore, who: Identity, text: str, take: Take) -> Blob | None:
    """Return where a blob lies, or None when there is no such blob in the account."""
    name = ids.blob_name(text)
    if name is None:
        return None
    if name.content_id:
        blob = await _find_script(store, who, name.content_id)
    elif name.upload_id:
        blob = await _find_upload(store, who, name.upload_id)
    else:
        blob = await _find_message(store, who, name, take)
    for section in name.within:
        if blob is None:
            return None
        blob = await _find_within(store, who, blob, section, take)
    return blob


async def _find_upload(store: MailStore, who: Identity, upload_id: int) -> Blob | None:
    found = await store.uploads(who, [upload_id])
    return Blob(0, 0, found[0].size, found[0].size, None, None, upload_id) if found else None


async def _find_script(store: MailStore, who: Identity, content_id: int) -> Blob | None:
    if who.own_account_id:  # rules are nobody's but their owner's
        return None
    content = await store.scripts.content(who, content_id)
    return None if content is None else _held(content, "application/sieve")


async def _find_message(store: MailStore, who: Identity, name: ids.BlobName, take: Take) -> Blob | None:
    answer = await store.messages(who, [name.message_id], without_meta=name.part is None)
    if not answer.messages:
        return None
    row = answer.messages[0]
    if name.part is None:
        return Blob(row.message_id, 0, row.size, row.size, None, "message/rfc822")
    root = decode_meta(row.meta).root
    part = find_part(root, name.part)
    rest = ""
    if part is None:
        part, rest = _outer_message(root, name.part)
        if part is None:
            return None
    blob = Blob(
        row.message_id, row.prefix_octets + part.body_start, part.body_end - part.body_start, part.size, part.encoding,
        part.type, is_message=part.message is not None,
    )  # fmt: skip
    return await _find_within(store, who, blob, rest, take) if rest else blob


def _outer_message(root: Part, section: str) -> tuple[Part | None, str]:
    """Return the innermost message around a part that is too deep for the record, and the part's section in that."""
    at = len(section)
    while (at := section.rfind(".", 0, at)) > 0:
        part = find_part(root, section[:at])
        if part is not None:
            return (part if part.type in _MESSAGES else None), section[at + 1 :]
    return None, ""


async def _find_within(store: MailStore, who: Identity, blob: Blob, section: str, take: Take) -> Blob | None:
    """Return a part of the message that a blob holds (RFC 8621 §4.9: what was parsed names blobs too), or of a winmail.dat."""
    raw = await blob_content(store, who, blob, take)
    if raw is None:
        return None

    def cut() -> Blob | None:
        if is_tnef(raw):
            inner = attached_at(raw, int(section)) if section.isdecimal() else None
            return None if inner is None else _held(inner.data, inner.type)
        if header_of(raw) is None:
            return None
        return _cut(raw, section)

    # a small winmail.dat may still hold RTF that grows
    return await (asyncio.to_thread(cut) if len(raw) > THREAD_OCTETS or is_tnef(raw) else _at_once(cut))


def _cut(raw: bytes, section: str) -> Blob | None:
    """Return a part of a message, however deep."""
    while True:
        root = scan(raw)
        part = find_part(root, section)
        if part is not None:
            return _held(part_content(raw, part), part.type, is_message=part.message is not None)
        outer, section = _outer_message(root, section)
        if outer is None:
            return None
        raw = part_content(raw, outer)


def _held(content: bytes, kind: str, *, is_message: bool = False) -> Blob:
    return Blob(0, 0, len(content), len(content), None, kind, 0, content, is_message)


async def _at_once(work: Callable[[], Blob | None]) -> Blob | None:
    return work()


async def read_blob(store: MailStore, who: Identity, blob: Blob, start: int, length: int) -> AsyncIterator[bytes]:
    """Stream raw octets of a blob."""
    if blob.content is not None:
        for at in range(start, start + length, _PIECE):
            yield blob.content[at : min(at + _PIECE, start + length)]
        return
    if length == 0:
        return
    if blob.upload_id:
        source = store.read_upload(who, blob.upload_id, blob.start + start, length)
    else:
        source = store.read(who, blob.message_id, blob.start + start, length)
    async for piece in source:
        yield piece


async def blob_content(store: MailStore, who: Identity, blob: Blob, take: Take) -> bytes | None:
    """Return the whole content of a blob, its encoding undone; None when it went meanwhile."""
    if blob.content is not None:
        return blob.content
    take(blob.length)
    try:
        raw = b"".join([piece async for piece in read_blob(store, who, blob, 0, blob.length)])
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise
    if blob.encoding is None or len(raw) <= THREAD_OCTETS:
        return decode_transfer(raw, blob.encoding)[0]
    return (await asyncio.to_thread(decode_transfer, raw, blob.encoding))[0]


async def draft_content(context: Context, uses: Mapping[str, int], text_octets: int) -> dict[str, bytes]:
    """Return the content of the blobs that a draft is made of.

    Args:
        context: The request.
        uses: How often each blob stands in the draft.
        text_octets: Octets of the texts that stand in it.

    Raises:
        SetError: `blobNotFound` naming those that do not exist, `tooLarge` (RFC 8621 §4.6).
    """
    try:
        return await _draft_content(context, uses, text_octets)
    except MethodError as error:
        if error.fault is not Fault.REQUEST_TOO_LARGE:
            raise
        raise SetError(SetFault.TOO_LARGE) from None


async def _draft_content(context: Context, uses: Mapping[str, int], text_octets: int) -> dict[str, bytes]:
    found = await asyncio.gather(
        *(find_blob(context.store, context.who, context.resolve_id(text), context.hold) for text in uses)
    )
    missing = [text for text, blob in zip(uses, found, strict=True) if blob is None]
    if missing:
        raise SetError(SetFault.BLOB_NOT_FOUND, notFound=missing)
    blobs = {text: blob for text, blob in zip(uses, found, strict=True) if blob is not None}
    written = text_octets + sum(blob.size * uses[text] for text, blob in blobs.items())
    if written > context.limits.draft_octets:
        raise SetError(SetFault.TOO_LARGE, maxSize=context.limits.draft_octets)
    # what is written beyond what is read below costs the same
    context.spend(written - sum(blob.size for blob in blobs.values()))
    contents: dict[str, bytes] = {}
    for text, blob in blobs.items():
        content = await blob_content(context.store, context.who, blob, context.hold)
        if content is None:
            raise SetError(SetFault.BLOB_NOT_FOUND, notFound=[text])
        contents[text] = content
    return contents
