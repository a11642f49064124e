"""DeletedEmail/get, /changes, /query, /set and /restore: what a person destroyed, and its return (docs/undo.md, ADR 20).

A DeletedEmail has the id that the Email had, and that it has again once it is restored. Its states are of its own: they move with
each deletion, return and end of what is kept.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import grpc
import msgspec

from petitbleu.store.v1 import removed_pb2 as pb
from petitbleu_gateway.domain.email_view import EmailView, Reading, utc_date
from petitbleu_gateway.domain.filters import Int, UnsignedInt, UTCDate, millis
from petitbleu_gateway.domain.patches import read_mailboxes
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments
from petitbleu_gateway.methods.storing import wanted_state

_OF_EMAIL: Final = (
    "id", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "sentAt", "from", "to", "cc", "bcc", "subject", "preview",
    "hasAttachment",
)  # fmt: skip
PROPERTIES: Final = frozenset({*_OF_EMAIL, "deletedAt", "expiresAt", "withMailbox"})
_SORTS: Final = {
    "deletedAt": pb.REMOVED_SORT_REMOVED_AT,
    "receivedAt": pb.REMOVED_SORT_RECEIVED_AT,
    "size": pb.REMOVED_SORT_SIZE,
}


class DeletedGet(AccountArguments, kw_only=True):
    """Arguments of DeletedEmail/get and DeletedMailbox/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class DeletedEmailFilter(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to look for: when it was deleted, and where it was."""

    before: UTCDate | None = None
    after: UTCDate | None = None
    in_mailbox: str | None = None


class DeletedEmailQuery(AccountArguments, kw_only=True):
    """Arguments of DeletedEmail/query (RFC 8620 §5.5)."""

    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None
    calculate_total: bool = False


class DeletedSet(AccountArguments, kw_only=True):
    """Arguments of DeletedEmail/set and DeletedMailbox/set (RFC 8620 §5.3): only `destroy` does anything."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


class DeletedEmailRestore(AccountArguments, kw_only=True):
    """Arguments of DeletedEmail/restore; `ifInState` is a state of Email."""

    if_in_state: str | None = None
    restore: dict[str, dict[str, Any] | None]


async def deleted_email_get(context: Context, arguments: DeletedGet) -> dict[str, Any]:
    """Show deleted messages, without their bodies."""
    names = dict.fromkeys(["id", *(sorted(PROPERTIES) if arguments.properties is None else arguments.properties)])
    if any(name not in PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    view = EmailView([name for name in names if name in _OF_EMAIL], ())
    if arguments.ids is None:
        # RFC 8620 §5.1: all of them, if they are few enough
        request = pb.QueryRemovedRequest(limit=min(context.limits.objects_in_get + 1, 1000))
        told = await context.store.removed.query(context.who, request)
        if told.total > context.limits.objects_in_get:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        wanted = {f"M{number}": f"M{number}" for number in told.message_ids}
    else:
        wanted = {context.resolve_id(text): text for text in arguments.ids}
    if len(wanted) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    numbers = [number for text in wanted if (number := ids.message_number(text)) is not None]
    answer = await context.store.removed.messages(context.who, numbers)
    found = {f"M{one.message.message_id}": one for one in answer.messages}
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(answer.state),
        "list": [_shown(view, found[text], names) for text in wanted if text in found],
        "notFound": [text for resolved, text in wanted.items() if resolved not in found]
        if arguments.ids is not None
        else [],
    }


def _shown(view: EmailView, one: pb.RemovedMessage, names: dict[str, None]) -> dict[str, Any]:
    shown = view.show(Reading(one.message))
    own = {
        "deletedAt": utc_date(one.removed_at_ms),
        "expiresAt": utc_date(one.expires_at_ms),
        "withMailbox": one.with_mailbox,
    }
    return shown | {name: value for name, value in own.items() if name in names}


async def deleted_email_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 8620 §5.2: what is kept has no log, so only the state that is current can be told from."""
    now = (await context.store.removed.messages(context.who, ())).state
    return no_changes(arguments, now)


def no_changes(arguments: ChangesArguments, now: int) -> dict[str, Any]:
    """Return that nothing changed.

    Raises:
        MethodError: `cannotCalculateChanges` for any state but the current one.
    """
    if ids.state_number(arguments.since_state) != now:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    return {
        "accountId": arguments.account_id, "oldState": arguments.since_state, "newState": arguments.since_state,
        "hasMoreChanges": False, "created": [], "updated": [], "destroyed": [],
    }  # fmt: skip


async def deleted_email_query(context: Context, arguments: DeletedEmailQuery) -> dict[str, Any]:
    """RFC 8620 §5.5, over what is kept; the last deleted comes first unless told otherwise."""
    limit = context.limits.query if arguments.limit is None else min(arguments.limit, context.limits.query)
    request = pb.QueryRemovedRequest(limit=limit)
    _read_filter(context, arguments.filter, request)
    _read_sort(arguments.sort, request)
    if arguments.anchor is None:
        request.position = arguments.position
    else:
        anchor = ids.message_number(context.resolve_id(arguments.anchor))
        if anchor is None:
            raise MethodError(Fault.ANCHOR_NOT_FOUND)
        request.anchor, request.anchor_offset = anchor, arguments.anchor_offset
    answer = await context.store.removed.query(context.who, request)
    if answer.anchor_not_found:
        raise MethodError(Fault.ANCHOR_NOT_FOUND)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "queryState": ids.state_text(answer.state),
        "canCalculateChanges": False,
        "position": answer.position,
        "ids": [f"M{number}" for number in answer.message_ids],
    }
    if arguments.calculate_total:
        result["total"] = answer.total
    if arguments.limit != limit:
        result["limit"] = limit  # RFC 8620 §5.5: only when the server set it
    return result


def _read_filter(context: Context, given: dict[str, Any] | None, request: pb.QueryRemovedRequest) -> None:
    if given is None:
        return
    if "operator" in given:
        raise MethodError(Fault.UNSUPPORTED_FILTER)
    try:
        wanted = msgspec.convert(given, DeletedEmailFilter)
    except msgspec.ValidationError as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, str(error)) from None
    if wanted.before is not None:
        request.before_ms = millis(wanted.before)
    if wanted.after is not None:
        request.after_ms = millis(wanted.after)
    if wanted.in_mailbox is not None:
        number = ids.mailbox_number(context.resolve_id(wanted.in_mailbox))
        if number is None:
            raise MethodError(Fault.INVALID_ARGUMENTS, "inMailbox is no id of a mailbox")
        request.in_mailbox = number


def _read_sort(given: list[dict[str, Any]] | None, request: pb.QueryRemovedRequest) -> None:
    if not given:
        return
    first = given[0]
    if len(given) > 1 or first.get("property") not in _SORTS or not set(first) <= {"property", "isAscending"}:
        raise MethodError(Fault.UNSUPPORTED_SORT)
    ascending = first.get("isAscending", True)  # RFC 8620 §5.5
    if not isinstance(ascending, bool):
        raise MethodError(Fault.INVALID_ARGUMENTS, "isAscending is no Boolean")
    request.sort, request.ascending = _SORTS[first["property"]], ascending


async def deleted_email_set(context: Context, arguments: DeletedSet) -> dict[str, Any]:
    """RFC 8620 §5.3: to destroy a DeletedEmail is to delete it for ever."""
    return await purge(context, arguments, "M")


async def purge(context: Context, arguments: DeletedSet, letter: str) -> dict[str, Any]:
    """Answer a /set of DeletedEmails ("M") or DeletedMailboxes ("F"): nothing is created or changed, and what is destroyed is gone.

    Raises:
        MethodError: `requestTooLarge`, `stateMismatch`.
    """
    destroy = {context.resolve_id(text): text for text in arguments.destroy or ()}
    if len(arguments.create or ()) + len(arguments.update or ()) + len(destroy) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    read = ids.message_number if letter == "M" else ids.mailbox_number
    numbers = [number for text in destroy if (number := read(text)) is not None]
    request = pb.PurgeRemovedRequest()
    (request.message_ids if letter == "M" else request.mailbox_ids).extend(numbers)
    if arguments.if_in_state is not None:
        wanted = ids.state_number(arguments.if_in_state)
        if wanted is None:
            raise MethodError(Fault.STATE_MISMATCH)
        request.if_state = wanted
    try:
        answer = await context.store.removed.purge(context.who, request)
    except grpc.aio.AioRpcError as error:
        raise_mismatch(error, asked=arguments.if_in_state is not None)
    gone = {f"{letter}{number}" for number in (answer.message_ids if letter == "M" else answer.mailbox_ids)}
    forbidden = SetError(SetFault.FORBIDDEN).as_object()
    missing = SetError(SetFault.NOT_FOUND).as_object()
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(answer.old_state),
        "newState": ids.state_text(answer.new_state),
        "created": None,
        "updated": None,
        "destroyed": [text for resolved, text in destroy.items() if resolved in gone] or None,
        "notCreated": dict.fromkeys(arguments.create or (), forbidden) or None,
        "notUpdated": dict.fromkeys(arguments.update or (), forbidden) or None,
        "notDestroyed": {text: missing for resolved, text in destroy.items() if resolved not in gone} or None,
    }


def raise_mismatch(error: grpc.aio.AioRpcError, *, asked: bool) -> NoReturn:
    """Raise what an answer of store means: `stateMismatch`, when a state was asked for, or the answer itself."""
    if asked and error.code() == grpc.StatusCode.ABORTED:
        raise MethodError(Fault.STATE_MISMATCH) from None
    raise error


def refused(status: pb.RestoreStatus.ValueType) -> SetError:
    """Return the SetError that an outcome of store is."""
    if status == pb.RESTORE_STATUS_NOT_FOUND:
        return SetError(SetFault.NOT_FOUND)
    if status == pb.RESTORE_STATUS_INVALID_MAILBOX:
        return invalid("mailboxIds", why="no such mailbox")
    if status == pb.RESTORE_STATUS_OVER_QUOTA:
        return SetError(SetFault.OVER_QUOTA)
    return SetError(SetFault.FORBIDDEN, "full" if status == pb.RESTORE_STATUS_TOO_MANY else "")


async def deleted_email_restore(context: Context, arguments: DeletedEmailRestore) -> dict[str, Any]:
    """Bring messages back; the answer shows the Emails that they are again, and states of Email."""
    if len(arguments.restore) > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    request = pb.RestoreMessagesRequest(if_modseq=await wanted_state(context, arguments.if_in_state))
    asked: dict[int, str] = {}
    not_restored: dict[str, Any] = {}
    for text, change in arguments.restore.items():
        try:
            number = ids.message_number(context.resolve_id(text))
            if number is None or number in asked:
                raise SetError(SetFault.NOT_FOUND)  # noqa: TRY301
            request.restorations.append(pb.Restoration(message_id=number, mailbox_ids=_target(context, change or {})))
            asked[number] = text
        except SetError as error:
            not_restored[text] = error.as_object()
    try:
        answer = await context.store.removed.restore(context.who, request)
    except grpc.aio.AioRpcError as error:
        raise_mismatch(error, asked=arguments.if_in_state is not None)
    restored: dict[str, Any] = {}
    view = EmailView(["id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"], ())
    for (number, text), result in zip(asked.items(), answer.results, strict=True):
        if result.status != pb.RESTORE_STATUS_OK:
            not_restored[text] = refused(result.status).as_object()
        else:
            result.message.message_id = number
            restored[text] = view.show(Reading(result.message))
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(answer.old_modseq),
        "newState": ids.state_text(answer.new_modseq),
        "restored": restored or None,
        "notRestored": not_restored or None,
    }


def _target(context: Context, change: dict[str, Any]) -> list[int]:
    """Return the mailboxes that a message shall be in, none for where it was."""
    wrong = [name for name in change if name != "mailboxIds"]
    if wrong:
        raise invalid(*wrong, why="may not be set")
    return [] if change.get("mailboxIds") is None else read_mailboxes(change["mailboxIds"], context.resolve_id)
