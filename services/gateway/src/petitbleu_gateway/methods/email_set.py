"""Email/set (RFC 8621 §4.6): drafts made, keywords and mailboxes changed, messages destroyed."""

from __future__ import annotations

import secrets
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.compose import compose, read_draft
from petitbleu_gateway.domain.patches import read_keywords, read_mailboxes, split_patch, store_update
from petitbleu_gateway.errors import Fault, Invalid, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.blobs import draft_content
from petitbleu_gateway.methods.email_same import changed_properties
from petitbleu_gateway.methods.storing import Filed, created_object, old_state, received_at, refusal, store_message


class EmailSet(AccountArguments, kw_only=True):
    """Arguments of Email/set (RFC 8620 §5.3)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


@dataclass(slots=True)
class _Progress:
    """What one call has done so far."""

    old: int | None = None
    new: int | None = None
    mixed: bool = False
    created: dict[str, Any] = field(default_factory=dict)
    updated: dict[str, Any] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    not_created: dict[str, Any] = field(default_factory=dict)
    not_updated: dict[str, Any] = field(default_factory=dict)
    not_destroyed: dict[str, Any] = field(default_factory=dict)

    def moved(self, old: int, new: int) -> None:
        """Note the modseqs around a commit."""
        if self.old is None:
            self.old = old
        self.mixed |= self.new is not None and old != self.new
        self.new = new

    def settle(self, text: str, status: pb.UpdateStatus.ValueType, *, destroyed: bool) -> None:
        """Note what became of an update or a destruction."""
        if status != pb.UPDATE_STATUS_OK:
            refused = self.not_destroyed if destroyed else self.not_updated
            refused[text] = refusal(status).as_object()
        elif destroyed:
            self.destroyed.append(text)
        else:
            self.updated[text] = None


async def email_set(context: Context, arguments: EmailSet) -> dict[str, Any]:
    """RFC 8621 §4.6; creations are done first, so that updates of the same call may name them."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = None
    if arguments.if_in_state is not None:
        wanted = ids.state_number(arguments.if_in_state)
        if wanted is None or (await context.store.state(context.who)).modseq != wanted:
            raise MethodError(Fault.STATE_MISMATCH)
    run = _Progress()
    try:
        await _do(context, run, arguments, wanted)
    except (MethodError, grpc.aio.AioRpcError):
        if run.new is None:
            raise
        # RFC 8620 §3.6.2: some of it is done, and the client must look again
        raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
    return {
        "accountId": arguments.account_id,
        "oldState": old_state(run.old, mixed=run.mixed),
        "newState": ids.state_text(run.new or 0),
        "created": run.created or None,
        "updated": run.updated or None,
        "destroyed": run.destroyed or None,
        "notCreated": run.not_created or None,
        "notUpdated": run.not_updated or None,
        "notDestroyed": run.not_destroyed or None,
    }


async def _do(context: Context, run: _Progress, arguments: EmailSet, wanted: int | None) -> None:
    for creation_id, email in (arguments.create or {}).items():
        try:
            run.created[creation_id] = await _create(context, run, email, wanted or 0)
            context.created_ids[creation_id] = run.created[creation_id]["id"]
        except SetError as error:
            run.not_created[creation_id] = error.as_object()
    # our own creations have moved the state on: store itself checks it in the first commit
    await _change(context, run, arguments, wanted if run.new is None else None)
    if run.old is None or run.new is None:
        now = (await context.store.state(context.who)).modseq
        run.moved(now, now)


async def _create(context: Context, run: _Progress, email: dict[str, Any], wanted: int) -> dict[str, Any]:
    wrong = Invalid()
    with wrong:
        mailboxes = read_mailboxes(email.get("mailboxIds"), context.resolve_id)
    with wrong:
        keywords = read_keywords({} if email.get("keywords") is None else email["keywords"])
    with wrong:
        received = received_at(email.get("receivedAt"))
    domain = context.who.address.rpartition("@")[2] or "localhost"
    with wrong:
        draft = read_draft(email, domain if domain.isascii() else "localhost", datetime.now(UTC))
    wrong.settle()
    contents = await draft_content(context, *draft.uses())
    body = compose(draft, contents.__getitem__)
    if_modseq = wanted if run.new is None else 0
    filed = Filed(mailboxes, keywords, received)
    made = await store_message(context, body, filed, secrets.token_bytes(16), if_modseq)
    run.moved(made.old_modseq, made.new_modseq)
    return created_object(made, len(body))


@dataclass(slots=True)
class _Change:
    """One message to change or destroy; `text` is its id, creation ids resolved."""

    text: str
    update: pb.MessageUpdate


def _named(context: Context, text: str, doomed: Container[str]) -> tuple[str, int]:
    """Return the message that an update names, by its id and by its number."""
    resolved = context.resolve_id(text)
    number = ids.message_number(resolved)
    if number is None:
        raise SetError(SetFault.NOT_FOUND)
    if resolved in doomed:
        raise SetError(SetFault.WILL_DESTROY)  # RFC 8620 §5.3
    return resolved, number


async def _updates(context: Context, run: _Progress, arguments: EmailSet, doomed: Container[str]) -> list[_Change]:
    changes: dict[int, _Change] = {}
    others: dict[str, dict[str, Any]] = {}
    found: dict[str, Invalid] = {}
    for text, patch in (arguments.update or {}).items():
        try:
            resolved, number = _named(context, text, doomed)
            paths, rest = split_patch(patch)
            if number in changes:  # by its id and by its creation id
                raise SetError(SetFault.INVALID_PATCH, "the message is named twice")  # noqa: TRY301
            change = _Change(resolved, pb.MessageUpdate(message_id=number))
            with found.setdefault(resolved, Invalid()):
                change.update = store_update(number, paths, context.resolve_id)
        except SetError as error:
            run.not_updated[text] = error.as_object()
            continue
        changes[number] = change
        if rest:
            others[resolved] = rest
    refused = await changed_properties(context, arguments.account_id, others) if others else {}
    return [change for change in changes.values() if _stands(run, change, found[change.text], refused)]


def _stands(run: _Progress, change: _Change, wrong: Invalid, refused: dict[str, SetError]) -> bool:
    """Whether nothing in an update was found wrong; what was is noted."""
    try:
        with wrong:
            if change.text in refused:
                raise refused[change.text]
        wrong.settle()
    except SetError as error:
        run.not_updated[change.text] = error.as_object()
        return False
    return True


async def _change(context: Context, run: _Progress, arguments: EmailSet, if_modseq: int | None) -> None:
    """Do all updates and destructions in one commit."""
    doomed = {context.resolve_id(text): text for text in arguments.destroy or ()}
    changes = await _updates(context, run, arguments, doomed)
    for resolved, text in doomed.items():
        number = ids.message_number(resolved)
        if number is None:
            run.not_destroyed[text] = SetError(SetFault.NOT_FOUND).as_object()
        else:
            changes.append(_Change(resolved, pb.MessageUpdate(message_id=number, destroy=True)))
    if not changes:
        return
    request = pb.UpdateMessagesRequest(updates=[change.update for change in changes], if_modseq=if_modseq or 0)
    try:
        answer = await context.store.update(context.who, request)
    except grpc.aio.AioRpcError as error:
        if if_modseq and error.code() == grpc.StatusCode.ABORTED:
            raise MethodError(Fault.STATE_MISMATCH) from None
        raise
    run.moved(answer.old_modseq, answer.new_modseq)
    for change, result in zip(changes, answer.results, strict=True):
        run.settle(change.text, result.status, destroyed=change.update.destroy)
