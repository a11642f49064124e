"""Thread/get (RFC 8621 §3.1)."""

from __future__ import annotations

from typing import Any

from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class ThreadGet(AccountArguments, kw_only=True):
    """Arguments of Thread/get; all threads at once are not given (RFC 8620 §5.1 allows that)."""

    ids: list[str] | None
    properties: list[str] | None = None


async def thread_get(context: Context, arguments: ThreadGet) -> dict[str, Any]:
    """RFC 8621 §3.1."""
    if any(name not in {"id", "emailIds"} for name in arguments.properties or ()):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is None or len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = list(dict.fromkeys(arguments.ids))
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
        "state": ids.state_text(answer.modseq),
        "list": shown,
        "notFound": [text for text in wanted if text not in found],
    }
