"""Email/query (RFC 8621 §4.4)."""

from __future__ import annotations

from typing import Any

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.filters import Int, UnsignedInt, store_filter, store_sort
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class EmailQuery(AccountArguments, kw_only=True):
    """Arguments of Email/query (RFC 8620 §5.5)."""

    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None
    calculate_total: bool = False
    collapse_threads: bool = False


async def email_query(context: Context, arguments: EmailQuery) -> dict[str, Any]:
    """RFC 8621 §4.4."""
    limit = context.limits.query if arguments.limit is None else min(arguments.limit, context.limits.query)
    request = pb.QueryMessagesRequest(
        sort=store_sort(arguments.sort),
        limit=limit,
        collapse_threads=arguments.collapse_threads,  # RFC 8621 §4.4.3
        calculate_total=arguments.calculate_total,
        with_messages=context.read_ahead,
    )
    if arguments.filter is not None:
        request.filter.CopyFrom(store_filter(arguments.filter))
    if arguments.anchor is None:
        request.position = arguments.position
    else:
        # RFC 8620 §5.5: position is ignored with an anchor
        anchor = ids.message_number(context.resolve_id(arguments.anchor))
        if anchor is None:
            raise MethodError(Fault.ANCHOR_NOT_FOUND)
        request.anchor = anchor
        request.anchor_offset = arguments.anchor_offset
    answer = await context.store.query(context.who, request)
    context.ahead = answer if context.read_ahead else None
    if answer.anchor_not_found:
        raise MethodError(Fault.ANCHOR_NOT_FOUND)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "queryState": ids.state_text(answer.modseq),
        "canCalculateChanges": False,
        "position": answer.position,
        "ids": [f"M{number}" for number in answer.message_ids],
    }
    if arguments.calculate_total:
        result["total"] = answer.total
    if arguments.limit != limit:
        result["limit"] = limit  # RFC 8620 §5.5: only when the server set it
    return result
