"""Identity/get and Identity/changes (RFC 8621 §6): identities are kept by accounts, so their states are of their own."""

from __future__ import annotations

from typing import Any, Final

import grpc

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu_gateway.domain.identity_view import PROPERTIES, shown
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.methods.changes import ChangesArguments
from petitbleu_gateway.methods.small_get import SmallGet, answer_of, names_of

_MOST_CHANGES: Final = 1_000


async def identity_get(context: Context, arguments: SmallGet) -> dict[str, Any]:
    """RFC 8621 §6.1."""
    names = names_of(context, arguments, PROPERTIES)
    answer = await context.people.identities(context.who)
    return answer_of(context, arguments, names, map(shown, answer.identities), answer.modseq)


async def identity_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8621 §6.2."""
    since = ids.state_number(arguments.since_state)
    if since is None:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    request = pb.GetIdentityChangesRequest(
        since_modseq=since, max_changes=min(arguments.max_changes or _MOST_CHANGES, _MOST_CHANGES)
    )
    try:
        answer = await context.people.identity_changes(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.OUT_OF_RANGE:
            raise MethodError(Fault.CANNOT_CALCULATE_CHANGES) from None
        raise
    return {
        "accountId": arguments.account_id,
        "oldState": arguments.since_state,
        "newState": ids.state_text(answer.new_modseq),
        "hasMoreChanges": answer.has_more,
        "created": [f"I{number}" for number in answer.created],
        "updated": [f"I{number}" for number in answer.updated],
        "destroyed": [f"I{number}" for number in answer.destroyed],
    }
