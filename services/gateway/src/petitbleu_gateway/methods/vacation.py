"""VacationResponse/get and /set (RFC 8621 §8): one object, kept by delivery."""

from __future__ import annotations

from typing import Any

import grpc

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.domain.sieve_view import VACATION_ID, VACATION_PROPERTIES, changed_vacation, vacation_shown
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class VacationGet(AccountArguments, kw_only=True):
    """Arguments of VacationResponse/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class VacationSet(AccountArguments, kw_only=True):
    """Arguments of VacationResponse/set (RFC 8620 §5.3)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


async def vacation_get(context: Context, arguments: VacationGet) -> dict[str, Any]:
    """RFC 8621 §8.1."""
    names = dict.fromkeys(["id", *(VACATION_PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in VACATION_PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.scripts.vacation(context.who)
    wanted = [VACATION_ID] if arguments.ids is None else list(dict.fromkeys(arguments.ids))
    found = vacation_shown(answer.vacation)
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.modseq),
        "list": [{name: found[name] for name in names}] if VACATION_ID in wanted else [],
        "notFound": [text for text in wanted if text != VACATION_ID],
    }


async def vacation_set(context: Context, arguments: VacationSet) -> dict[str, Any]:
    """RFC 8621 §8.2: only the one object's properties change."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.scripts.vacation(context.who)
    if arguments.if_in_state is not None and ids.state_number(arguments.if_in_state) != answer.modseq:
        raise MethodError(Fault.STATE_MISMATCH)
    old = new = answer.modseq
    updated: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    for text, patch in (arguments.update or {}).items():
        try:
            if text != VACATION_ID:
                raise SetError(SetFault.NOT_FOUND)  # noqa: TRY301 — told with the others
            old, new = await _change(context, answer, patch)
        except SetError as error:
            refused[text] = error.as_object()
        else:
            updated[text] = None
    # RFC 8620 §5.3: nothing is made beside a singleton, and it does not go
    singleton = SetError(SetFault.SINGLETON).as_object()
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(old),
        "newState": ids.state_text(new),
        "created": None,
        "updated": updated or None,
        "destroyed": None,
        "notCreated": dict.fromkeys(arguments.create or (), singleton) or None,
        "notUpdated": refused or None,
        "notDestroyed": dict.fromkeys(arguments.destroy or (), singleton) or None,
    }


async def _change(context: Context, before: pb.GetVacationResponse, patch: dict[str, Any]) -> tuple[int, int]:
    # what was read is changed and written back, so nobody else may have written meanwhile
    request = pb.SetVacationRequest(vacation=changed_vacation(before.vacation, patch), if_modseq=before.modseq)
    try:
        done = await context.store.scripts.set_vacation(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.ABORTED:
            raise MethodError(Fault.STATE_MISMATCH) from None
        if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
            raise SetError(SetFault.INVALID_PROPERTIES, "too long, or not to be sent", properties=list(patch)) from None
        raise
    return done.old_modseq, done.new_modseq
