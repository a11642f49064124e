"""Quota/get, /changes, /query and /queryChanges (RFC 9425 §4).

A Quota's state is the account's modseq: it moves whenever the octets used or the limit do, and with other changes too.
"""

from __future__ import annotations

from typing import Any

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.domain.filters import Int, UnsignedInt
from petitbleu_gateway.domain.quota_view import OCTETS, PROPERTIES, matcher, quotas, sort_properties
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.methods.changes import ChangesArguments


class QuotaGet(AccountArguments, kw_only=True):
    """Arguments of Quota/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class _ListArguments(AccountArguments, kw_only=True):
    filter: dict[str, Any] | None = None
    sort: list[dict[str, Any]] | None = None
    calculate_total: bool = False


class QuotaQuery(_ListArguments, kw_only=True):
    """Arguments of Quota/query (RFC 8620 §5.5)."""

    position: Int = 0
    anchor: str | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None


class QuotaQueryChanges(_ListArguments, kw_only=True):
    """Arguments of Quota/queryChanges (RFC 8620 §5.6)."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: str | None = None


async def quota_get(context: Context, arguments: QuotaGet) -> dict[str, Any]:
    """RFC 9425 §4.2."""
    names = dict.fromkeys(["id", *(PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    state = await context.store.state(context.who)
    found = {quota["id"]: quota for quota in quotas(state, context.using)}
    wanted = list(found) if arguments.ids is None else list(dict.fromkeys(arguments.ids))
    return {
        "accountId": arguments.account_id,
        "state": ids.state_text(state.modseq),
        "list": [{name: found[text][name] for name in names} for text in wanted if text in found],
        "notFound": [text for text in wanted if text not in found],
    }


def _known(text: str, state: pb.GetStateResponse) -> int:
    since = ids.state_number(text)
    if since is None or since > state.modseq:
        raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)
    return since


async def quota_changes(context: Context, arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 9425 §4.3: `updatedProperties` tells when only `used` may have changed."""
    state = await context.store.state(context.who)
    since = _known(arguments.since_state, state)
    created, updated, destroyed = [], [], []
    if quotas(state, context.using):
        if state.limited_modseq > since:
            created.append(OCTETS)
        elif state.modseq > since:
            updated.append(OCTETS)
    elif not state.quota_octets and state.limit_modseq > since:
        destroyed.append(OCTETS)
    return {
        "accountId": arguments.account_id,
        "oldState": arguments.since_state,
        "newState": ids.state_text(state.modseq),
        "hasMoreChanges": False,
        "created": created,
        "updated": updated,
        "destroyed": destroyed,
        "updatedProperties": ["used"] if updated and state.limit_modseq <= since else None,
    }


async def quota_query(context: Context, arguments: QuotaQuery) -> dict[str, Any]:
    """RFC 9425 §4.4."""
    matches = matcher(arguments.filter)
    sort_properties(arguments.sort)
    state = await context.store.state(context.who)
    found = [quota["id"] for quota in quotas(state, context.using) if matches(quota)]
    start = arguments.position
    if arguments.anchor is not None:
        # RFC 8620 §5.5: position is ignored with an anchor
        if arguments.anchor not in found:
            raise MethodError(Fault.ANCHOR_NOT_FOUND)
        start = max(0, found.index(arguments.anchor) + arguments.anchor_offset)
    elif start < 0:
        start = max(0, len(found) + start)
    end = len(found) if arguments.limit is None else start + arguments.limit
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "queryState": ids.state_text(state.modseq),
        "canCalculateChanges": True,
        "position": start,
        "ids": found[start:end],
    }
    if arguments.calculate_total:
        result["total"] = len(found)
    return result


async def quota_query_changes(context: Context, arguments: QuotaQueryChanges) -> dict[str, Any]:
    """RFC 9425 §4.5: what filters look at never changes; a sort by `used` is one by what does."""
    matches = matcher(arguments.filter)
    by_use = "used" in sort_properties(arguments.sort)
    state = await context.store.state(context.who)
    since = _known(arguments.since_query_state, state)
    now = [quota["id"] for quota in quotas(state, context.using) if matches(quota)]
    came = state.limited_modseq > since
    added = [
        {"id": text, "index": index} for index, text in enumerate(now) if came or (by_use and state.modseq > since)
    ]
    gone = not state.quota_octets and state.limit_modseq > since
    removed = [OCTETS] if gone or (added and not came) else []
    if arguments.max_changes is not None and len(added) + len(removed) > arguments.max_changes:
        raise MethodError(Fault.TOO_MANY_CHANGES)
    result: dict[str, Any] = {
        "accountId": arguments.account_id,
        "oldQueryState": arguments.since_query_state,
        "newQueryState": ids.state_text(state.modseq),
        "removed": removed,
        "added": added,
    }
    if arguments.calculate_total:
        result["total"] = len(now)
    return result
