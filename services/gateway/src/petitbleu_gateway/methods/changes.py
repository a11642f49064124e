"""/changes of every type (RFC 8620 §5.2): all read the account's one change log."""

from __future__ import annotations

from typing import Annotated, Any

import grpc
from msgspec import Meta

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class ChangesArguments(AccountArguments, kw_only=True):
    """Arguments of /changes."""

    since_state: str
    max_changes: Annotated[int, Meta(gt=0, le=(1 << 53) - 1)] | None = None


async def read_changes(context: Context, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
    """Ask store what changed.

    Raises:
        MethodError: `cannotCalculateChanges` for a state that was never ours or that the log no longer reaches.
    """
    try:
        return await context.store.changes(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT,
                            grpc.StatusCode.OUT_OF_RANGE}:  # fmt: skip
            raise MethodError(Fault.CANNOT_CALCULATE_CHANGES) from None
        raise


async def changes(
    context: Context, arguments: ChangesArguments, kind: pb.ChangeKind.ValueType, letter: str
) -> tuple[dict[str, Any], bool]:
    """Return what changed since a state, and whether only counts did.

    Raises:
        MethodError: `cannotCalculateChanges` for a state that was never ours or that the log no longer reaches.
    """
    since = ids.state_number(arguments.since_state)
    if since is None:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    request = pb.GetChangesRequest(kind=kind, since_modseq=since, max_changes=min(arguments.max_changes or 0, 1000))
    answer = await read_changes(context, request)
    if since > answer.new_modseq:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    result = {
        "accountId": arguments.account_id,
        "oldState": arguments.since_state,
        "newState": ids.state_text(answer.new_modseq),
        "hasMoreChanges": answer.has_more,
        "created": [f"{letter}{number}" for number in answer.created],
        "updated": [f"{letter}{number}" for number in answer.updated],
        "destroyed": [f"{letter}{number}" for number in answer.destroyed],
    }
    return result, answer.only_counts and bool(answer.updated)


async def email_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8621 §4.3."""
    return (await changes(context, arguments, pb.CHANGE_KIND_MESSAGE, "M"))[0]


async def thread_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8621 §3.2."""
    return (await changes(context, arguments, pb.CHANGE_KIND_THREAD, "T"))[0]
