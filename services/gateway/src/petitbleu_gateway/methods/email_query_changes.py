"""Email/queryChanges (RFC 8620 §5.6, RFC 8621 §4.5)."""

from __future__ import annotations

from typing import Any

import grpc

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.email_sorts import store_sort
from petitbleu_gateway.domain.filters import UnsignedInt, store_filter
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.email_query import EmailListArguments, check_refusal


class EmailQueryChanges(EmailListArguments, kw_only=True):
    """Arguments of Email/queryChanges."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: str | None = None


async def email_query_changes(context: Context, arguments: EmailQueryChanges) -> dict[str, Any]:
    """RFC 8621 §4.5."""
    request = pb.QueryMessageChangesRequest(
        sort=store_sort(arguments.sort),
        collapse_threads=arguments.collapse_threads,
        max_changes=arguments.max_changes,
        calculate_total=arguments.calculate_total,
    )
    if arguments.filter is not None:
        request.filter.CopyFrom(store_filter(arguments.filter, context.resolve_id))
    since = ids.state_number(arguments.since_query_state)
    if since is None:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    request.since_modseq = since
    if arguments.up_to_id is not None:
        # RFC 8620 §5.6: one that is not in the results leaves nothing out
        request.up_to = ids.message_number(context.resolve_id(arguments.up_to_id)) or 0
    try:
        answer = await context.store.query_changes(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            raise MethodError(Fault.CANNOT_CALCULATE_CHANGES) from None
        raise
    check_refusal(answer.refusal)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "oldQueryState": arguments.since_query_state,
        "newQueryState": ids.state_text(answer.modseq),
        "removed": [f"M{number}" for number in answer.removed],
        "added": [{"id": f"M{one.message_id}", "index": one.index} for one in answer.added],
    }
    if arguments.calculate_total:
        result["total"] = answer.total
    return result
