"""Principal/get, /changes, /query, /queryChanges and /set (RFC 9670 §2): people of one's tenant.

There is no list of all: whoever knows an address finds the person behind it, and one sees with whom one shares. Children are shown to
nobody, and are shown nobody, until junior-guard decides on it (ADR 19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from petitbleu_gateway.domain.small_lists import ListQuery, ListQueryChanges, Matcher, convert, matcher, ordered, window
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.jmap.envelope import MAIL
from petitbleu_gateway.jmap.session import own_account, shared_account
from petitbleu_gateway.methods.changes import ChangesArguments
from petitbleu_gateway.ports import AwayError, Directory, Profile

_PROPERTIES: Final = ("id", "type", "name", "description", "email", "timeZone", "capabilities", "accounts")
_MOST_LOOKED_UP: Final = 10
"""Addresses that one call may ask for: finding people is not guessing them."""


class PrincipalGet(AccountArguments, kw_only=True):
    """Arguments of Principal/get (RFC 8620 §5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class PrincipalSet(AccountArguments, kw_only=True):
    """Arguments of Principal/set (RFC 8620 §5.3)."""

    if_in_state: str | None = None
    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


class _Condition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    account_ids: list[str] | None = None
    email: str | None = None
    name: str | None = None
    text: str | None = None
    type_: str | None = msgspec.field(name="type", default=None)
    time_zone: str | None = None


async def principal_get(context: Context, arguments: PrincipalGet) -> dict[str, Any]:
    """RFC 9670 §2.1."""
    names = dict.fromkeys(["id", *(_PROPERTIES if arguments.properties is None else arguments.properties)])
    if any(name not in _PROPERTIES for name in names):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
    known = await _related(context)
    found = {f"P{one.account_id}": one for one in known}
    wanted = list(found) if arguments.ids is None else list(dict.fromkeys(arguments.ids))
    if len(wanted) > context.limits.objects_in_get:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    numbers = [number for text in wanted if text not in found and (number := ids.principal_number(text))]
    found.update({f"P{one.account_id}": one for one in await _visible(context, numbers)})
    objects = {text: await _shown(context, found[text]) for text in wanted if text in found}
    return {
        "accountId": arguments.account_id,
        "state": _state(known),
        "list": [{name: one[name] for name in names} for one in objects.values()],
        "notFound": [text for text in wanted if text not in objects],
    }


async def principal_changes(_context: Context, _arguments: ChangesArguments) -> dict[str, Any]:
    """RFC 9670 §2.2: a directory need not know what changed."""
    raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)


async def principal_query(context: Context, arguments: ListQuery) -> dict[str, Any]:
    """RFC 9670 §2.4."""
    addresses: dict[str, None] = {}
    matches = matcher(arguments.filter, lambda given: _condition(given, addresses))
    known = await _related(context)
    numbers: list[int] = []
    if len(addresses) > _MOST_LOOKED_UP:
        raise MethodError(Fault.UNSUPPORTED_FILTER, "too many addresses")
    for address in addresses:
        numbers += await _reached(context, address)
    people = {one.account_id: one for one in (*known, *await _visible(context, numbers))}
    objects = [await _shown(context, people[number]) for number in sorted(people)]
    chosen = ordered([one for one in objects if matches(one)], arguments.sort, ("name", "email"))
    return window(arguments, [one["id"] for one in chosen], _state(known), changes=False)


async def principal_query_changes(_context: Context, _arguments: ListQueryChanges) -> dict[str, Any]:
    """RFC 9670 §2.5."""
    raise MethodError(Fault.CANNOT_CALCULATE_CHANGES)


async def principal_set(context: Context, arguments: PrincipalSet) -> dict[str, Any]:
    """RFC 9670 §2.3: people are administered elsewhere."""
    count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
    if count > context.limits.objects_in_set:
        raise MethodError(Fault.REQUEST_TOO_LARGE)
    state = _state(await _related(context))
    if arguments.if_in_state not in {None, state}:
        raise MethodError(Fault.STATE_MISMATCH)
    refused = SetError(SetFault.FORBIDDEN).as_object()
    return {
        "accountId": arguments.account_id, "oldState": state, "newState": state, "created": None, "updated": None,
        "destroyed": None,
        "notCreated": dict.fromkeys(arguments.create or (), refused) or None,
        "notUpdated": dict.fromkeys(arguments.update or (), refused) or None,
        "notDestroyed": dict.fromkeys(arguments.destroy or (), refused) or None,
    }  # fmt: skip


def _condition(given: dict[str, Any], addresses: dict[str, None]) -> Matcher:
    """Read a FilterCondition (RFC 9670 §2.4.1); whole addresses in it are looked up."""
    wanted = convert(given, _Condition)
    for text in (wanted.email, wanted.text):
        if text is not None and 0 < text.find("@") < len(text) - 1:
            addresses[text] = None

    def holds(text: str | None, *values: str | None) -> bool:
        return text is None or any(value is not None and text.casefold() in value.casefold() for value in values)

    def matches(one: dict[str, Any]) -> bool:
        return (
            (wanted.account_ids is None or not set(wanted.account_ids).isdisjoint(one["accounts"] or ()))
            and holds(wanted.email, one["email"])
            and holds(wanted.name, one["name"])
            and holds(wanted.text, one["name"], one["email"], one["description"])
            and (wanted.type_ is None or wanted.type_ == one["type"])
            and (wanted.time_zone is None or wanted.time_zone == one["timeZone"])
        )

    return matches


def _directory(context: Context) -> Directory:
    if context.shared is None:
        raise MethodError(Fault.SERVER_UNAVAILABLE)
    return context.shared.directory


async def _reached(context: Context, address: str) -> Sequence[int]:
    if context.shared is not None and not context.shared.may_look_up(context.person):
        raise MethodError(Fault.SERVER_UNAVAILABLE, "too many addresses within a minute")
    try:
        found = await _directory(context).reached(address)
    except AwayError:
        raise MethodError(Fault.SERVER_UNAVAILABLE) from None
    return found if len(found) == 1 else ()  # what reaches several is no person


async def _visible(context: Context, account_ids: Iterable[int]) -> list[Profile]:
    """Return those of the people whom one may see: adults of one's tenant, and oneself."""
    who = context.person
    wanted = sorted({one for one in account_ids if who.is_adult or one == who.account_id})
    if not wanted:
        return []
    try:
        found = await _directory(context).profiles(wanted)
    except AwayError:
        raise MethodError(Fault.SERVER_UNAVAILABLE) from None
    return [
        one
        for one in found
        if one.account_id == who.account_id or (one.tenant_id == who.tenant_id and one.active and not one.guarded)
    ]


async def _related(context: Context) -> list[Profile]:
    """Return oneself, who shares with one, and with whom one shares."""
    who = context.person
    related = {who.account_id}
    if context.shared is not None:
        related |= {one.account_id for one in await context.shared.of(who)}
    for box in (await context.store.mailboxes(who)).mailboxes:
        related |= {share.account_id for share in box.shares}
    # at most so many at once; of more, whoever is looked for is found
    return await _visible(context, sorted(related)[:1000])


async def _shown(context: Context, one: Profile) -> dict[str, Any]:
    """Return a Principal (RFC 9670 §2)."""
    who = context.person
    shared = () if context.shared is None else await context.shared.of(who)
    own = ids.account_id_text(who.account_id)
    accounts: dict[str, Any] = {}
    if context.session_limits is not None:  # RFC 9670 §2: Account objects as in the session
        accounts = {
            ids.account_id_text(there.account_id): shared_account(there, context.session_limits, own)
            for there in shared
            if there.account_id == one.account_id
        }
        if one.account_id == who.account_id:
            accounts[own] = own_account(who, context.session_limits)
    return {
        "id": f"P{one.account_id}",
        "type": "individual",
        "name": one.name,
        "description": None,
        "email": one.address or None,
        "timeZone": None,
        "capabilities": {MAIL: {}},
        "accounts": accounts or None,
    }


def _state(known: Sequence[Profile]) -> str:
    facts = msgspec.json.encode([[one.account_id, one.name, one.address] for one in known])
    return hashlib.blake2b(facts, digest_size=9).hexdigest()
