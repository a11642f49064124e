"""Translation between gRPC and the use cases: the doors of guardians and of children, who come with a principal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.junior_guard.v1 import family_pb2_grpc
from petitbleu_junior_guard.domain.changes import DecideSender, MoveLevel, PutGroup, SetGroupVoice, SetVoice
from petitbleu_junior_guard.domain.correspondents import Action, Correspondent, Spoken
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import SenderAction
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.grpc_answers import Context, answered
from petitbleu_junior_guard.ports import Actor, Bell
from petitbleu_junior_guard.service.changes import Changes
from petitbleu_junior_guard.service.guardianship import Guardianship
from petitbleu_junior_guard.service.links import Links
from petitbleu_junior_guard.service.waiting import WaitingRoom
from petitbleu_kit.rpc import caller

_CONFIRMED: Final = pb.AUTHENTICATION_CONFIRMED
_UNCONFIRMED: Final = pb.AUTHENTICATION_UNCONFIRMED
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 253_370_764_800_000  # year 9999


def guardian() -> Actor:
    """The adult on whose behalf a call is made.

    Raises:
        GuardError: NOT_YOURS: a child guards nobody, itself least of all.
    """
    principal = caller().principal
    if principal is None or principal.guarded:
        raise GuardError(Fault.NOT_YOURS)
    return Actor(principal.account_id, principal.tenant_id, principal.cooling_until)


def child() -> Actor:
    """The child on whose behalf a call is made.

    Raises:
        GuardError: NOT_A_CHILD.
    """
    principal = caller().principal
    if principal is None or not principal.guarded:
        raise GuardError(Fault.NOT_A_CHILD)
    return Actor(principal.account_id, principal.tenant_id)


def milliseconds(time: datetime | None) -> int:
    """Unix milliseconds, 0 for no time."""
    return 0 if time is None else (time - _EPOCH) // _MILLISECOND


def time_of(number: int) -> datetime | None:
    """The time of Unix milliseconds, None for 0.

    Raises:
        GuardError: BAD_REQUEST.
    """
    if not 0 <= number < _LAST_MS:
        raise GuardError(Fault.BAD_REQUEST)
    return _EPOCH + number * _MILLISECOND if number else None


def _action(number: int) -> Action:
    try:
        return Action(number)
    except ValueError:
        raise GuardError(Fault.BAD_REQUEST) from None


def _sender_action(number: int) -> SenderAction:
    try:
        return SenderAction(number)
    except ValueError:
        raise GuardError(Fault.BAD_REQUEST) from None


def _kind(number: int) -> Circle:
    try:
        return Circle(number)
    except ValueError:
        raise GuardError(Fault.BAD_REQUEST) from None


def _voices(spoken: Sequence[Spoken]) -> list[pb.Voice]:
    return [
        pb.Voice(
            party=one.voice.party, kind=pb.VoiceKind.ValueType(int(one.voice.kind)),
            ends_at_ms=milliseconds(one.voice.ends_at), said_at_ms=milliseconds(one.said_at),
        )
        for one in spoken
    ]  # fmt: skip


def _correspondent(one: Correspondent) -> pb.Correspondent:
    return pb.Correspondent(
        address=one.address, state=pb.CorrespondentState.ValueType(int(one.state)), let_in=one.let_in,
        voices=_voices(one.spoken),
    )  # fmt: skip


class FamilyServicer(family_pb2_grpc.FamilyServiceServicer):
    """Answers guardians."""

    def __init__(
        self, guardianship: Guardianship, room: WaitingRoom, changes: Changes, links: Links, bell: Bell
    ) -> None:
        self._guardianship = guardianship
        self._room = room
        self._changes = changes
        self._links = links
        self._bell = bell

    @answered
    async def ListChildren(self, _request: pb.ListChildrenRequest, _context: Context) -> pb.ListChildrenResponse:
        """Give the guardian's children."""
        return pb.ListChildrenResponse(
            children=[
                pb.Child(
                    account_id=one.account_id, level=int(one.level), language=one.language, birth_year=one.birth_year,
                    birth_month=one.birth_month, guardian_account_ids=one.guardian_ids,
                )
                for one in await self._guardianship.children(guardian())
            ]
        )  # fmt: skip

    @answered
    async def MoveLevel(self, request: pb.MoveLevelRequest, _context: Context) -> pb.MoveLevelResponse:
        """Move a child's level."""
        made = await self._changes.make(request.account_id, guardian(), MoveLevel(request.level))
        self._bell.ring([request.account_id], child=True)
        return pb.MoveLevelResponse(waits_until_ms=milliseconds(made.waits_until))

    @answered
    async def ListCorrespondents(
        self, request: pb.ListCorrespondentsRequest, _context: Context
    ) -> pb.ListCorrespondentsResponse:
        """Give a child's correspondents."""
        found = await self._guardianship.correspondents(request.account_id, guardian())
        return pb.ListCorrespondentsResponse(correspondents=map(_correspondent, found))

    @answered
    async def SetVoice(self, request: pb.SetVoiceRequest, _context: Context) -> pb.SetVoiceResponse:
        """Say something of a correspondent."""
        change = SetVoice(request.address, _action(request.action), time_of(request.ends_at_ms), request.although_alike)
        made = await self._changes.make(request.account_id, guardian(), change)
        self._bell.ring([request.account_id], child=True)
        return pb.SetVoiceResponse(
            correspondent=None if made.waits_until else _correspondent(made.result),
            waits_until_ms=milliseconds(made.waits_until),
        )

    @answered
    async def ListGroups(self, request: pb.ListGroupsRequest, _context: Context) -> pb.ListGroupsResponse:
        """Give a child's groups."""
        return pb.ListGroupsResponse(
            groups=[
                pb.Group(
                    group_id=one.group_id, kind=pb.GroupKind.ValueType(int(one.kind)), name=one.name,
                    addresses=one.addresses, voices=_voices(one.spoken), approved=one.is_approved,
                )
                for one in await self._guardianship.groups(request.account_id, guardian())
            ]
        )  # fmt: skip

    @answered
    async def PutGroup(self, request: pb.PutGroupRequest, _context: Context) -> pb.PutGroupResponse:
        """Make or replace a group."""
        group = request.group
        change = PutGroup(
            group.group_id, _kind(group.kind), group.name, list(group.addresses), time_of(request.ends_at_ms)
        )
        made = await self._changes.make(request.account_id, guardian(), change)
        self._bell.ring([request.account_id], child=True)
        return pb.PutGroupResponse(group_id=made.result or 0, waits_until_ms=milliseconds(made.waits_until))

    @answered
    async def SetGroupVoice(self, request: pb.SetGroupVoiceRequest, _context: Context) -> pb.SetGroupVoiceResponse:
        """Say something of a group."""
        change = SetGroupVoice(request.group_id, _action(request.action), time_of(request.ends_at_ms))
        made = await self._changes.make(request.account_id, guardian(), change)
        self._bell.ring([request.account_id], child=True)
        return pb.SetGroupVoiceResponse(waits_until_ms=milliseconds(made.waits_until))

    @answered
    async def ListWaiting(self, request: pb.ListWaitingRequest, _context: Context) -> pb.ListWaitingResponse:
        """Give the senders whose mail waits."""
        found = await self._room.waiting(request.account_id, guardian())
        return pb.ListWaitingResponse(
            senders=[
                pb.WaitingSender(
                    sender_id=one.row.sender_hash, address=one.address, looks_alike=one.row.looks_alike,
                    authentication=_CONFIRMED if one.row.authenticated else _UNCONFIRMED,
                    first_at_ms=milliseconds(one.row.first_at), last_at_ms=milliseconds(one.row.last_at),
                    messages=one.row.messages,
                )
                for one in found.senders
            ],
            unannounced=found.unannounced, dropped=found.dropped, expired=found.expired,
        )  # fmt: skip

    @answered
    async def DecideSender(self, request: pb.DecideSenderRequest, _context: Context) -> pb.DecideSenderResponse:
        """Decide on all that waits from a sender."""
        if request.authentication not in {_CONFIRMED, _UNCONFIRMED}:
            raise GuardError(Fault.BAD_REQUEST)
        change = DecideSender(
            request.sender_id, request.authentication == _CONFIRMED, _sender_action(request.action),
            time_of(request.ends_at_ms), request.although_alike,
        )  # fmt: skip
        made = await self._changes.make(request.account_id, guardian(), change)
        self._bell.ring([request.account_id], child=True)
        if made.waits_until:
            return pb.DecideSenderResponse(waits_until_ms=milliseconds(made.waits_until))
        stands = pb.SenderAction.ValueType(int(made.result.action or 0))
        return pb.DecideSenderResponse(
            messages=made.result.messages, decided_by=made.result.decided_by, decided_action=stands
        )

    @answered
    async def ListPendingChanges(
        self, request: pb.ListPendingChangesRequest, _context: Context
    ) -> pb.ListPendingChangesResponse:
        """Give the changes that wait."""
        return pb.ListPendingChangesResponse(
            changes=[
                pb.PendingChange(
                    change_id=one.change_id, guardian_account_id=one.guardian_id, kind=one.kind, about=one.about,
                    asked_at_ms=milliseconds(one.asked_at), due_at_ms=milliseconds(one.due_at),
                )
                for one in await self._changes.waiting(request.account_id, guardian())
            ]
        )  # fmt: skip

    @answered
    async def CancelPendingChange(
        self, request: pb.CancelPendingChangeRequest, _context: Context
    ) -> pb.CancelPendingChangeResponse:
        """Cancel a change that waits."""
        await self._changes.cancel(request.account_id, guardian(), request.change_id)
        self._bell.ring([request.account_id], child=False)
        return pb.CancelPendingChangeResponse()

    @answered
    async def OpenAlertLink(
        self, request: pb.OpenAlertLinkRequest, _context: Context
    ) -> pb.OpenAlertLinkResponse:  # fmt: skip
        """Say where a link of an alert leads its guardian."""
        return pb.OpenAlertLinkResponse(account_id=await self._links.open(guardian(), request.token))

    @answered
    async def ListAudit(self, request: pb.ListAuditRequest, _context: Context) -> pb.ListAuditResponse:
        """Give the latest entries of a child's audit."""
        before = time_of(request.before_ms)
        found = await self._guardianship.audit(request.account_id, guardian(), request.limit, before)
        return pb.ListAuditResponse(
            entries=[
                pb.AuditEntry(
                    done_at_ms=milliseconds(one.done_at), actor=one.actor, action=one.action, address=one.address,
                    subject=one.subject,
                )
                for one in found
            ]
        )  # fmt: skip


class ChildServicer(family_pb2_grpc.ChildServiceServicer):
    """Answers children, each about itself."""

    def __init__(self, guardianship: Guardianship, bell: Bell) -> None:
        self._guardianship = guardianship
        self._bell = bell

    @answered
    async def GetMine(self, _request: pb.GetMineRequest, _context: Context) -> pb.GetMineResponse:
        """Give a child its level and correspondents."""
        level, found = await self._guardianship.own(child())
        return pb.GetMineResponse(level=int(level), correspondents=map(_correspondent, found))

    @answered
    async def AskFor(self, request: pb.AskForRequest, _context: Context) -> pb.AskForResponse:
        """Ask for a correspondent."""
        asked = await self._guardianship.ask(child(), request.address)
        self._bell.ring([child().party], child=True)
        return pb.AskForResponse(correspondent=_correspondent(asked))
