"""A range of a blob's content, reading no more of it than is needed."""

from __future__ import annotations

import grpc

from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.blobs import Blob, blob_content, read_blob
from petitbleu_mail.transfer import IDENTITY


async def blob_range(context: Context, blob: Blob, start: int, length: int) -> bytes | None:
    """Return octets of a blob's content; fewer where it ends, None when it went meanwhile.

    Raises:
        MethodError: `requestTooLarge` when the request reads too much.
    """
    length = max(0, min(length, blob.size - start))
    if length == 0:
        return b""
    if blob.content is not None:
        return blob.content[start : start + length]
    if blob.encoding is None or blob.encoding in IDENTITY:
        context.hold(length)
        try:
            return b"".join([piece async for piece in read_blob(context.store, context.who, blob, start, length)])
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise
    content = await blob_content(context.store, context.who, blob, context.hold)
    return None if content is None else content[start : start + length]
