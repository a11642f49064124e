"""FilterFormService of the contract: translation only."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from petitbleu.delivery.v1 import filters_pb2 as pb
from petitbleu.delivery.v1 import filters_pb2_grpc
from petitbleu_delivery.service.scripts.forms import ChangedByHandError, FilterForms, Form, TooManyScriptsError
from petitbleu_delivery.service.scripts.keeping import NotSoundError, StateMismatchError
from petitbleu_kit.identity import Principal
from petitbleu_kit.rpc import caller

ALLOWED_FILTERS: Final = {"/petitbleu.delivery.v1.FilterFormService/": frozenset({"gateway"})}
PERSON_FILTERS: Final = frozenset({"/petitbleu.delivery.v1.FilterFormService/"})
_FAULTS: Final = (NotSoundError, StateMismatchError, ChangedByHandError, TooManyScriptsError)

_Context = grpc.aio.ServicerContext[Any, Any]


def _form(one: Form) -> pb.FilterForm:
    return pb.FilterForm(
        rules=one.rules, script_id=one.script_id, changed_by_hand=one.changed_by_hand, active_id=one.active_id,
        modseq=one.modseq,
    )  # fmt: skip


async def _person(account_id: int, context: _Context) -> Principal:
    principal = caller().principal
    if principal is None or principal.account_id != account_id:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "another account")
        raise AssertionError("unreachable")
    return principal


async def _refuse(error: Exception, context: _Context) -> NoReturn:
    if isinstance(error, NotSoundError):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    if isinstance(error, StateMismatchError):
        await context.abort(grpc.StatusCode.ABORTED, "state mismatch")
    if isinstance(error, ChangedByHandError):
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the script was changed by hand")
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "an account has no more scripts")
    raise AssertionError("unreachable")


class FilterFormServicer(filters_pb2_grpc.FilterFormServiceServicer):
    """Answers people, by way of the gateway."""

    def __init__(self, forms: FilterForms) -> None:
        self._forms = forms

    async def GetFilterForm(self, request: pb.GetFilterFormRequest, context: _Context) -> pb.GetFilterFormResponse:
        """Give the form."""
        who = await _person(request.account_id, context)
        return pb.GetFilterFormResponse(form=_form(await self._forms.form(who)))

    async def SetFilterForm(self, request: pb.SetFilterFormRequest, context: _Context) -> pb.SetFilterFormResponse:
        """Replace it."""
        who = await _person(request.account_id, context)
        expected = request.if_modseq if request.HasField("if_modseq") else None
        try:
            form, old = await self._forms.set_form(who, request.rules, expected, replace=request.replace)
        except _FAULTS as error:
            await _refuse(error, context)
        return pb.SetFilterFormResponse(form=_form(form), old_modseq=old)
