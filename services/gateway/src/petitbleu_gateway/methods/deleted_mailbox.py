"""DeletedMailbox/get, /changes, /set and /restore: mailboxes that a person destroyed, and their return (docs/undo.md, ADR 20)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_gateway.domain.email_view import utc_date
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments
from petitbleu_gateway.methods.deleted_email import DeletedGet, DeletedSet, no_changes, purge, raise_mismatch, refused
from petitbleu_gateway.methods.storing import wanted_state

_SHOWN: Final[dict[str, Callable[[pb.RemovedMailbox], Any]]] = {
    "id": lambda one: f"F{one.mailbox.mailbox_id}",
    "name": lambda one: one.mailbox.name,
    "parentId": lambda one: f"F{one.mailbox.parent_id}" if one.mailbox.parent_id else None,
    "role": lambda one: one.mailbox.role or None,
    "sortOrder": lambda one: one.mailbox.sort_order,
    "isSubscribed": lambda one: one.mailbox.subscribed,
    "totalEmails": lambda one: one.messages,
    "deletedAt": lambda one: utc_date(one.removed_at_ms),
    "expiresAt": lambda one: utc_date(one.expires_at_ms),
}
_MOST: Final = 100
"""Mailboxes brought back at once; store's own limit."""


class DeletedMailboxRestore(AccountArguments, kw_only=True):
    """Arguments of DeletedMailbox/restore; `ifInState` is a state of Mailbox."""

    if_in_state: str | None = None
    ids: list[str]
    with_emails: bool = True


async def deleted_mailbox_get(context: Context, arguments: DeletedGet) -> dict[str, Any]:
    """Show deleted mailboxes."""
    names = dict.fromkeys(["id", *(_SHOWN if arguments.properties is None else arguments.properties)])
    if any(name not in _SHOWN for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if len(arguments.ids or ()) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    answer = await context.store.removed.mailboxes(context.who)
    found = {f"F{one.mailbox.mailbox_id}": one for one in answer.mailboxes}
    if arguments.ids is None and len(found) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = list(found) if arguments.ids is None else list(dict.fromkeys(arguments.ids))
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.state),
        "list": [{name: _SHOWN[name](found[text]) for name in names} for text in wanted if text in found],
        "notFound": [text for text in wanted if text not in found],
    }


async def deleted_mailbox_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8620 §5.2, as DeletedEmail/changes."""
    return no_changes(arguments, (await context.store.removed.mailboxes(context.who)).state)


async def deleted_mailbox_set(context: Context, arguments: DeletedSet) -> dict[str, Any]:
    """RFC 8620 §5.3: to destroy a DeletedMailbox is to delete it for ever; messages that went with it stay DeletedEmails."""
    return await purge(context, arguments, "F")


async def deleted_mailbox_restore(context: Context, arguments: DeletedMailboxRestore) -> dict[str, Any]:
    """Bring mailboxes back, each with the messages that went with it; the states are of Mailbox."""
    asked: dict[int, str] = {}
    not_restored: dict[str, Any] = {}
    for text in dict.fromkeys(arguments.ids):
        number = ids.mailbox_number(context.resolve_id(text))
        if number is None or number in asked:
            not_restored[text] = SetError(SetFault.NOT_FOUND).as_object()
        else:
            asked[number] = text
    if len(asked) > min(_MOST, context.limits.objects_in_set):
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    request = pb.RestoreMailboxesRequest(
        mailbox_ids=list(asked), if_modseq=await wanted_state(context, arguments.if_in_state),
        without_messages=not arguments.with_emails,
    )  # fmt: skip
    try:
        answer = await context.store.removed.restore_mailboxes(context.who, request)
    except grpc.aio.AioRpcError as error:
        raise_mismatch(error, asked=arguments.if_in_state is not None)
    restored: dict[str, Any] = {}
    for (number, text), result in zip(asked.items(), answer.results, strict=True):
        if result.status != pb.RESTORE_STATUS_OK:
            not_restored[text] = refused(result.status).as_object()
            continue
        restored[text] = {
            "id": f"F{number}", "name": result.name, "role": result.role or None, "emails": result.messages,
            "parentId": f"F{result.parent_id}" if result.parent_id else None,
        }  # fmt: skip
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(answer.old_modseq),
        "newState": ids.state_text(answer.new_modseq),
        "restored": restored or None,
        "notRestored": not_restored or None,
    }
