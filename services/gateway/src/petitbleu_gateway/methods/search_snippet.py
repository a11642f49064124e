"""SearchSnippet/get (RFC 8621 §5.1): what a filter finds in messages, marked, as safe HTML."""

from __future__ import annotations

from typing import Any, Final

import grpc

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.filters import store_filter
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context

_MOST: Final = 500
"""Messages that store shows at once."""


class SearchSnippetGet(AccountArguments, kw_only=True):
    """Arguments of SearchSnippet/get."""

    email_ids: list[str]
    filter: dict[str, Any] | None = None


async def search_snippet_get(context: Context, arguments: SearchSnippetGet) -> dict[str, Any]:
    """RFC 8621 §5.1."""
    wanted = list(dict.fromkeys(map(context.resolve_id, arguments.email_ids)))
    if len(wanted) > min(_MOST, context.limits.objects_in_get):
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    request = pb.GetSnippetsRequest(
        message_ids=[number for text in wanted if (number := ids.message_number(text)) is not None]
    )
    if arguments.filter is not None:
        request.filter.CopyFrom(store_filter(arguments.filter, context.resolve_id))
    try:
        answer = await context.store.snippets(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # all else was looked at here
            raise MethodError(Fault.UNSUPPORTED_FILTER) from None
        raise
    found = {f"M{one.message_id}": one for one in answer.snippets}
    shown = [
        {
            "emailId": text,
            # RFC 8621 §5: null where nothing is found
            "subject": found[text].subject if found[text].HasField("subject") else None,
            "preview": found[text].preview if found[text].HasField("preview") else None,
        }
        for text in wanted
        if text in found
    ]
    # RFC 8621 §5.1: null when all were found
    missing = [text for text in wanted if text not in found] or None
    return {"accountId": arguments.account_id, "list": shown, "notFound": missing}
