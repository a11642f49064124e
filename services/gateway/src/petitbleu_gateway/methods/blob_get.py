"""Blob/get (RFC 9404 §4.2): content, size and digests of blobs, or of a range of each."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any, Final

from petitbleu_gateway.domain.filters import UnsignedInt
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.ijson import without_noncharacters
from petitbleu_gateway.jmap.session import DIGESTS
from petitbleu_gateway.methods.blob_ranges import blob_range
from petitbleu_gateway.methods.blobs import THREAD_OCTETS, find_blob

_HASHES: Final = {"sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}
_DIGEST: Final = "digest:"
_DATA: Final = frozenset({"data", "data:asText", "data:asBase64"})
_KNOWN: Final = frozenset({"id", "size", *_DATA, *(_DIGEST + name for name in DIGESTS)})


class BlobGet(AccountArguments, kw_only=True):
    """Arguments of Blob/get (RFC 9404 §4.2)."""

    ids: list[str]
    properties: list[str] | None = None
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


async def blob_get(context: Context, arguments: BlobGet) -> dict[str, Any]:
    """RFC 9404 §4.2."""
    if len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = frozenset(("data", "size") if arguments.properties is None else arguments.properties)
    if not wanted <= _KNOWN:
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property of a blob")
    shown: list[dict[str, Any]] = []
    not_found: list[str] = []
    start = arguments.offset or 0
    for blob_id, text in {context.resolve_id(text): text for text in arguments.ids}.items():
        blob = await find_blob(context.store, context.who, blob_id, context.hold)
        octets: bytes | None = b""
        if blob is not None and not wanted <= {"id", "size"}:
            length = blob.size - start if arguments.length is None else arguments.length
            octets = await blob_range(context, blob, start, length)
        if blob is None or octets is None:
            not_found.append(text)
            continue
        work = len(octets) > THREAD_OCTETS
        found = await asyncio.to_thread(_show, octets, wanted) if work else _show(octets, wanted)
        found["id"] = blob_id
        if "size" in wanted:
            found["size"] = blob.size
        # RFC 9404 §4.2: the range begins or ends beyond the blob
        if start > blob.size or (arguments.length is not None and start + arguments.length > blob.size):
            found["isTruncated"] = True
        context.weigh(found)
        shown.append(found)
    return {"accountId": arguments.account_id, "list": shown, "notFound": not_found}


def _show(octets: bytes, wanted: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if wanted & {"data", "data:asText"}:
        text = _as_text(octets)
        if text is None:
            found["isEncodingProblem"] = True
        if "data:asText" in wanted or text is not None:
            found["data:asText"] = text
        if "data" in wanted and text is None:
            found["data:asBase64"] = _base64(octets)
    if "data:asBase64" in wanted:
        found["data:asBase64"] = _base64(octets)
    for name in wanted:
        if name.startswith(_DIGEST):
            found[name] = _base64(
                hashlib.new(_HASHES[name.removeprefix(_DIGEST)], octets, usedforsecurity=False).digest()
            )
    return found


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _as_text(octets: bytes) -> str | None:
    """Return octets as text that an answer can hold as it is: UTF-8 without what I-JSON leaves out (RFC 7493 §2.1)."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return None
    return text if without_noncharacters(octets) is octets else None
