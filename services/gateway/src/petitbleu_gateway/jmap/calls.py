"""The run of a request's method calls, one after the other (RFC 8620 §3.3-§3.7)."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import grpc
import msgspec
from prometheus_client import Counter, Histogram

from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu_gateway.errors import Fault, MethodError, fault_of
from petitbleu_gateway.jmap import ids, read_ahead, references
from petitbleu_gateway.jmap.envelope import Request
from petitbleu_gateway.jmap.session import SessionLimits
from petitbleu_gateway.ports import AwayError, Identity, MailStore, People
from petitbleu_gateway.service.shared_accounts import SharedAccounts, acting
from petitbleu_kit.logs import get_logger
from petitbleu_kit.telemetry import span

_log = get_logger(__name__)
_calls = Counter("petitbleu_jmap_calls_total", "JMAP method calls", ["method", "outcome"])
_seconds = Histogram(
    "petitbleu_jmap_call_seconds", "Duration of JMAP method calls", ["method"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)  # fmt: skip


# A look-up by labels costs more than the count itself; methods and outcomes are few.
@functools.cache
def _calls_of(method: str, outcome: str) -> Counter:
    return _calls.labels(method=method, outcome=outcome)


@functools.cache
def _seconds_of(method: str) -> Histogram:
    return _seconds.labels(method=method)


class AccountArguments(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Arguments of a method of one account."""

    account_id: str


Arguments = TypeVar("Arguments")


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """Limits of the session object and of the service that methods keep."""

    objects_in_get: int
    objects_in_set: int
    query: int
    blob_octets: int
    draft_octets: int
    response_octets: int
    blob_set_octets: int


@dataclass(slots=True)
class Context:
    """What the calls of one request share.

    `reserve` asks for room for octets; `held` is what was given until the request is done, `kept` what its responses have. `others` are further
    accounts of the session, by their JMAP ids. `using` is what the client said that it uses. `implied` are the
    responses of calls that a method made of its own accord (RFC 8620 §5.4); they stand behind its own.
    `created_ids` maps creation ids to ids (RFC 8620 §3.3). `blob_octets` is what was read of blobs, `answered` the octets of the
    responses so far, `weighed` those of the response that is being made, as far as its method weighs it. `read_ahead` says that
    the next call gets what this one finds, and `ahead` is what was found and read for it. While a method works on another's account,
    `me` is who the person is in their own; `shared` tells which others there are, `session_limits` is what
    the session object says of accounts.
    """

    who: Identity
    store: MailStore
    limits: MethodLimits
    people: People
    created_ids: dict[str, str] = field(default_factory=dict)
    blob_octets: int = 0
    answered: int = 0
    weighed: int = 0
    others: Mapping[str, Identity] = field(default_factory=dict)
    using: frozenset[str] = frozenset()
    implied: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reserve: Callable[[int], bool] | None = None
    held: int = 0
    kept: int = 0
    shared: SharedAccounts | None = None
    me: Identity | None = None
    read_only: frozenset[int] = frozenset()
    session_limits: SessionLimits | None = None
    read_ahead: bool = False
    ahead: pb.QueryMessagesResponse | None = None

    def account(self, text: str) -> Identity | None:
        """Return who the person is in an account, None when they have no part in it."""
        for who in (self.who, self.me):
            if who is not None and text == ids.account_id_text(who.account_id):
                return who
        return self.others.get(text)

    @property
    def person(self) -> Identity:
        """Who the person is in their own account."""
        return self.me or self.who

    async def look_for(self, text: str) -> Identity | None:
        """Return who the person is in an account, which may be another's that shares something with them."""
        found = self.account(text)
        if found is None and self.shared is not None and ids.account_number(text) is not None:
            there = await self.shared.of(self.person)
            if all(ids.account_id_text(one.account_id) != text for one in there):
                # it may have been shared a moment ago
                try:
                    there = await self.shared.anew(self.person)
                except AwayError:
                    raise MethodError(Fault.SERVER_UNAVAILABLE) from None
            self.others = {ids.account_id_text(one.account_id): acting(self.person, one.account_id) for one in there}
            self.read_only = frozenset(one.account_id for one in there if one.read_only)
            found = self.others.get(text)
        return found

    def spend(self, octets: int) -> None:
        """Count octets of blobs that the request reads.

        Raises:
            MethodError: `requestTooLarge` when the request asks for more than one request may.
        """
        self.blob_octets += octets
        if self.blob_octets > self.limits.blob_octets:
            raise MethodError(
                Fault.REQUEST_TOO_LARGE, "the request asks for more octets of messages than one may", limit="octets"
            )

    def hold(self, octets: int) -> None:
        """Count octets of a blob that is read as a whole, which takes memory until the request is done.

        Raises:
            MethodError: `requestTooLarge` as `spend`; `serverUnavailable` when the process holds as much as it may.
        """
        self.spend(octets)
        if self.reserve is not None:
            if not self.reserve(octets):
                raise MethodError(Fault.SERVER_UNAVAILABLE)
            self.held += octets

    def keep(self, octets: int) -> bool:
        """Take room for octets of a response, or return False."""
        if self.reserve is not None:
            if not self.reserve(octets):
                return False
            self.kept += octets
        return True

    def weigh(self, value: Any) -> None:
        """Count a piece of the response that is being made, before all of it is there.

        Raises:
            MethodError: `requestTooLarge` when the request's responses would become larger than they may.
        """
        self.weighed += len(_encode(value))
        if self.answered + self.weighed > self.limits.response_octets:
            raise _too_much_to_answer()

    def resolve_id(self, text: str) -> str:
        """Return the id behind a creation id `#…` (RFC 8620 §5.3), or the id itself."""
        return self.created_ids.get(text[1:], text) if text.startswith("#") else text


@dataclass(frozen=True, slots=True)
class Method(Generic[Arguments]):
    """A method: the capability it belongs to, its arguments, what it does, and whether it works on what others share."""

    capability: str
    arguments: type[Arguments]
    run: Callable[[Context, Arguments], Awaitable[dict[str, Any]]]
    shared: bool = False


Registry = Mapping[str, Method[Any]]
_UNKNOWN: Final = "unknown"
_WRITES: Final = ("/set", "/copy", "/import", "/upload")
_encode: Final = msgspec.json.Encoder().encode


def _too_much_to_answer() -> MethodError:
    return MethodError(
        Fault.REQUEST_TOO_LARGE, "the response would hold more octets than one may", limit="responseOctets"
    )


def _make_room(context: Context, name: str, octets: int) -> None:
    """Take room for a response.

    Raises:
        MethodError: there is none: the request's responses would be too large, or the process has no memory for them now.
    """
    too_large = context.answered + octets > context.limits.response_octets
    if not too_large and context.keep(octets):
        return
    if name.endswith(_WRITES):
        # RFC 8620 §3.6.2: what a /set did is done, and its client must look again
        raise MethodError(Fault.SERVER_PARTIAL_FAIL)
    raise _too_much_to_answer() if too_large else MethodError(Fault.SERVER_UNAVAILABLE)


async def run_calls(registry: Registry, request: Request, context: Context) -> list[msgspec.Raw]:
    """Run a request's calls in order and return the responses as JSON, errors included."""
    responses: list[references.Response] = []
    written: list[msgspec.Raw] = []
    using = context.using = frozenset(request.using)
    allowance = references.Allowance()
    for index, (name, arguments, call_id) in enumerate(request.method_calls):
        method = registry.get(name)
        label = name if method is not None else _UNKNOWN
        began = time.perf_counter()
        context.weighed = 0
        context.implied.clear()
        if not context.read_ahead:
            context.ahead = None  # it was for one call
        context.read_ahead = read_ahead.wants_rows(request.method_calls, index)
        response: references.Response
        try:
            with span(f"jmap {label}"):
                resolved = references.resolve(arguments, responses, allowance)
                response = (name, await _run_one(name, method, using, resolved, context), call_id)
            data = _encode(response)
            _make_room(context, name, len(data))
        except MethodError as error:
            _calls_of(label, error.fault.value).inc()
            response = ("error", error.arguments(), call_id)
            data = _encode(response)
        else:
            _calls_of(label, "ok").inc()
        context.answered += len(data)
        responses.append(response)
        written.append(msgspec.Raw(data))
        for implied, result in context.implied:
            responses.append((implied, result, call_id))
            written.append(msgspec.Raw(_encode(responses[-1])))
            context.answered += len(written[-1])
        _seconds_of(label).observe(time.perf_counter() - began)
        await asyncio.sleep(0)  # a call may have waited for nothing: others get their turn between two
    return written


async def _run_one(
    name: str, method: Method[Any] | None, using: frozenset[str], arguments: dict[str, Any], context: Context
) -> dict[str, Any]:
    if method is None or method.capability not in using:
        raise MethodError(Fault.UNKNOWN_METHOD)
    try:
        converted = msgspec.convert(arguments, method.arguments)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MethodError(Fault.INVALID_ARGUMENTS, str(error)) from None
    who = context.who
    try:
        if isinstance(converted, AccountArguments):
            await _enter(context, method, converted, name)
        return await method.run(context, converted)
    except grpc.aio.AioRpcError as error:
        fault = fault_of(error)
        if fault is Fault.FORBIDDEN and context.who is not who:
            fault = Fault.ACCOUNT_NOT_FOUND  # nothing is shared there any more
        if fault is Fault.SERVER_FAIL:
            _log.error("store refused a call", code=error.code().name)
        raise MethodError(fault) from None
    except MethodError:
        raise
    except Exception:  # noqa: BLE001 — whatever it is, the other calls of the request go on
        _log.exception("method failed")
        raise MethodError(Fault.SERVER_FAIL) from None
    finally:
        context.who, context.me = who, None


async def _enter(context: Context, method: Method[Any], arguments: AccountArguments, name: str) -> None:
    """Let a call work on the account that it names.

    Raises:
        MethodError: `accountNotFound`, `accountNotSupportedByMethod`, `accountReadOnly` (RFC 8620 §3.6.2).
    """
    source = getattr(arguments, "from_account_id", None)
    if isinstance(source, str):
        await context.look_for(source)
    own = ids.account_id_text(context.who.account_id)
    if arguments.account_id == own:
        return
    found = await context.look_for(arguments.account_id)
    if found is None:
        raise MethodError(Fault.ACCOUNT_NOT_FOUND)
    if not method.shared:
        raise MethodError(Fault.ACCOUNT_NOT_SUPPORTED_BY_METHOD)
    # of a mailbox the person's own subscription may change, whatever they may do there
    if found.account_id in context.read_only and name.endswith(_WRITES) and name != "Mailbox/set":
        raise MethodError(Fault.ACCOUNT_READ_ONLY)
    context.who, context.me, context.ahead = found, context.who, None
