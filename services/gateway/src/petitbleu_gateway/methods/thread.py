"""Thread/get (RFC 8621 §3.1)."""

from __future__ import annotations

from typing import Any

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class ThreadGet(AccountArguments, kw_only=True):
    """Arguments of Thread/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


async def thread_get(context: Context, arguments: ThreadGet) -> dict[str, Any]:
    """RFC 8621 §3.1."""
    if any(name not in {"id", "emailIds"} for name in arguments.properties or ()):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is None:
        wanted, state = await _all(context)
    else:
        wanted, state = list(dict.fromkeys(arguments.ids)), None
    if len(wanted) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    numbers = [number for text in wanted if (number := ids.thread_number(text)) is not None]
    answer = await context.store.threads(context.who, numbers)
    found = {f"T{thread.thread_id}": thread for thread in answer.threads}
    emails = arguments.properties is None or "emailIds" in arguments.properties
    shown: list[dict[str, Any]] = []
    for text in wanted:
        if text in found:
            shown.append({"id": text})
            if emails:
                shown[-1]["emailIds"] = [f"M{number}" for number in found[text].message_ids]
    return {
        "accountId": arguments.account_id,
        # of the moment when all were named: what came later is told by /changes
        "state": ids.state_text(answer.modseq if state is None else state),
        "list": shown,
        "notFound": [text for text in wanted if text not in found] if arguments.ids is not None else [],
    }


async def _all(context: Context) -> tuple[list[str], int]:
    """Return all threads, if they are few enough (RFC 8620 §5.1), and the modseq at which these were all."""
    limit = context.limits.objects_in_get
    request = pb.QueryMessagesRequest(limit=min(limit + 1, 1000), collapse_threads=True, calculate_total=True)
    first = await context.store.query(context.who, request)
    if first.total > limit:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    rows = await context.store.messages(context.who, list(first.message_ids), without_meta=True)
    return list(dict.fromkeys(f"T{row.thread_id}" for row in rows.messages)), first.modseq
