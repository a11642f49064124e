"""Translation between gRPC and the use cases: the doors of guardians and of children, who come with a principal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from petitbleu.junior_guard.v1 import family_pb2 as pb
from petitbleu.junior_guard.v1 import family_pb2_grpc
from petitbleu_junior_guard.domain.correspondents import Action, Correspondent, Spoken
from petitbleu_junior_guard.domain.voices import Circle
from petitbleu_junior_guard.domain.waiting import SenderAction
from petitbleu_junior_guard.errors import Fault, GuardError
from petitbleu_junior_guard.grpc_answers import Context, answered
from petitbleu_junior_guard.ports import Actor, Bell
from petitbleu_junior_guard.service.guardianship import Guardianship
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
    return Actor(principal.account_id, principal.tenant_id)


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

    def __init__(self, guardianship: Guardianship, room: WaitingRoom, bell: Bell) -> None:
        self._guardianship = guardianship
        self._room = room
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
        await self._guardianship.move_level(request.account_id, request.level, guardian())
        self._bell.ring([request.account_id], child=True)
        return pb.MoveLevelResponse()

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
        stands = await self._guardianship.set_voice(
            request.account_id, request.address, guardian(), _action(request.action), time_of(request.ends_at_ms),
            although_alike=request.although_alike,
        )  # fmt: skip
        self._bell.ring([request.account_id], child=True)
        return pb.SetVoiceResponse(correspondent=_correspondent(stands))

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
        made = await self._guardianship.put_group(
            request.account_id, group.group_id, _kind(group.kind), group.name, group.addresses, guardian(),
            time_of(request.ends_at_ms),
        )  # fmt: skip
        self._bell.ring([request.account_id], child=True)
        return pb.PutGroupResponse(group_id=made)

    @answered
    async def SetGroupVoice(self, request: pb.SetGroupVoiceRequest, _context: Context) -> pb.SetGroupVoiceResponse:
        """Say something of a group."""
        await self._guardianship.set_group_voice(
            request.account_id, request.group_id, guardian(), _action(request.action), time_of(request.ends_at_ms)
        )
        self._bell.ring([request.account_id], child=True)
        return pb.SetGroupVoiceResponse()

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
        done = await self._room.decide(
            request.account_id, request.sender_id, guardian(), _sender_action(request.action),
            authenticated=request.authentication == _CONFIRMED, ends_at=time_of(request.ends_at_ms),
            although_alike=request.although_alike,
        )  # fmt: skip
        self._bell.ring([request.account_id], child=True)
        stands = pb.SenderAction.ValueType(int(done.action or 0))
        return pb.DecideSenderResponse(messages=done.messages, decided_by=done.decided_by, decided_action=stands)

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
