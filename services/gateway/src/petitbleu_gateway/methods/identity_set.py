"""Identity/set (RFC 8621 §6.3): all of a call is one commit of accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from petitbleu.accounts.v1 import accounts_pb2 as pb
from petitbleu_gateway.domain.identity_view import changed_identity, new_identity, shown
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context


class IdentitySet(AccountArguments, kw_only=True):
    """Arguments of Identity/set (RFC 8620 §5.3)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


@dataclass(slots=True)
class _Step:
    """One change: what it is for, by creation id or id as given, and what was sent."""

    kind: str
    text: str
    update: pb.IdentityUpdate
    given: dict[str, Any]


async def identity_set(context: Context, arguments: IdentitySet) -> dict[str, Any]:
    """RFC 8621 §6.3."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.people.identities(context.who)
    if arguments.if_in_state is not None and ids.state_number(arguments.if_in_state) != answer.modseq:
        raise MethodError(Fault.STATE_MISMATCH)
    call = _Call(context, arguments, {one["id"]: one for one in map(shown, answer.identities)})
    steps = call.steps()
    old = new = answer.modseq
    if steps:
        request = pb.UpdateIdentitiesRequest(updates=[step.update for step in steps])
        if arguments.if_in_state is not None:
            request.if_modseq = answer.modseq
        try:
            done = await context.people.update_identities(context.who, request)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.ABORTED:
                raise MethodError(Fault.STATE_MISMATCH) from None
            raise
        old, new = done.old_modseq, done.new_modseq
        for step, result in zip(steps, done.results, strict=True):
            call.settle(step, result)
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(old),
        "newState": ids.state_text(new),
        **{name: told or None for name, told in call.told.items()},
    }


class _Call:
    """Reads what a call wants (creations, then changes, then destructions) and tells what became of it."""

    def __init__(self, context: Context, arguments: IdentitySet, known: dict[str, dict[str, Any]]) -> None:
        self._context = context
        self._arguments = arguments
        self._known = known
        self._index: dict[str, int] = {}
        self.told: dict[str, Any] = {
            "created": {}, "updated": {}, "destroyed": [], "notCreated": {}, "notUpdated": {}, "notDestroyed": {},
        }  # fmt: skip
        # ids to destroy, or `#` and a creation id of this call → as they are given
        self._doomed: dict[str, str] = {}
        for text in arguments.destroy or ():
            self._doomed.setdefault(self._resolved(text), text)

    def _resolved(self, text: str) -> str:
        made_here = text.startswith("#") and text[1:] in (self._arguments.create or {})
        return text if made_here else self._context.resolve_id(text)

    def steps(self) -> list[_Step]:
        """Return what accounts is to do; what is wrong in itself is told."""
        steps: list[_Step] = []
        for creation_id, given in (self._arguments.create or {}).items():
            try:
                steps.append(_Step("Created", creation_id, new_identity(given), given))
            except SetError as error:
                self.told["notCreated"][creation_id] = error.as_object()
            else:
                self._index[creation_id] = len(steps) - 1
        seen: set[str] = set()
        for text, patch in (self._arguments.update or {}).items():
            resolved = self._resolved(text)
            try:
                if resolved in self._doomed:
                    raise SetError(SetFault.WILL_DESTROY)  # noqa: TRY301 — RFC 8620 §5.3
                if resolved in seen:  # by its id and by its creation id
                    raise SetError(SetFault.INVALID_PATCH, "the identity is named twice")  # noqa: TRY301
                steps.append(_Step("Updated", text, self._aimed(resolved, patch), patch))
                seen.add(resolved)
            except SetError as error:
                self.told["notUpdated"][text] = error.as_object()
        for resolved, text in self._doomed.items():
            try:
                update = self._aimed(resolved, {})
            except SetError as error:
                self.told["notDestroyed"][text] = error.as_object()
                continue
            update.destroy = True
            steps.append(_Step("Destroyed", text, update, {}))
        return steps

    def _aimed(self, resolved: str, patch: dict[str, Any]) -> pb.IdentityUpdate:
        """Return the change of an identity that is there, or that this call makes."""
        known = self._known.get(resolved)
        if known is None and resolved.removeprefix("#") not in self._index:
            raise SetError(SetFault.NOT_FOUND)
        update = changed_identity(patch, known)
        if known is None:
            update.created_by = self._index[resolved.removeprefix("#")]
        else:
            update.identity_id = int(resolved[1:])
        return update

    def settle(self, step: _Step, result: pb.IdentityResult) -> None:
        """Tell what accounts did of one."""
        if result.status != pb.IDENTITY_STATUS_OK:
            self.told[f"not{step.kind}"][step.text] = _refusal(result).as_object()
        elif step.kind == "Created":
            found = shown(result.identity)
            self._context.created_ids[step.text] = found["id"]
            # RFC 8620 §5.3: what the client did not send, or not so
            self.told["created"][step.text] = {
                name: value for name, value in found.items() if name not in step.given or step.given[name] != value
            }
        elif step.kind == "Updated":
            found = shown(result.identity)
            other = {name: found[name] for name, value in step.given.items() if name in found and found[name] != value}
            self.told["updated"][found["id"]] = other or None
        else:
            resolved = self._resolved(step.text)
            self.told["destroyed"].append(self._context.resolve_id(resolved))


def _refusal(result: pb.IdentityResult) -> SetError:
    """Return the SetError that an outcome of accounts is."""
    if result.status == pb.IDENTITY_STATUS_NOT_FOUND:
        return SetError(SetFault.NOT_FOUND)
    if result.status == pb.IDENTITY_STATUS_FORBIDDEN_FROM:
        return SetError(SetFault.FORBIDDEN_FROM, "the account may not write under this address")
    if result.status == pb.IDENTITY_STATUS_FORBIDDEN:
        return SetError(SetFault.FORBIDDEN)
    if result.status == pb.IDENTITY_STATUS_TOO_LARGE:
        return SetError(SetFault.TOO_LARGE)
    if result.status == pb.IDENTITY_STATUS_TOO_MANY:
        return SetError(SetFault.OVER_QUOTA, "an account has no more identities")
    return invalid(*result.properties)
