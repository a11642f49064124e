"""ShareNotification/get, /changes, /set, /query and /queryChanges (RFC 9670 §3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import grpc
import msgspec

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import sharing_pb2
from petitbleu_gateway.domain.filters import UTCDate, millis
from petitbleu_gateway.domain.shares import rights_object
from petitbleu_gateway.domain.small_lists import ListQuery, ListQueryChanges, Matcher, convert, matcher, ordered, window
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments, changes
from petitbleu_gateway.ports import AwayError, Profile, Sharing

_PROPERTIES: Final = (
    "id", "created", "changedBy", "objectType", "objectAccountId", "objectId", "oldRights", "newRights", "name",
)  # fmt: skip


class NotificationGet(AccountArguments, kw_only=True):
    """Arguments of ShareNotification/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class NotificationSet(AccountArguments, kw_only=True):
    """Arguments of ShareNotification/set (RFC 8620 §5.3)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    after: UTCDate | None = None
    before: UTCDate | None = None
    object_type: str | None = None
    object_account_id: str | None = None


async def notification_get(context: Context, arguments: NotificationGet) -> dict[str, Any]:
    """RFC 9670 §3.3."""
    names = dict.fromkeys(["id", *(_PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in _PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    objects, state = await _all(context)
    found = {one["id"]: one for one in objects}
    wanted = list(found) if arguments.ids is None else list(dict.fromkeys(arguments.ids))
    return {
        "accountId": arguments.account_id,
        "state": state,
        "list": [{name: found[text][name] for name in names} for text in wanted if text in found],
        "notFound": [text for text in wanted if text not in found],
    }


async def notification_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 9670 §3.4."""
    return (await changes(context, arguments, pb.CHANGE_KIND_SHARE_NOTIFICATION, "N"))[0]


async def notification_query(context: Context, arguments: ListQuery) -> dict[str, Any]:
    """RFC 9670 §3.6."""
    matches = matcher(arguments.filter, _condition)
    objects, state = await _all(context)
    chosen = ordered([one for one in objects if matches(one)], arguments.sort, ("created",))
    return window(arguments, [one["id"] for one in chosen], state, changes=False)


async def notification_query_changes(_context: Context, _arguments: ListQueryChanges) -> dict[str, Any]:
    """RFC 9670 §3.7; there are at most 100, which are soon asked for again."""
    raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)


async def notification_set(context: Context, arguments: NotificationSet) -> dict[str, Any]:
    """RFC 9670 §3.5: notifications are dismissed, and nothing else."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    wanted = 0
    if arguments.if_in_state is not None:
        wanted = ids.state_number(arguments.if_in_state) or 0
        if wanted != (await context.store.state(context.who)).modseq:
            raise MethodError(Fault.STATE_MISMATCH)
    numbers = {text: ids.notification_number(context.resolve_id(text)) for text in arguments.destroy or ()}
    try:
        gone = await _sharing(context).dismiss(
            context.who, [number for number in numbers.values() if number is not None], wanted
        )
    except grpc.aio.AioRpcError as error:
        if wanted and error.code() == grpc.StatusCode.ABORTED:
            raise MethodError(Fault.STATE_MISMATCH) from None
        raise
    refused = SetError(SetFault.FORBIDDEN).as_object()
    missing = SetError(SetFault.NOT_FOUND).as_object()
    destroyed = [text for text, number in numbers.items() if number in gone.notification_ids]
    return {
        "accountId": arguments.account_id,
        "oldState": ids.state_text(gone.old_modseq),
        "newState": ids.state_text(gone.new_modseq),
        "created": None,
        "updated": None,
        "destroyed": destroyed or None,
        "notCreated": dict.fromkeys(arguments.create or (), refused) or None,
        "notUpdated": dict.fromkeys(arguments.update or (), refused) or None,
        "notDestroyed": {text: missing for text in numbers if text not in destroyed} or None,
    }


def _condition(given: dict[str, Any]) -> Matcher:
    """Read a FilterCondition (RFC 9670 §3.6.1)."""
    wanted = convert(given, _Condition)
    after, before = (None if date is None else millis(date) for date in (wanted.after, wanted.before))

    def matches(one: dict[str, Any]) -> bool:
        created = millis(one["created"])
        return (
            (after is None or created >= after)
            and (before is None or created < before)
            and (wanted.object_type is None or wanted.object_type == one["objectType"])
            and (wanted.object_account_id is None or wanted.object_account_id == one["objectAccountId"])
        )

    return matches


def _sharing(context: Context) -> Sharing:
    if context.shared is None:
        raise MethodError(Fault.SERVER_UNAVAILABLE)
    return context.shared.sharing


async def _all(context: Context) -> tuple[list[dict[str, Any]], str]:
    """Return all notifications, oldest first, and their state."""
    answer = await _sharing(context).notifications(context.who)
    owners = sorted({one.owner_account_id for one in answer.notifications})
    people: dict[int, Profile] = {}
    if owners and context.shared is not None:
        try:
            people = {one.account_id: one for one in await context.shared.directory.profiles(owners)}
        except AwayError:
            raise MethodError(Fault.SERVER_UNAVAILABLE) from None
    return [_shown(one, people.get(one.owner_account_id)) for one in answer.notifications], ids.state_text(
        answer.modseq
    )


def _shown(one: sharing_pb2.ShareNotification, owner: Profile | None) -> dict[str, Any]:
    """Return a ShareNotification (RFC 9670 §3.2)."""
    there = owner is not None and owner.active
    return {
        "id": f"N{one.notification_id}",
        "created": datetime.fromtimestamp(one.created_at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "changedBy": {
            "name": owner.name if owner is not None and there else "",
            "email": owner.address if owner is not None and there else None,
            "principalId": f"P{one.owner_account_id}" if there else None,
        },
        "objectType": "Mailbox",
        "objectAccountId": ids.account_id_text(one.owner_account_id),
        "objectId": f"F{one.mailbox_id}",
        "oldRights": rights_object(one.old_rights) if one.old_rights else None,
        "newRights": rights_object(one.new_rights) if one.new_rights else None,
        "name": one.name,
    }
