"""PushSubscription/get and PushSubscription/set (RFC 8620 §7.2): of the credential that asks, and of no account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc
import msgspec

from petitbleu.accounts.v1 import push_pb2 as pb
from petitbleu_gateway.domain.push_subscriptions import (
    READABLE,
    SECRET,
    changed,
    created,
    read_new,
    read_patch,
    show,
    subscription_id,
    subscription_number,
    told_message,
)
from petitbleu_gateway.errors import Fault, MethodError, SetError, SetFault, invalid
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import Context
from petitbleu_gateway.ports import Identity
from petitbleu_gateway.service.push import States


class PushSubscriptions(Protocol):
    """Accounts, as far as people's own subscriptions go. Raises grpc.aio.AioRpcError as accounts answered."""

    async def all(self, who: Identity, server_key: bytes) -> Sequence[pb.PushSubscription]:
        """Give those that the person's credential made."""

    async def update(self, who: Identity, request: pb.UpdatePushSubscriptionsRequest) -> Sequence[pb.PushResult]:
        """Change those that the person's credential made."""


class PushSubscriptionGet(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Arguments of PushSubscription/get: no accountId (RFC 8620 §7.2.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class PushSubscriptionSet(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Arguments of PushSubscription/set: no accountId, no ifInState (RFC 8620 §7.2.2)."""

    create: dict[ids.IdText, dict[str, Any]] | None = None
    update: dict[str, dict[str, Any]] | None = None
    destroy: list[str] | None = None


_REFUSALS: Final[Mapping[int, SetError]] = {
    pb.PUSH_STATUS_NOT_FOUND: SetError(SetFault.NOT_FOUND),
    pb.PUSH_STATUS_WRONG_CODE: invalid("verificationCode", why="it is another"),  # RFC 8620 §7.2.2
    pb.PUSH_STATUS_TOO_MANY: SetError(SetFault.OVER_QUOTA, "the account has as many as it may"),
    pb.PUSH_STATUS_LIMITED: SetError(SetFault.RATE_LIMIT, "the account made many of late"),
}


@dataclass(slots=True)
class _Told:
    """What the answer tells of each object."""

    created: dict[str, Any] = field(default_factory=dict)
    updated: dict[str, Any] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    not_created: dict[str, Any] = field(default_factory=dict)
    not_updated: dict[str, Any] = field(default_factory=dict)
    not_destroyed: dict[str, Any] = field(default_factory=dict)


class PushSubscriptionMethods:
    """The methods.

    Args:
        subscriptions: Where they are.
        states: Says how far an account is.
        server_key: Public key by which we post, empty for none.
        subscribed: Told of the account whose subscriptions changed: whoever posts in this process need not wait for the bus.
    """

    def __init__(
        self, subscriptions: PushSubscriptions, states: States, server_key: bytes, subscribed: Callable[[int], None]
    ) -> None:
        self._subscribed = subscribed
        self._subscriptions = subscriptions
        self._states = states
        self._server_key = server_key

    async def get(self, context: Context, arguments: PushSubscriptionGet) -> dict[str, Any]:
        """RFC 8620 §7.2.1."""
        wanted = READABLE if arguments.properties is None else arguments.properties
        if SECRET & set(wanted):
            raise MethodError(Fault.FORBIDDEN, "url and keys are not given back")
        names = dict.fromkeys(["id", *wanted])
        if any(name not in READABLE for name in names):
            raise MethodError(Fault.INVALID_ARGUMENTS, "no such property")
        if arguments.ids is not None and len(arguments.ids) > context.limits.objects_in_get:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        own = await self._own(context)
        missing: list[str] = []
        if arguments.ids is None:
            found = list(own.values())
        else:
            found = []
            for resolved, text in {context.resolve_id(text): text for text in arguments.ids}.items():
                one = own.get(subscription_number(resolved) or 0)
                if one is None:
                    missing.append(text)
                else:
                    found.append(one)
        return {"list": [show(one, names) for one in found], "notFound": missing}

    async def _own(self, context: Context) -> dict[int, pb.PushSubscription]:
        found = await self._subscriptions.all(context.who, self._server_key)
        return {one.subscription_id: one for one in found}

    async def set(self, context: Context, arguments: PushSubscriptionSet) -> dict[str, Any]:
        """RFC 8620 §7.2.2; creations are done first, so that the rest may name them."""
        count = len(arguments.create or ()) + len(arguments.update or ()) + len(arguments.destroy or ())
        if count > context.limits.objects_in_set:
            raise MethodError(Fault.REQUEST_TOO_LARGE)
        told = _Told()
        await self._create(context, arguments.create or {}, told)
        try:
            await self._change(context, arguments, told)
        except grpc.aio.AioRpcError:
            if not told.created:
                raise
            raise MethodError(Fault.SERVER_PARTIAL_FAIL) from None
        return {
            "created": told.created or None,
            "updated": told.updated or None,
            "destroyed": told.destroyed or None,
            "notCreated": told.not_created or None,
            "notUpdated": told.not_updated or None,
            "notDestroyed": told.not_destroyed or None,
        }

    async def _send(
        self, context: Context, updates: list[pb.PushSubscriptionUpdate], told: pb.PushTold | None = None
    ) -> Sequence[pb.PushResult]:
        request = pb.UpdatePushSubscriptionsRequest(updates=updates, told=told, server_key=self._server_key)
        results = await self._subscriptions.update(context.who, request)
        self._subscribed(context.who.account_id)
        return results

    async def _create(self, context: Context, create: dict[str, dict[str, Any]], told: _Told) -> None:
        now = int(time.time())
        wanted: dict[str, pb.PushSubscriptionUpdate] = {}
        for creation_id, given in create.items():
            try:
                wanted[creation_id] = read_new(given, now)
            except SetError as error:
                told.not_created[creation_id] = error.as_object()
        if not wanted:
            return
        account = context.who.account_id
        state = (await self._states.states([account])).get(account)
        if state is None:
            raise MethodError(Fault.SERVER_UNAVAILABLE)
        # whatever changes from now on is pushed, as soon as the subscription is verified
        begins = told_message(state)
        results = await self._send(context, list(wanted.values()), begins)
        for creation_id, result in zip(wanted, results, strict=True):
            if result.status == pb.PUSH_STATUS_OK:
                told.created[creation_id] = created(result.subscription, create[creation_id])
                context.created_ids[creation_id] = subscription_id(result.subscription.subscription_id)
            else:
                told.not_created[creation_id] = _REFUSALS[result.status].as_object()

    async def _change(self, context: Context, arguments: PushSubscriptionSet, told: _Told) -> None:
        now = int(time.time())
        doomed = {context.resolve_id(text): text for text in arguments.destroy or ()}
        patches = arguments.update or {}
        own = await self._own(context) if patches else {}
        steps: list[tuple[str, pb.PushSubscriptionUpdate]] = []
        for text, patch in patches.items():
            resolved = context.resolve_id(text)
            number = subscription_number(resolved) or 0
            try:
                if number not in own:
                    raise SetError(SetFault.NOT_FOUND)  # noqa: TRY301
                if resolved in doomed:
                    raise SetError(SetFault.WILL_DESTROY)  # noqa: TRY301 — RFC 8620 §5.3
                steps.append((text, read_patch(number, patch, own[number], now)))
            except SetError as error:
                told.not_updated[text] = error.as_object()
        for resolved, text in doomed.items():
            number = subscription_number(resolved) or 0
            if number:
                steps.append((text, pb.PushSubscriptionUpdate(subscription_id=number, destroy=True)))
            else:
                told.not_destroyed[text] = SetError(SetFault.NOT_FOUND).as_object()
        results = await self._send(context, [update for _, update in steps]) if steps else []
        for (text, update), result in zip(steps, results, strict=True):
            name = subscription_id(update.subscription_id)
            if result.status != pb.PUSH_STATUS_OK:
                refused = told.not_destroyed if update.destroy else told.not_updated
                refused[text] = _REFUSALS[result.status].as_object()
            elif update.destroy:
                told.destroyed.append(name)
            else:
                told.updated[name] = changed(result.subscription, patches[text]) or None
