"""SieveScript/set (RFC 9661 §2.4): all of a call is one commit of delivery."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import grpc

from petitbleu.delivery.v1 import scripts_pb2 as pb
from petitbleu_gateway.domain.sieve_view import content_blob_id, script_id, shown
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.sieve_script import script_content


class SieveScriptSet(AccountArguments, kw_only=True):
    """Arguments of SieveScript/set (RFC 9661 §2.4)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None
    on_success_activate_script: str | None = None
    on_success_deactivate_script: bool | None = None


@dataclass(slots=True)
class _Step:
    """One change: what it is for, by creation id or id as given, and what was sent."""

    kind: str
    text: str
    update: pb.ScriptUpdate
    given: dict[str, Any]


async def sieve_script_set(context: Context, arguments: SieveScriptSet) -> dict[str, Any]:
    """RFC 9661 §2.4."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > min(context.limits.objects_in_set, 100):
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.scripts.scripts(context.who)
    if arguments.if_in_state is not None and ids.state_number(arguments.if_in_state) != answer.modseq:
        raise MethodError(Fault.STATE_MISMATCH)
    call = _Call(context, arguments, {one["id"]: one for one in map(shown, answer.scripts)})
    steps = await call.steps()
    request = pb.UpdateScriptsRequest(updates=[step.update for step in steps])
    if arguments.if_in_state is not None:
        request.if_modseq = answer.modseq
    if not call.refused:
        call.switch(request)
    try:
        done = await context.store.scripts.update(context.who, request)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.ABORTED and arguments.if_in_state is not None:
            raise MethodError(Fault.STATE_MISMATCH) from None
        raise
    for step, result in zip(steps, done.results, strict=True):
        call.settle(step, result)
    call.tell_switched(done)
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(done.old_modseq),
        "newState": ids.state_text(done.new_modseq),
        **{name: told or None for name, told in call.told.items()},
    }


class _Call:
    """Reads what a call wants (creations, then changes, then destructions) and tells what became of it."""

    def __init__(self, context: Context, arguments: SieveScriptSet, known: dict[str, dict[str, Any]]) -> None:
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

    @property
    def refused(self) -> bool:
        """Whether anything is refused by now."""
        return any(self.told[name] for name in ("notCreated", "notUpdated", "notDestroyed"))

    def _resolved(self, text: str) -> str:
        made_here = text.startswith("#") and text[1:] in (self._arguments.create or {})
        return text if made_here else self._context.resolve_id(text)

    async def steps(self) -> list[_Step]:
        """Return what delivery is to do; what is wrong in itself is told."""
        steps: list[_Step] = []
        for creation_id, given in (self._arguments.create or {}).items():
            try:
                steps.append(_Step("Created", creation_id, await self._new(given), given))
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
                    raise SetError(SetFault.INVALID_PATCH, "the script is named twice")  # noqa: TRY301
                update = self._aimed(resolved)
                await self._fill(update, patch, self._known.get(resolved, {}))
                steps.append(_Step("Updated", text, update, patch))
                seen.add(resolved)
            except SetError as error:
                self.told["notUpdated"][text] = error.as_object()
        for resolved, text in self._doomed.items():
            try:
                update = self._aimed(resolved)
            except SetError as error:
                self.told["notDestroyed"][text] = error.as_object()
                continue
            update.destroy = True
            steps.append(_Step("Destroyed", text, update, {}))
        return steps

    async def _new(self, given: dict[str, Any]) -> pb.ScriptUpdate:
        update = pb.ScriptUpdate()
        await self._fill(update, given, {"isActive": False})
        if not update.HasField("content"):
            raise invalid("blobId")
        if not update.HasField("name"):  # RFC 9661 §2: the default is the server's
            update.name = str(uuid.uuid4())
        return update

    async def _fill(self, update: pb.ScriptUpdate, given: dict[str, Any], known: dict[str, Any]) -> None:
        wrong = [
            name
            for name, value in given.items()
            if not (name in {"name", "blobId"} and isinstance(value, str))
            and not (name == "name" and value is None and not update.script_id)
            and not (name in known and known[name] == value)
        ]
        if wrong:
            raise invalid(*wrong)
        if isinstance(given.get("name"), str):
            update.name = given["name"]
        if "blobId" in given and given["blobId"] != known.get("blobId"):
            update.content = await script_content(self._context, given["blobId"])

    def _aimed(self, resolved: str) -> pb.ScriptUpdate:
        """Return the change of a script that is there, or that this call makes."""
        if resolved in self._known:
            return pb.ScriptUpdate(script_id=int(resolved[1:]))
        if resolved.removeprefix("#") not in self._index:
            raise SetError(SetFault.NOT_FOUND)
        return pb.ScriptUpdate(created_by=self._index[resolved.removeprefix("#")])

    def switch(self, request: pb.UpdateScriptsRequest) -> None:
        """Ask for what shall be active once all is done."""
        request.deactivate = bool(self._arguments.on_success_deactivate_script)
        text = self._arguments.on_success_activate_script
        if text is None:
            return
        resolved = self._resolved(text)
        if resolved in self._known:
            request.activate_id = int(resolved[1:])
        elif resolved.removeprefix("#") in self._index:
            request.activate_created_by = self._index[resolved.removeprefix("#")]
        else:  # RFC 9661 §2.4: one that does not exist is ignored
            request.deactivate = False

    def settle(self, step: _Step, result: pb.ScriptResult) -> None:
        """Tell what delivery did of one."""
        if result.status != pb.SCRIPT_STATUS_OK:
            most = self._context.store.scripts.most_octets
            self.told[f"not{step.kind}"][step.text] = _refusal(result, most).as_object()
        elif step.kind == "Created":
            found = shown(result.script)
            self._context.created_ids[step.text] = found["id"]
            self.told["created"][step.text] = {
                name: value for name, value in found.items() if name not in step.given or step.given[name] != value
            }
        elif step.kind == "Updated":
            found = shown(result.script)
            other = {name: found[name] for name, value in step.given.items() if name in found and found[name] != value}
            if step.update.HasField("content"):
                other["blobId"] = content_blob_id(result.script.content_id)
            self.told["updated"][found["id"]] = other or None
        else:
            self.told["destroyed"].append(self._context.resolve_id(self._resolved(step.text)))

    def tell_switched(self, done: pb.UpdateScriptsResponse) -> None:
        """RFC 9661 §2.4: the scripts of which `isActive` changed are told, as any change that the client did not name."""
        made = {one["id"]: one for one in self.told["created"].values()}
        for number, active in ((done.deactivated_id, False), (done.activated_id, True)):
            if not number:
                continue
            text = script_id(number)
            if text in made:
                made[text]["isActive"] = active
            else:
                self.told["updated"][text] = (self.told["updated"].get(text) or {}) | {"isActive": active}


def _refusal(result: pb.ScriptResult, most_octets: int) -> SetError:
    """Return the SetError that an outcome of delivery is."""
    simple = {
        pb.SCRIPT_STATUS_NOT_FOUND: SetError(SetFault.NOT_FOUND),
        pb.SCRIPT_STATUS_ACTIVE: SetError(SetFault.SIEVE_IS_ACTIVE),
        pb.SCRIPT_STATUS_TOO_MANY: SetError(SetFault.OVER_QUOTA, "an account has no more scripts"),
        pb.SCRIPT_STATUS_TOO_LARGE: SetError(SetFault.TOO_LARGE, maxSize=most_octets),
        pb.SCRIPT_STATUS_INVALID_CONTENT: SetError(SetFault.INVALID_SIEVE, result.reason),
        pb.SCRIPT_STATUS_NAME_TAKEN: SetError(SetFault.ALREADY_EXISTS, existingId=script_id(result.existing_id)),
    }
    return simple.get(result.status) or invalid("name")
