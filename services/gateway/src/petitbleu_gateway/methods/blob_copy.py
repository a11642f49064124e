"""Blob/copy (RFC 8620 §6.3): octets of one account for use in another, without a way through the client."""

from __future__ import annotations

from typing import Any

import grpc

from petitbleu_gateway.domain.stream_decoding import decoder_for
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import find_blob, read_blob
from petitbleu_gateway.ports import Identity


class BlobCopy(AccountArguments, kw_only=True):
    """Arguments of Blob/copy (RFC 8620 §6.3)."""

    from_account_id: str
    blob_ids: list[str]


async def blob_copy(context: Context, arguments: BlobCopy) -> dict[str, Any]:
    """RFC 8620 §6.3."""
    source = context.account(arguments.from_account_id)
    if source is None:
        raise MethodError(Fault.FROM_ACCOUNT_NOT_FOUND)
    if len(arguments.blob_ids) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    if arguments.from_account_id == arguments.account_id:  # RFC 8620 §6.3: between two different accounts
        raise MethodError(Fault.INVALID_ARGUMENTS, "fromAccountId and accountId are the same")
    copied: dict[str, str] = {}
    refused: dict[str, Any] = {}
    for text in dict.fromkeys(arguments.blob_ids):
        try:
            copied[text] = await _copy(context, source, context.resolve_id(text))
        except SetError as error:
            refused[text] = error.as_object()
    return {
        "fromAccountId": arguments.from_account_id,
        "accountId": arguments.account_id,
        "copied": copied or None,
        "notCopied": refused or None,
    }


async def _copy(context: Context, source: Identity, text: str) -> str:
    try:
        blob = await find_blob(context.store, source, text, context.hold)
        if blob is None:
            raise SetError(SetFault.NOT_FOUND)
        if blob.size > context.limits.blob_set_octets:
            raise SetError(SetFault.TOO_LARGE, maxSize=context.limits.blob_set_octets)
        octets = read_blob(context.store, source, blob, 0, blob.length)
        decode = decoder_for(blob.encoding)
        kept = await context.store.upload(context.who, octets if decode is None else decode(octets))
    except MethodError:
        raise SetError(SetFault.RATE_LIMIT, "too much is read by one request") from None
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        raise SetError(SetFault.NOT_FOUND) from None
    return ids.upload_blob_id(kept.upload_id)
