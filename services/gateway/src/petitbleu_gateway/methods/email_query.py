"""Email/query (RFC 8621 §4.4)."""

from __future__ import annotations

from typing import Any, Final

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.email_sorts import store_sort
from petitbleu_gateway.domain.filters import Int, UnsignedInt, store_filter
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context

_REFUSALS: Final = {
    pb.QUERY_REFUSAL_FILTER: Fault.UNSUPPORTED_FILTER,
    pb.QUERY_REFUSAL_SORT: Fault.UNSUPPORTED_SORT,
    pb.QUERY_REFUSAL_TOO_MANY_CHANGES: Fault.TOO_MANY_CHANGES,
}


class EmailListArguments(AccountArguments, kw_only=True):
    """What a list of Emails is of, and its order (RFC 8621 §4.4, §4.5)."""

    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    calculate_total: bool = False
    collapse_threads: bool = False


class EmailQuery(EmailListArguments, kw_only=True):
    """Arguments of Email/query (RFC 8620 §5.5, RFC 8621 §4.4)."""

    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None


def check_refusal(refusal: pb.QueryRefusal.ValueType) -> None:
    """Raise the method error that says why a list is not answered (RFC 8620 §5.5, §5.6), when it is not."""
    if refusal:
        raise MethodError(_REFUSALS[refusal])


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
        request.filter.CopyFrom(store_filter(arguments.filter, context.resolve_id))
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
    check_refusal(answer.refusal)
    context.ahead = answer if context.read_ahead else None
    if answer.anchor_not_found:
        raise MethodError(Fault.ANCHOR_NOT_FOUND)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "queryState": ids.state_text(answer.modseq),
        "canCalculateChanges": answer.can_calculate_changes,
        "position": answer.position,
        "ids": [f"M{number}" for number in answer.message_ids],
    }
    if arguments.calculate_total:
        result["total"] = answer.total
    if arguments.limit != limit:
        result["limit"] = limit  # RFC 8620 §5.5: only when the server set it
    return result
