"""A person's filter rules over JMAP, as a form has them: an extension of ours (ADR 46), by what delivery keeps."""

from __future__ import annotations

from typing import Any, Final, Protocol

import grpc
import grpc.aio
import msgspec

from petitbleu.delivery.v1 import filters_pb2 as pb
from petitbleu_gateway.domain.sieve_view import script_id
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.ports import Identity
from petitbleu_mail.sieve.filter_form import FormError, Rule, read_form

_KEPT_BY_CHILDREN: Final = frozenset({"forwardTo", "discard"})
# What delivery says is a fixed sentence of ours, and quotes no rule.
_FAULTS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: Fault.INVALID_ARGUMENTS,
    grpc.StatusCode.ABORTED: Fault.STATE_MISMATCH,
    grpc.StatusCode.FAILED_PRECONDITION: Fault.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.FORBIDDEN,
}


class FilterRulesSet(AccountArguments, kw_only=True):
    """Arguments of FilterRules/set."""

    rules: list[dict[str, Any]]
    if_in_state: str | None = None
    replace_changed_by_hand: bool = False


class Filters(Protocol):
    """delivery, for a person's form. Raises grpc.aio.AioRpcError as delivery answered."""

    async def form(self, who: Identity) -> pb.FilterForm:
        """Give a person's form."""
        ...

    async def set_form(self, who: Identity, request: pb.SetFilterFormRequest) -> pb.SetFilterFormResponse:
        """Replace it."""
        ...


class FilterRulesMethods:
    """The methods.

    Args:
        filters: delivery.
    """

    def __init__(self, filters: Filters) -> None:
        self._filters = filters

    async def get(self, context: Context, arguments: AccountArguments) -> dict[str, Any]:
        """FilterRules/get: all rules, and what became of their script."""
        return {"accountId": arguments.account_id, **_shown(await self._filters.form(context.person))}

    async def set(self, context: Context, arguments: FilterRulesSet) -> dict[str, Any]:
        """FilterRules/set: all rules anew."""
        octets = msgspec.json.encode(arguments.rules)
        try:
            rules = read_form(octets)
        except FormError as error:
            raise MethodError(Fault.INVALID_ARGUMENTS, str(error)) from None
        await _check(context, rules)
        request = pb.SetFilterFormRequest(rules=octets, replace=arguments.replace_changed_by_hand)
        if arguments.if_in_state is not None:
            state = ids.state_number(arguments.if_in_state)
            if state is None:
                raise MethodError(Fault.STATE_MISMATCH)
            request.if_modseq = state
        try:
            done = await self._filters.set_form(context.person, request)
        except grpc.aio.AioRpcError as error:
            fault = _FAULTS.get(error.code())
            if fault is None:
                raise
            raise MethodError(fault, error.details() or "") from None
        found = _shown(done.form)
        return {
            "accountId": arguments.account_id, "oldState": ids.state_text(done.old_modseq), "newState": found.pop("state"),
            **found,
        }  # fmt: skip


async def _check(context: Context, rules: tuple[Rule, ...]) -> None:
    """Refuse what delivery would not carry out: mailboxes that are not there, and what no rule of a child does (ADR 28)."""
    wanted = [
        (f"{at}/actions/{place}", action)
        for at, rule in enumerate(rules)
        for place, action in enumerate(rule.actions)
    ]  # fmt: skip
    if context.person.is_child:
        for path, action in wanted:
            if action.type in _KEPT_BY_CHILDREN:
                raise MethodError(Fault.INVALID_ARGUMENTS, f"{path}/type: a child's rules file and mark only")
    if any(action.mailbox_id for _, action in wanted):
        known = {f"F{one.mailbox_id}" for one in (await context.store.mailboxes(context.person)).mailboxes}
        for path, action in wanted:
            if action.mailbox_id and action.mailbox_id not in known:
                raise MethodError(Fault.INVALID_ARGUMENTS, f"{path}/mailboxId: there is no such mailbox")


def _shown(form: pb.FilterForm) -> dict[str, Any]:
    return {
        "state": ids.state_text(form.modseq),
        "rules": msgspec.json.decode(form.rules) if form.rules else [],
        "scriptId": script_id(form.script_id) if form.script_id else None,
        "isActive": bool(form.script_id) and form.script_id == form.active_id,
        "activeScriptId": script_id(form.active_id) if form.active_id else None,
        "isChangedByHand": form.changed_by_hand,
    }
