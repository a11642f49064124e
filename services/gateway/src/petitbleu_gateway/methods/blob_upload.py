"""Blob/upload (RFC 9404 §4.1): blobs made of text, base64 and ranges of other blobs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import grpc
import msgspec

from petitbleu_gateway.domain.filters import UnsignedInt
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.session import MAX_DATA_SOURCES
from petitbleu_gateway.methods.blob_ranges import blob_range
from petitbleu_gateway.methods.blobs import find_blob

_TYPE: Final = r"^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:[ \t]*;[\x20-\x7e]{1,300})?\Z"


class DataSource(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A DataSourceObject (RFC 9404 §4.1): exactly one of text, base64 and a blob."""

    as_text: str | None = msgspec.field(name="data:asText", default=None)
    as_base64: str | None = msgspec.field(name="data:asBase64", default=None)
    blob_id: str | None = msgspec.field(name="blobId", default=None)
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


class UploadObject(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An UploadObject (RFC 9404 §4.1)."""

    data: list[DataSource]
    type: Annotated[str, msgspec.Meta(pattern=_TYPE)] | None = None


class BlobUpload(AccountArguments, kw_only=True):
    """Arguments of Blob/upload (RFC 9404 §4.1)."""

    create: dict[ids.IdText, dict[str, Any]]


async def blob_upload(context: Context, arguments: BlobUpload) -> dict[str, Any]:
    """RFC 9404 §4.1; a creation may use those before it."""
    if len(arguments.create) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    created: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    for creation_id, given in arguments.create.items():
        try:
            created[creation_id] = await _create(context, given)
            context.created_ids[creation_id] = created[creation_id]["id"]
        except SetError as error:
            refused[creation_id] = error.as_object()
        except grpc.aio.AioRpcError:
            if not created:
                raise
            raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
    return {"accountId": arguments.account_id, "created": created or None, "notCreated": refused or None}


async def _create(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    wrong = [name for name in given if name not in {"data", "type"}]
    if wrong:
        raise invalid(*wrong, why="may not be set")
    try:
        wanted = msgspec.convert(given, UploadObject)
    except msgspec.ValidationError as error:
        raise invalid("type" if "$.type" in str(error) else "data") from None
    if len(wanted.data) > MAX_DATA_SOURCES:
        raise invalid("data", why=f"more than {MAX_DATA_SOURCES} sources")
    limit = context.limits.blob_set_octets
    pieces: list[bytes] = []
    octets = 0
    for at, source in enumerate(wanted.data):
        piece = await _piece(context, source, f"data/{at}", limit - octets)
        octets += len(piece)
        if octets > limit:
            raise _too_large(limit)
        pieces.append(piece)

    async def all_of_them() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    kept = await context.store.upload(context.who, all_of_them())
    return {"id": ids.upload_blob_id(kept.upload_id), "type": wanted.type, "size": kept.size}


def _too_large(limit: int) -> SetError:
    return SetError(SetFault.TOO_LARGE, maxSize=limit)


async def _piece(context: Context, source: DataSource, path: str, room: int) -> bytes:
    sources = (source.as_text, source.as_base64, source.blob_id)
    if sum([one is not None for one in sources]) != 1:
        raise invalid("data", why=f"{path}: exactly one source")
    if source.blob_id is not None:
        return await _of_blob(context, source, path, room)
    if source.offset is not None or source.length is not None:
        raise invalid("data", why=f"{path}: a range is one of a blob")
    if source.as_text is not None:
        return source.as_text.encode()
    try:
        # RFC 4648 §3.3: letters of no alphabet are refused, not skipped
        return base64.b64decode((source.as_base64 or "").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise invalid("data", why=f"{path}: not base64") from None


async def _of_blob(context: Context, source: DataSource, path: str, room: int) -> bytes:
    text = source.blob_id or ""
    try:
        blob = await find_blob(context.store, context.who, context.resolve_id(text), context.hold)
        if blob is None:
            raise SetError(SetFault.BLOB_NOT_FOUND, notFound=[text])
        start = source.offset or 0
        length = blob.size - start if source.length is None else source.length
        if length < 0 or start + length > blob.size:
            # RFC 9404 §4.1: a range that is not all there is no source
            raise invalid("data", why=f"{path}: the range goes beyond the blob")
        if length > room:
            raise _too_large(context.limits.blob_set_octets)
        found = await blob_range(context, blob, start, length)
    except MethodError:
        raise SetError(SetFault.RATE_LIMIT, "too much is read by one request") from None
    if found is None or len(found) != length:
        raise SetError(SetFault.BLOB_NOT_FOUND, notFound=[text])
    return found
