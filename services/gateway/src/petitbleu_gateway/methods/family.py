"""Guardians and children over JMAP: an extension of ours (ADR 34), by what junior-guard answers.

The account of every call is the person's own; `childId` names the child. Whoever guards no such child hears that there is none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import grpc
import grpc.aio
from msgspec import Meta

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu_gateway.domain.email_view import date_or_none
from petitbleu_gateway.domain.filters import UnsignedInt, UTCDate, millis
from petitbleu_gateway.errors import Fault, MethodError
from petitbleu_gateway.jmap import ids
from petitbleu_gateway.jmap.calls import AccountArguments, Context
from petitbleu_gateway.ports import AwayError, Directory, Identity, Profile

Arguments = TypeVar("Arguments")
Methods = TypeVar("Methods")
_MOST_PROFILES: Final = 1000
_MOST_DIGITS: Final = 19
_LAST_ID: Final = (1 << 63) - 1
_STATES: Final = {
    pb.CORRESPONDENT_STATE_ASKED: "asked", pb.CORRESPONDENT_STATE_ADDED: "added", pb.CORRESPONDENT_STATE_APPROVED: "approved",
    pb.CORRESPONDENT_STATE_GROUPED: "grouped", pb.CORRESPONDENT_STATE_FAMILY: "family",
    pb.CORRESPONDENT_STATE_REFUSED: "refused", pb.CORRESPONDENT_STATE_BLOCKED: "blocked",
}  # fmt: skip
_KINDS: Final = {
    pb.VOICE_KIND_APPROVED: "approved", pb.VOICE_KIND_REFUSED: "refused", pb.VOICE_KIND_BLOCKED: "blocked",
    pb.VOICE_KIND_ADDED: "added", pb.VOICE_KIND_ASKED: "asked", pb.VOICE_KIND_FAMILY: "family",
}  # fmt: skip
VOICES: Final = {
    "approve": pb.VOICE_ACTION_APPROVE, "refuse": pb.VOICE_ACTION_REFUSE, "block": pb.VOICE_ACTION_BLOCK,
    "takeBack": pb.VOICE_ACTION_TAKE_BACK, "undo": pb.VOICE_ACTION_UNDO,
}  # fmt: skip
_DECISIONS: Final = {
    "deliverAndApprove": pb.SENDER_ACTION_DELIVER_AND_APPROVE, "deliverOnce": pb.SENDER_ACTION_DELIVER_ONCE,
    "refuse": pb.SENDER_ACTION_REFUSE, "block": pb.SENDER_ACTION_BLOCK,
}  # fmt: skip
_DECIDED: Final = {number: word for word, number in _DECISIONS.items()}
# What junior-guard says is a fixed sentence of ours, and names no address.
_FAULTS: Final = {
    grpc.StatusCode.NOT_FOUND: Fault.INVALID_ARGUMENTS,
    grpc.StatusCode.INVALID_ARGUMENT: Fault.INVALID_ARGUMENTS,
    grpc.StatusCode.FAILED_PRECONDITION: Fault.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Fault.FORBIDDEN,
}


class ChildArguments(AccountArguments, kw_only=True):
    """Arguments of what is about one child."""

    child_id: str


class LevelSet(ChildArguments, kw_only=True):
    """Arguments of GuardedChild/setLevel."""

    level: Annotated[int, Meta(ge=1, le=4)]


class SenderDecision(ChildArguments, kw_only=True):
    """Arguments of WaitingSender/decide."""

    id: str
    action: Literal["deliverAndApprove", "deliverOnce", "refuse", "block"]
    ends_at: UTCDate | None = None
    although_alike: bool = False


class VoiceSet(ChildArguments, kw_only=True):
    """Arguments of Correspondent/say."""

    address: str
    action: Literal["approve", "refuse", "block", "takeBack", "undo"]
    ends_at: UTCDate | None = None
    although_alike: bool = False


class CorrespondentAsk(AccountArguments, kw_only=True):
    """Arguments of Correspondent/ask."""

    address: str


class PendingCancel(ChildArguments, kw_only=True):
    """Arguments of PendingChange/cancel."""

    id: str


class LinkOpen(AccountArguments, kw_only=True):
    """Arguments of AlertLink/open."""

    token: Annotated[str, Meta(max_length=64)]


class AuditGet(ChildArguments, kw_only=True):
    """Arguments of GuardAudit/get."""

    limit: UnsignedInt = 100
    before: UTCDate | None = None


class Family(Protocol):
    """junior-guard, for persons."""

    async def children(self, who: Identity) -> pb.ListChildrenResponse:
        """Give the children that a person guards."""
        ...

    async def move_level(self, who: Identity, request: pb.MoveLevelRequest) -> pb.MoveLevelResponse:
        """Move a child's level."""
        ...

    async def waiting(self, who: Identity, request: pb.ListWaitingRequest) -> pb.ListWaitingResponse:
        """Give what waits for a child."""
        ...

    async def decide(self, who: Identity, request: pb.DecideSenderRequest) -> pb.DecideSenderResponse:
        """Decide on a sender."""
        ...

    async def pending(self, who: Identity, request: pb.ListPendingChangesRequest) -> pb.ListPendingChangesResponse:
        """Give the changes that wait for a child."""
        ...

    async def cancel(self, who: Identity, request: pb.CancelPendingChangeRequest) -> pb.CancelPendingChangeResponse:
        """Cancel one."""
        ...

    async def open_link(self, who: Identity, request: pb.OpenAlertLinkRequest) -> pb.OpenAlertLinkResponse:
        """Use a link of an alert up."""
        ...

    async def correspondents(
        self, who: Identity, request: pb.ListCorrespondentsRequest
    ) -> pb.ListCorrespondentsResponse:
        """Give a child's correspondents."""
        ...

    async def say(self, who: Identity, request: pb.SetVoiceRequest) -> pb.SetVoiceResponse:
        """Say something of a correspondent."""
        ...

    async def audit(self, who: Identity, request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        """Give who did what for a child."""
        ...

    async def mine(self, who: Identity) -> pb.GetMineResponse:
        """Give a child its own level and correspondents."""
        ...

    async def ask(self, who: Identity, request: pb.AskForRequest) -> pb.AskForResponse:
        """Ask for a correspondent as the child."""
        ...


def told(
    method: Callable[[Methods, Context, Arguments], Coroutine[Any, Any, dict[str, Any]]],
) -> Callable[[Methods, Context, Arguments], Awaitable[dict[str, Any]]]:
    """Tell what junior-guard refuses as method errors, with its sentence."""

    @wraps(method)
    async def run(self: Methods, context: Context, arguments: Arguments) -> dict[str, Any]:
        try:
            return await method(self, context, arguments)
        except grpc.aio.AioRpcError as error:
            fault = _FAULTS.get(error.code())
            if fault is None:
                raise
            raise MethodError(fault, error.details() or "") from None

    return run


class FamilyMethods:
    """The methods.

    Args:
        family: junior-guard.
        directory: Knows the children's names and addresses; these are null while it does not answer.
    """

    def __init__(self, family: Family, directory: Directory) -> None:
        self._family = family
        self._directory = directory

    async def _profiles(self, account_ids: Sequence[int]) -> dict[int, Profile]:
        try:
            return {one.account_id: one for one in await self._directory.profiles(account_ids)} if account_ids else {}
        except AwayError:
            return {}

    @told
    async def children(self, context: Context, arguments: AccountArguments) -> dict[str, Any]:
        """GuardedChild/get: the children that the person guards."""
        found = await self._family.children(context.person)
        known = await self._profiles([one.account_id for one in found.children][:_MOST_PROFILES])
        return {
            "accountId": arguments.account_id,
            "list": [
                {
                    "id": ids.account_id_text(one.account_id),
                    "name": (known[one.account_id].name or None) if one.account_id in known else None,
                    "address": known[one.account_id].address if one.account_id in known else None,
                    "level": one.level,
                    "language": one.language or None,
                    "birthYear": one.birth_year or None,
                    "birthMonth": one.birth_month or None,
                    "guardianIds": [ids.account_id_text(guardian) for guardian in one.guardian_account_ids],
                }
                for one in found.children
            ],
        }

    @told
    async def set_level(self, context: Context, arguments: LevelSet) -> dict[str, Any]:
        """GuardedChild/setLevel."""
        request = pb.MoveLevelRequest(account_id=child_of(arguments), level=arguments.level)
        done = await self._family.move_level(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "level": None if done.waits_until_ms else arguments.level,
            "waitsUntil": date_or_none(done.waits_until_ms),
        }

    @told
    async def pending(self, context: Context, arguments: ChildArguments) -> dict[str, Any]:
        """PendingChange/get: what waits because it is not sure that the guardian asked for it."""
        request = pb.ListPendingChangesRequest(account_id=child_of(arguments))
        found = await self._family.pending(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "list": [
                {
                    "id": str(one.change_id),
                    "by": ids.account_id_text(one.guardian_account_id),
                    "kind": one.kind,
                    "about": one.about,
                    "askedAt": date_or_none(one.asked_at_ms),
                    "dueAt": date_or_none(one.due_at_ms),
                }
                for one in found.changes
            ],
        }

    @told
    async def cancel(self, context: Context, arguments: PendingCancel) -> dict[str, Any]:
        """PendingChange/cancel: as any guardian."""
        change_id = row_number(arguments.id, "no such change waits")
        request = pb.CancelPendingChangeRequest(account_id=child_of(arguments), change_id=change_id)
        await self._family.cancel(context.person, request)
        return {"accountId": arguments.account_id, "childId": arguments.child_id, "id": arguments.id}

    @told
    async def waiting(self, context: Context, arguments: ChildArguments) -> dict[str, Any]:
        """WaitingSender/get: senders whose mail waits for a child, and numbers of what else there was."""
        found = await self._family.waiting(context.person, pb.ListWaitingRequest(account_id=child_of(arguments)))
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "list": [
                {
                    "id": _sender_text(one),
                    "address": one.address,
                    "isConfirmed": one.authentication == pb.AUTHENTICATION_CONFIRMED,
                    "looksAlike": one.looks_alike,
                    "firstAt": date_or_none(one.first_at_ms),
                    "lastAt": date_or_none(one.last_at_ms),
                    "messages": one.messages,
                }
                for one in found.senders
            ],
            "unannounced": found.unannounced,
            "dropped": found.dropped,
            "expired": found.expired,
        }

    @told
    async def decide(self, context: Context, arguments: SenderDecision) -> dict[str, Any]:
        """WaitingSender/decide: on all that waits from a sender."""
        sender_id, authentication = _sender(arguments.id)
        request = pb.DecideSenderRequest(
            account_id=child_of(arguments), sender_id=sender_id, authentication=authentication,
            action=_DECISIONS[arguments.action], ends_at_ms=_end(arguments.ends_at), although_alike=arguments.although_alike,
        )  # fmt: skip
        done = await self._family.decide(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "messages": done.messages,
            "decidedBy": ids.account_id_text(done.decided_by) if done.decided_by else None,
            "decidedAction": _DECIDED.get(done.decided_action),
            "waitsUntil": date_or_none(done.waits_until_ms),
        }

    @told
    async def correspondents(self, context: Context, arguments: ChildArguments) -> dict[str, Any]:
        """Correspondent/get: a child's, for its guardians; its own for the child itself, with its level."""
        if arguments.child_id == ids.account_id_text(context.person.account_id):
            mine = await self._family.mine(context.person)
            level: int | None = mine.level
            found = mine.correspondents
        else:
            request = pb.ListCorrespondentsRequest(account_id=child_of(arguments))
            level, found = None, (await self._family.correspondents(context.person, request)).correspondents
        more = {} if level is None else {"level": level}
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            **more,
            "list": [_shown(one) for one in found],
        }

    @told
    async def say(self, context: Context, arguments: VoiceSet) -> dict[str, Any]:
        """Correspondent/say: what a guardian thinks of one."""
        request = pb.SetVoiceRequest(
            account_id=child_of(arguments), address=arguments.address, action=VOICES[arguments.action],
            ends_at_ms=_end(arguments.ends_at), although_alike=arguments.although_alike,
        )  # fmt: skip
        done = await self._family.say(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "correspondent": None if done.waits_until_ms else _shown(done.correspondent),
            "waitsUntil": date_or_none(done.waits_until_ms),
        }

    @told
    async def ask(self, context: Context, arguments: CorrespondentAsk) -> dict[str, Any]:
        """Correspondent/ask: a child asks for one, and from level 3 on adds it."""
        done = await self._family.ask(context.person, pb.AskForRequest(address=arguments.address))
        return {"accountId": arguments.account_id, "correspondent": _shown(done.correspondent)}

    @told
    async def open_link(self, context: Context, arguments: LinkOpen) -> dict[str, Any]:
        """AlertLink/open: where a link of an alert leads, once."""
        found = await self._family.open_link(context.person, pb.OpenAlertLinkRequest(token=arguments.token))
        return {"accountId": arguments.account_id, "childId": ids.account_id_text(found.account_id)}

    @told
    async def audit(self, context: Context, arguments: AuditGet) -> dict[str, Any]:
        """GuardAudit/get: who did what for a child, the latest first."""
        request = pb.ListAuditRequest(
            account_id=child_of(arguments), limit=min(arguments.limit, 501), before_ms=_end(arguments.before)
        )
        found = await self._family.audit(context.person, request)
        return {
            "accountId": arguments.account_id,
            "childId": arguments.child_id,
            "list": [
                {
                    "doneAt": date_or_none(one.done_at_ms),
                    "actor": ids.account_id_text(int(one.actor)) if one.actor.isdecimal() else one.actor,
                    "action": one.action,
                    "address": one.address or None,
                    "subject": one.subject or None,
                }
                for one in found.entries
            ],
        }


def row_number(text: str, why: str) -> int:
    """Return the number of a row's id; raises `MethodError` with `why` for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) <= _LAST_ID):
        raise MethodError(Fault.INVALID_ARGUMENTS, why)
    return int(text)


def child_of(arguments: ChildArguments) -> int:
    """Return the child that a call is about; raises `MethodError` for what is no account's id."""
    return child_number(arguments.child_id)


def child_number(text: str) -> int:
    """Return the child of an id; raises `MethodError` for what is no account's."""
    number = ids.account_number(text)
    if number is None:
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such child of this person's")
    return number


def _end(date: str | None) -> int:
    return 0 if date is None else millis(date)


def _sender_text(one: pb.WaitingSender) -> str:
    letter = "c" if one.authentication == pb.AUTHENTICATION_CONFIRMED else "u"
    return letter + base64.urlsafe_b64encode(one.sender_id).decode().rstrip("=")


def _sender(text: str) -> tuple[bytes, pb.Authentication.ValueType]:
    kinds = {"c": pb.AUTHENTICATION_CONFIRMED, "u": pb.AUTHENTICATION_UNCONFIRMED}
    try:
        found = base64.b64decode(text[1:] + "=" * (-len(text[1:]) % 4), altchars=b"-_", validate=True)
        return found, kinds[text[:1]]
    except (binascii.Error, ValueError, KeyError):
        raise MethodError(Fault.INVALID_ARGUMENTS, "no such sender") from None


def _shown(one: pb.Correspondent) -> dict[str, Any]:
    return {
        "address": one.address,
        "state": _STATES.get(one.state),
        "letIn": one.let_in,
        "voices": [
            {
                "by": ids.account_id_text(voice.party) if voice.party else None,
                "says": _KINDS.get(voice.kind),
                "endsAt": date_or_none(voice.ends_at_ms),
                "saidAt": date_or_none(voice.said_at_ms),
            }
            for voice in one.voices
        ],
    }
