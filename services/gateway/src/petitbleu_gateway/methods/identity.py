"""Identity/get and Identity/changes (RFC 8621 §6): identities are kept by accounts, so their states are of their own."""

from __future__ import annotations

from typing import Any, Final

import grpc

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu_gateway.domain.identity_view import PROPERTIES, shown
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments

_MOST_CHANGES: Final = 1_000


class IdentityGet(AccountArguments, kw_only=True):
    """Arguments of Identity/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


async def identity_get(context: Context, arguments: IdentityGet) -> dict[str, Any]:
    """RFC 8621 §6.1."""
    names = dict.fromkeys(["id", *(PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.people.identities(context.who)
    known = {one["id"]: one for one in map(shown, answer.identities)}
    missing: list[str] = []
    if arguments.ids is None:  # an account has at most 100
        wanted = list(known)
    else:
        resolved = {context.resolve_id(text): text for text in arguments.ids}
        wanted = [text for text in resolved if text in known]
        missing = [given for text, given in resolved.items() if text not in known]
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": [{name: known[text][name] for name in names} for text in wanted],
        "notFound": missing,
    }


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
