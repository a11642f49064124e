"""MDN/parse (RFC 9007 §2.2). There is no MDN/send before there is a way out for mail (ADR 16)."""

from __future__ import annotations

import asyncio
from typing import Any

from petitbleu_gateway.domain.mdn_view import parsed_mdn
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import THREAD_OCTETS, blob_content, find_blob


class MdnParse(AccountArguments, kw_only=True):
    """Arguments of MDN/parse (RFC 9007 §2.2)."""

    blob_ids: list[str]


async def mdn_parse(context: Context, arguments: MdnParse) -> dict[str, Any]:
    """RFC 9007 §2.2."""
    if len(arguments.blob_ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    parsed: dict[str, Any] = {}
    not_parsable: list[str] = []
    not_found: list[str] = []
    for text in dict.fromkeys(arguments.blob_ids):
        blob = await find_blob(context.store, context.who, context.resolve_id(text), context.hold)
        raw = None if blob is None else await blob_content(context.store, context.who, blob, context.hold)
        if raw is None:
            not_found.append(text)
            continue
        found = await asyncio.to_thread(parsed_mdn, raw) if len(raw) > THREAD_OCTETS else parsed_mdn(raw)
        if found is None:
            not_parsable.append(text)
        else:
            parsed[text] = found
            context.weigh(found)
    return {
        "accountId": arguments.account_id,
        "parsed": parsed or None,
        "notParsable": not_parsable or None,
        "notFound": not_found or None,
    }
