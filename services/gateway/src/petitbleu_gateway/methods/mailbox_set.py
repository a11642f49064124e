"""Mailbox/set (RFC 8621 §2.5): all of a call is one commit, so that what it leaves is valid though its steps were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.mailbox_changes import MailboxReader, Wanted
from petitbleu_gateway.domain.mailbox_refusals import namesake, refusal
from petitbleu_gateway.domain.mailbox_view import COUNTS, MailboxView, levels
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.envelope import PRINCIPALS
from petitbleu_mail.mailbox_rules import normal_name


class MailboxSet(AccountArguments, kw_only=True):
    """Arguments of Mailbox/set (RFC 8620 §5.3, RFC 8621 §2.5)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None
    on_destroy_remove_emails: bool = False


@dataclass(slots=True)
class _Told:
    """What the answer tells of each object."""

    created: dict[str, Any] = field(default_factory=dict)
    updated: dict[str, Any] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    not_created: dict[str, Any] = field(default_factory=dict)
    not_updated: dict[str, Any] = field(default_factory=dict)
    not_destroyed: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    """One update of the request to store: what it is for, by creation id or id as given."""

    kind: str
    text: str
    wanted: Wanted


async def mailbox_set(context: Context, arguments: MailboxSet) -> dict[str, Any]:
    """RFC 8621 §2.5."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    known = await context.store.mailboxes(context.who)
    if_modseq = 0
    if arguments.if_in_state is not None:
        if ids.state_number(arguments.if_in_state) != known.modseq:
            raise MethodError(Fault.STATE_MISMATCH)
        if_modseq = known.modseq
    view = MailboxView(known.mailboxes, shared=context.me is not None, with_shares=PRINCIPALS in context.using)
    told = _Told()
    steps = _Call(context, arguments, view, told).steps()
    old = new = known.modseq
    if steps:
        request = pb.UpdateMailboxesRequest(updates=[step.wanted.update for step in steps], if_modseq=if_modseq)
        try:
            answer = await context.store.update_mailboxes(context.who, request)
        except grpc.aio.AioRpcError as error:
            if if_modseq and error.code() == grpc.StatusCode.ABORTED:
                raise MethodError(Fault.STATE_MISMATCH) from None
            raise
        old, new = answer.old_modseq, answer.new_modseq
        _settle(context, view, steps, answer, told)
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(old),
        "newState": ids.state_text(new),
        "created": told.created or None,
        "updated": told.updated or None,
        "destroyed": told.destroyed or None,
        "notCreated": told.not_created or None,
        "notUpdated": told.not_updated or None,
        "notDestroyed": told.not_destroyed or None,
    }


def _no_parent() -> SetError:
    return invalid("parentId", why="it is not created")


class _Call:
    """Reads what a call wants: creations first, so that the others may name them, then changes, then destructions."""

    def __init__(self, context: Context, arguments: MailboxSet, view: MailboxView, told: _Told) -> None:
        self._context = context
        self._arguments = arguments
        self._reader = MailboxReader(view, arguments.create or {}, context.resolve_id)
        self._told = told
        self._index: dict[str, int] = {}
        self._made: dict[str, Wanted] = {}
        # ids to destroy, or `#` and a creation id of this call → as they are given
        self._doomed: dict[str, str] = {}
        for text in arguments.destroy or ():
            self._doomed.setdefault(self._resolved(text), text)

    def steps(self) -> list[_Step]:
        """Return what store is to do; what is wrong in itself is told."""
        steps = [*self._creations(), *self._changes(), *self._destructions()]
        for step in steps:
            if step.wanted.below is not None:
                step.wanted.update.parent_created_by = self._index[step.wanted.below]
            if step.wanted.of is not None:
                step.wanted.update.created_by = self._index[step.wanted.of]
        return steps

    def _resolved(self, text: str) -> str:
        return text if self._reader.made_here(text) is not None else self._context.resolve_id(text)

    def _target(self, text: str) -> tuple[int | None, str | None]:
        """Return the mailbox that is named: its number, or its creation id in this call."""
        creation_id = self._reader.made_here(text)
        number = self._reader.number(text) if creation_id is None else None
        if number is None and creation_id not in self._index:
            raise SetError(SetFault.NOT_FOUND)
        return number, creation_id

    def _creations(self) -> list[_Step]:
        made: dict[str, Wanted] = {}
        for creation_id, given in (self._arguments.create or {}).items():
            try:
                made[creation_id] = self._reader.new(given)
            except SetError as error:
                self._told.not_created[creation_id] = error.as_object()
        while lost := [one for one, wanted in made.items() if wanted.below is not None and wanted.below not in made]:
            for creation_id in lost:
                del made[creation_id]
                self._told.not_created[creation_id] = _no_parent().as_object()
        self._index = {creation_id: at for at, creation_id in enumerate(made)}
        self._made = made
        return [_Step("create", creation_id, wanted) for creation_id, wanted in made.items()]

    def _changes(self) -> list[_Step]:
        steps: dict[str, _Step] = {}
        for text, patch in (self._arguments.update or {}).items():
            resolved = self._resolved(text)
            try:
                number, creation_id = self._target(text)
                if resolved in self._doomed:
                    raise SetError(SetFault.WILL_DESTROY)  # noqa: TRY301 — RFC 8620 §5.3
                if resolved in steps:  # by its id and by its creation id
                    raise SetError(SetFault.INVALID_PATCH, "the mailbox is named twice")  # noqa: TRY301
                wanted = self._reader.change(number, patch, self._made.get(creation_id or ""))
                if wanted.below is not None and wanted.below not in self._index:
                    raise _no_parent()
            except SetError as error:
                self._told.not_updated[text] = error.as_object()
                continue
            wanted.of = creation_id
            steps[resolved] = _Step("update", text, wanted)
        return list(steps.values())

    def _destructions(self) -> list[_Step]:
        steps: list[_Step] = []
        for text in self._doomed.values():
            try:
                number, creation_id = self._target(text)
            except SetError as error:
                self._told.not_destroyed[text] = error.as_object()
                continue
            update = pb.MailboxUpdate(
                mailbox_id=number or 0, destroy=True, with_messages=self._arguments.on_destroy_remove_emails
            )
            steps.append(_Step("destroy", text, Wanted(update, of=creation_id)))
        return steps


def _settle(
    context: Context, view: MailboxView, steps: list[_Step], answer: pb.UpdateMailboxesResponse, told: _Told
) -> None:
    """Tell what store did of each."""
    done: list[tuple[_Step, int]] = []
    refused: list[tuple[_Step, pb.UpdateResult]] = []
    for step, result, number in zip(steps, answer.results, answer.mailbox_ids, strict=True):
        if result.status != pb.UPDATE_STATUS_OK:
            refused.append((step, result))
            continue
        done.append((step, number))
        if step.kind == "create":
            context.created_ids[step.text] = f"F{number}"
    parents, names = _after(view, done, answer.mailbox_ids)
    inbox = next((number for number, found in view.by_id.items() if found.role == "inbox"), None)
    for step, result in refused:
        errors = {"create": told.not_created, "update": told.not_updated, "destroy": told.not_destroyed}[step.kind]
        error = None
        if step.kind == "create":
            error = namesake(step.wanted, result, names, parents, answer.mailbox_ids, inbox)
        errors[step.text] = (error or refusal(step.wanted, result)).as_object()
    level = levels(parents)
    for step, number in done:
        if step.kind == "create":
            told.created[step.text] = _created(view, step.wanted, number, parents, level[number])
        elif step.kind == "destroy":
            told.destroyed.append(f"F{number}")
        else:
            told.updated[f"F{number}"] = (_renamed(step.wanted) | step.wanted.kept) or None


def _after(
    view: MailboxView, done: Sequence[tuple[_Step, int]], made: Sequence[int]
) -> tuple[dict[int, int], dict[int, str]]:
    """Return what each mailbox is in, and its name, once all that was done is; `made` are the ids of the steps' mailboxes."""
    parents = dict(view.parents)
    names = {number: found.name for number, found in view.by_id.items()}
    for step, number in done:
        update = step.wanted.update
        if update.HasField("parent_created_by"):
            parents[number] = made[update.parent_created_by]
        elif update.HasField("parent_id"):
            parents[number] = update.parent_id
        if update.HasField("name"):
            names[number] = normal_name(update.name) or ""
        if update.destroy:
            names.pop(number, None)
    return parents, names


def _created(view: MailboxView, wanted: Wanted, number: int, parents: Mapping[int, int], level: int) -> dict[str, Any]:
    """Return what the client did not send, or not so (RFC 8620 §5.3)."""
    update, parent = wanted.update, parents[number]
    current = {
        "name": normal_name(update.name),
        "parentId": f"F{parent}" if parent else None,
        "role": update.role or None,
        "sortOrder": update.sort_order,
        "isSubscribed": update.subscribed,
    }
    found: dict[str, Any] = {
        "id": f"F{number}",
        **dict.fromkeys(COUNTS, 0),
        "myRights": view.rights(update.role, level, _inherited(view, parents, parent)),
    }
    sent = wanted.given
    changed = {name: value for name, value in current.items() if name not in sent or sent[name] != value}
    return found | changed | wanted.kept


def _inherited(view: MailboxView, parents: Mapping[int, int], parent: int) -> int:
    """Return the rights that a mailbox made in another's has: those of the one that it is in."""
    while parent and parent not in view.by_id:
        parent = parents.get(parent, 0)
    return view.by_id[parent].rights if parent else 0


def _renamed(wanted: Wanted) -> dict[str, Any]:
    """Return the name if it is kept otherwise than it was sent."""
    if not wanted.update.HasField("name"):
        return {}
    name = normal_name(wanted.update.name)
    return {} if name == wanted.update.name else {"name": name}
